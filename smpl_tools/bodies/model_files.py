"""Files of SMPL, SMPL+H and SMPL-X that the user has registered for: where they lie and what they hold.

The files are those of https://smpl.is.tue.mpg.de, https://mano.is.tue.mpg.de and https://smpl-x.is.tue.mpg.de; nothing
here downloads them. Their keys, and how the columns of ``shapedirs`` are divided, are those that smplx reads (Pavlakos
et al., CVPR 2019; ``smplx/body_models.py``). No pickle of theirs is run: see :mod:`smoothnet_core.restricted_pickle`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of
from smoothnet_core.restricted_pickle import load_npz, load_pickle
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.formats._files import ZIP_MAGIC, read_bytes
from smpl_tools.formats._names import listed
from smpl_tools.motion import Skeleton
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X

FOLDER_VARIABLE = "SMOOTHNET_BODY_MODELS"
GENDERS = ("neutral", "male", "female")


@dataclass(frozen=True)
class Family:
    """What is published under one name: its title, where to register for it, and its hierarchy."""

    title: str
    site: str
    skeleton: Skeleton


FAMILIES: dict[str, Family] = {
    "smpl": Family("SMPL", "https://smpl.is.tue.mpg.de", SMPL),
    "smplh": Family("SMPL+H", "https://mano.is.tue.mpg.de", SMPL_H),
    "smplx": Family("SMPL-X", "https://smpl-x.is.tue.mpg.de", SMPL_X),
}
_LETTERS = {"m": "male", "f": "female"}
# The names of smplx's folders, with a year as some releases have; and those of the first downloads of SMPL.
_FILE_NAME = r"{name}_(neutral|male|female)(_\d+)?\.(npz|pkl)"
_DOWNLOAD_NAME = r"basicmodel_(neutral|m|f)_lbs_10_207_0_v\d+\.\d+\.\d+\.(npz|pkl)"
# Below a folder of models: smplx's layout, and those that the downloads unpack to.
_SUBFOLDERS = ("", "{name}", "models", "models/{name}", "body_models/{name}", "smpl/models", "mano_v1_2/models")
_USUAL = ("body_models", "models", "data", "data/body_models", "~/body_models", "~/models", "~/smplx/models")
_KEYS = ("v_template", "f", "weights", "kintree_table", "J_regressor", "shapedirs", "posedirs")
# SMPL-X: shape directions come first, then expressions; files of 20 columns have 10 of each, those of 400 have 300.
_SHAPES_OF_LONG_FILES, _SHAPES_OF_SHORT_FILES, _EXPRESSIONS = 300, 10, 100


class MissingModelError(ValueError):
    """There is no file of the body model; the message is one line that says where it was looked for and where it is."""


def find_model_file(name: str, gender: str, folder: str | os.PathLike[str] | None = None) -> Path:
    """Return the file of a body model.

    Args:
        name: ``smpl``, ``smplh`` or ``smplx``.
        gender: ``neutral``, ``male`` or ``female``.
        folder: where to look, or the file itself; None for the folders in the environment variable
            ``SMOOTHNET_BODY_MODELS``, or, where that is not set, the usual ones.

    Raises:
        MissingModelError: a ``ValueError``: there is none; the message says what was looked for, where, which other
            genders there are, and where to register.
        ValueError: ``name`` or ``gender`` is unknown, or ``folder`` does not exist.
    """
    family = FAMILIES[one_of("body model", name, FAMILIES)]
    one_of(f"gender of the {family.title} model", gender, GENDERS)
    if folder is not None and Path(folder).is_file():
        return Path(folder)
    if folder is not None and not Path(folder).is_dir():
        raise mismatch(f"{folder}: folder of body models", "a folder or a model's file", "nothing of that name")
    roots = _roots(folder)
    found = dict(reversed([*_files(name, roots)]))  # the first of each gender counts
    if gender in found:
        return found[gender]
    others = f" (there are {', '.join(f'{g}: {found[g]}' for g in GENDERS if g in found)})" if found else ""
    example = f"{name.upper()}_{gender.upper()}.npz or .pkl, {name}/{gender}/model.npz"
    if name == "smpl":
        example += f", basicmodel_{gender if gender == 'neutral' else gender[0]}_lbs_10_207_0_v1.1.0.pkl"
    raise MissingModelError(
        f"no {gender} {family.title} model{others}: looked for {example} in {', '.join(map(str, roots))}; register and "
        f"download it at {family.site}, then name its folder or set {FOLDER_VARIABLE}"
    )


def _roots(folder: str | os.PathLike[str] | None) -> list[Path]:
    if folder is not None:
        return [Path(folder)]
    if stated := os.environ.get(FOLDER_VARIABLE):
        return [Path(part).expanduser() for part in stated.split(os.pathsep) if part]
    return [*(Path(usual).expanduser() for usual in _USUAL), _data_folder() / "body_models"]


def _data_folder() -> Path:
    """Return where programs keep this user's data for us, by the custom of the system."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "smoothnet"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "smoothnet"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "smoothnet"


def _files(name: str, roots: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Yield (gender, file) of every file that is called like the model, the best first."""
    patterns = [_FILE_NAME.format(name=name), *([_DOWNLOAD_NAME] if name == "smpl" else [])]
    for root in roots:
        for subfolder in _SUBFOLDERS:
            folder = root / subfolder.format(name=name)
            listed_names = _names(folder)
            for pattern in patterns:
                for file_name in listed_names:
                    if match := re.fullmatch(pattern, file_name, re.IGNORECASE):
                        gender = match[1].lower()
                        yield _LETTERS.get(gender, gender), folder / file_name
            # AMASS's layout has the model's name in the folder alone. SMPL is not SMPL-H.
            if re.search(rf"{name}(?![hx])", folder.resolve().name.lower()):
                for gender in GENDERS:
                    yield from ((gender, folder / gender / n) for n in _names(folder / gender) if n in _MODEL_NAMES)


_MODEL_NAMES = ("model.npz", "model.pkl")


def _names(folder: Path) -> list[str]:
    """Return the names in a folder, sorted: archives before pickles, names without a year before those with one."""
    try:
        return sorted((p.name for p in folder.iterdir()), key=lambda n: (Path(n).suffix, len(n), n))
    except OSError:
        return []


def read_model_arrays(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a model's ``.npz`` or ``.pkl`` holds, by key; sparse matrices as ``scipy.sparse`` has them.

    Raises:
        ValueError: the file cannot be read, is refused, or is no dictionary with a model's keys.
    """
    path = Path(path)
    content = load_npz(path) if read_bytes(path, 4).startswith(ZIP_MAGIC) else load_pickle(path)
    if not isinstance(content, dict):
        raise mismatch(f"{path}: content", "a dictionary of a body model's arrays", f"a {type(content).__name__}")
    # An object saved by itself in an .npz is an array without axes.
    arrays = {
        str(key): value.item() if isinstance(value, np.ndarray) and value.dtype == object and not value.ndim else value
        for key, value in content.items()
    }
    if missing := [key for key in _KEYS if key not in arrays]:
        raise mismatch(f"{path}: keys of a body model", ", ".join(_KEYS), f"{listed(arrays)} (no {missing[0]})")
    return arrays


def load_body_model(path: str | os.PathLike[str], *, gender: str | None = None) -> BodyModel:
    """Return the body model of a file of SMPL (24 joints), SMPL+H (52) or SMPL-X (55), whatever its vertex count.

    Args:
        path: ``.npz`` or ``.pkl``, as published or with Chumpy's objects removed.
        gender: that of the model; None for what the file's content or name says, else ``neutral``.

    Raises:
        ValueError: the file cannot be read or is refused, or an array is missing or has another shape than the others
            ask for; the message names the file.
    """
    return model_of_arrays(path, read_model_arrays(path), gender=gender)


def model_of_arrays(path: str | os.PathLike[str], arrays: dict[str, Any], *, gender: str | None = None) -> BodyModel:
    """Return the body model of arrays that :func:`read_model_arrays` took from ``path``, as :func:`load_body_model`."""
    path = Path(path)
    name, parents = _hierarchy(path, arrays["kintree_table"])
    family, joints = FAMILIES[name], len(parents)
    vertices = _floats(path, arrays, "v_template", ("V", 3))
    count = len(vertices)
    weights = _floats(path, arrays, "weights", (count, joints))
    if not np.allclose(weights.sum(axis=1), 1.0, rtol=0, atol=1e-3):
        raise mismatch(f"{path}: rows of weights", "a sum of 1", f"{weights.sum(axis=1).min():.4g} in one of them")
    directions = _floats(path, arrays, "shapedirs", (count, 3, "K"))
    shapes, expressions = _divided(path, name, directions)
    regressor = _regressor(path, arrays["J_regressor"], (joints, count))

    # One product for all directions, dense or sparse.
    def at_joints(per_vertex: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(regressor @ per_vertex.reshape(count, -1)).reshape(joints, *per_vertex.shape[1:])

    return BodyModel(
        name=name,
        gender=one_of("gender", gender or _gender(path, arrays), GENDERS),
        joints=family.skeleton.joints,
        parents=parents,
        vertices=vertices,
        faces=_faces(path, arrays["f"], count),
        joint_places=at_joints(vertices),
        shape_vertices=shapes,
        shape_joints=at_joints(shapes),
        weights=weights,
        pose_vertices=_floats(path, arrays, "posedirs", (count, 3, 9 * (joints - 1))),
        expression_vertices=expressions,
        expression_joints=None if expressions is None else at_joints(expressions),
        licence=licence(name),
    )


def licence(name: str) -> str:
    """Return what to tell whoever gets a mesh made with the model ``smpl``, ``smplh`` or ``smplx``."""
    family = FAMILIES[name]
    return (
        f"The mesh contains the {family.title} template, which the Max Planck Institute for Intelligent Systems "
        f"licenses for non-commercial scientific research; the terms, and whom to ask for others, are at {family.site}."
    )


def _hierarchy(path: Path, table: Any) -> tuple[str, NDArray[np.int64]]:
    known = {len(family.skeleton.joints): name for name, family in FAMILIES.items()}
    counts = ", ".join(f"{count} ({FAMILIES[name].title})" for count, name in known.items())
    if not isinstance(table, np.ndarray) or table.ndim != 2 or len(table) != 2 or table.dtype.kind not in "iuf":
        raise mismatch(f"{path}: kintree_table", f"integers (2, J) with J one of {counts}", _described(table))
    if table.shape[1] not in known:
        raise mismatch(f"{path}: joints", f"one of {counts}", table.shape[1])
    name = known[table.shape[1]]
    expected = FAMILIES[name].skeleton.parents
    # The root's parent is -1, also as an unsigned number.
    parents = table[0].astype(np.int64)
    parents[0] = -1
    if not np.array_equal(parents, expected):
        title = FAMILIES[name].title
        raise mismatch(f"{path}: kintree_table", f"the parents of {title}, {expected.tolist()}", parents.tolist())
    return name, parents


def _divided(
    path: Path, name: str, directions: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    if name != "smplx":
        return directions, None
    columns = directions.shape[-1]
    shapes = _SHAPES_OF_LONG_FILES if columns > _SHAPES_OF_LONG_FILES else _SHAPES_OF_SHORT_FILES
    if not shapes < columns <= (shapes + _EXPRESSIONS if shapes == _SHAPES_OF_LONG_FILES else 2 * shapes):
        raise mismatch(f"{path}: columns of shapedirs", "20 (10 shapes, 10 expressions) or 400 (300, 100)", columns)
    return directions[:, :, :shapes], directions[:, :, shapes:]


def _floats(path: Path, arrays: dict[str, Any], key: str, shape: tuple[int | str, ...]) -> NDArray[np.float64]:
    value = arrays[key]
    fits = isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.ndim == len(shape)
    if not fits or any(isinstance(n, int) and n != m for n, m in zip(shape, value.shape, strict=True)):
        expected = "numbers (" + ", ".join(map(str, shape)) + ")"
        raise mismatch(f"{path}: {key}", expected, _described(value))
    if not np.isfinite(value).all():
        raise mismatch(f"{path}: {key}", "finite numbers", "NaN or infinity among them")
    return np.ascontiguousarray(value, np.float64)


def _regressor(path: Path, value: Any, shape: tuple[int, int]) -> Any:
    if isinstance(value, np.ndarray):
        return _floats(path, {"J_regressor": value}, "J_regressor", shape)
    if getattr(value, "format", None) not in ("csc", "csr") or value.shape != shape or value.dtype.kind not in "fiu":
        raise mismatch(f"{path}: J_regressor", f"numbers {shape}", _described(value))
    return value


def _faces(path: Path, value: Any, count: int) -> NDArray[np.int64]:
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.shape[1] != 3 or value.dtype.kind not in "iu":
        raise mismatch(f"{path}: f", "integers (F, 3)", _described(value))
    faces = value.astype(np.int64)
    if faces.size and not 0 <= faces.min() <= faces.max() < count:
        raise mismatch(f"{path}: f", f"vertices from 0 to {count - 1}", f"{faces.min()} to {faces.max()}")
    return faces


def _described(value: Any) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    return f"a {type(value).__name__}" if shape is None else f"{shape} of {dtype}"


def _gender(path: Path, arrays: dict[str, Any]) -> str:
    stated = arrays.get("gender")
    if isinstance(stated, np.ndarray) and stated.dtype.kind in "US" and stated.size == 1:
        stated = stated.reshape(())[()]
    stated = stated.decode("latin-1") if isinstance(stated, bytes) else stated
    if isinstance(stated, str) and stated.lower() in GENDERS:
        return stated.lower()
    # The file's own words first, then its folder's (AMASS: male/model.npz).
    words = [w for part in (path.name, path.resolve().parent.name) for w in re.split(r"[^a-z]+", part.lower())]
    return next((_LETTERS.get(word, word) for word in words if _LETTERS.get(word, word) in GENDERS), "neutral")
