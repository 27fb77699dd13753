"""The package smplx on a model file of the user's own, read by our reader. Needs the extra ``bodies``.

One uses it for gradients: fitting a body to markers, keypoints or silhouettes in torch. To know where the joints and
vertices of a motion are, :mod:`smpl_tools.bodies.posing` needs neither torch nor smplx, and is faster.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from smoothnet_core._checks import mismatch, require
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.bodies.model_files import model_of_arrays, read_model_arrays

# What a command that uses this module shows its user once.
SMPLX_NOTICE = (
    "This uses the package smplx, which the Max Planck Institute for Intelligent Systems licenses for non-commercial "
    "scientific research: https://github.com/vchoutas/smplx/blob/main/LICENSE"
)
# smplx takes keypoints of face, feet and fingers from vertices of these meshes, by number.
_VERTICES = {"smpl": 6890, "smplh": 6890, "smplx": 10475}
_LANDMARKS = ("lmk_faces_idx", "lmk_bary_coords")
_CONTOUR = ("dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords")


def smplx_layer(
    model_file: str | os.PathLike[str],
    *,
    gender: str | None = None,
    batch_size: int = 1,
    num_betas: int | None = None,
    num_expression: int | None = None,
    use_face_contour: bool = False,
    dtype: Any = None,
) -> Any:
    """Return smplx's ``SMPL``, ``SMPLH`` or ``SMPLX``, a ``torch.nn.Module``, made of a model file.

    smplx's own readers, which run what a pickle says, are not called, and nothing is printed. Hands are given by 45
    numbers each that are absolute, as in AMASS: no principal components (``use_pca=False``), no mean pose
    (``flat_hand_mean=True``); files without hand components (AMASS's SMPL+H) do. Unlike with smplx's constructors, as
    many shape directions as the file has can be used.

    Args:
        model_file: ``.npz`` or ``.pkl`` of SMPL, SMPL+H or SMPL-X.
        gender: as for :func:`smpl_tools.bodies.model_files.load_body_model`.
        batch_size: how many bodies the module's own parameters are of; SMPL-X must be called with as many.
        num_betas: how many shape parameters, at most those of the file; None for 10, or as many as there are if fewer.
        num_expression: the same for the expression of SMPL-X.
        use_face_contour: whether SMPL-X's joints end with the 17 points of the face's contour.
        dtype: torch's, by default ``torch.float32``.

    Raises:
        ImportError: torch or smplx is not installed; the message has the command that adds them.
        ValueError: the file cannot be read, is refused or is no such model; or it has fewer directions than asked for.
    """
    torch, smplx = require("torch", "bodies"), require("smplx", "bodies")
    path = Path(model_file)
    arrays = read_model_arrays(path)
    model = model_of_arrays(path, arrays, gender=gender)
    shapes = _count(path, "num_betas", num_betas, model.shape_vertices)
    points, expressions = {}, 0
    if model.name == "smplx":
        expressions = _count(path, "num_expression", num_expression, model.expression_vertices)
        points = _points(path, arrays, (*_LANDMARKS, *_CONTOUR) if use_face_contour else _LANDMARKS)
    if len(model.vertices) != _VERTICES[model.name]:
        raise mismatch(f"{path}: vertices for smplx", _VERTICES[model.name], len(model.vertices))
    struct = smplx.utils.Struct(**_struct(arrays, model))
    options = {
        "model_path": str(path),
        "data_struct": struct,
        "num_betas": shapes,
        "batch_size": batch_size,
        "gender": model.gender,
        "dtype": dtype or torch.float32,
    }
    # smplx takes a file with fewer directions than its constant for one with ten, and says so on stdout.
    known = {"SHAPE_SPACE_DIM": model.shape_vertices.shape[-1]}
    if model.name == "smpl":
        return type("SMPL", (smplx.SMPL,), known)(**options)
    options |= {"use_pca": False, "flat_hand_mean": True}
    if model.name == "smplh":
        return type("SMPLH", (smplx.SMPLH,), known)(**options)
    return type("SMPLX", (_smplx_class(smplx, torch),), known)(options, expressions, points, model)


def _points(path: Path, arrays: dict[str, Any], wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    if missing := [key for key in wanted if not isinstance(arrays.get(key), np.ndarray)]:
        raise mismatch(f"{path}: keys of SMPL-X", ", ".join(wanted), f"no {missing[0]}")
    return {key: arrays[key] for key in wanted}


def _count(path: Path, what: str, asked: int | None, directions: Any) -> int:
    known = directions.shape[-1]
    if asked is not None and not 0 < asked <= known:
        raise mismatch(f"{path}: {what}", f"1 to {known}", asked)
    return min(10, known) if asked is None else asked


def _struct(arrays: dict[str, Any], model: BodyModel) -> dict[str, Any]:
    regressor = arrays["J_regressor"]
    hands = {f"hands_mean{side}": np.zeros(45) for side in "lr"}
    hands |= {f"hands_components{side}": np.zeros((45, 45)) for side in "lr"}
    return {
        "v_template": model.vertices,
        "f": model.faces,
        "weights": model.weights,
        "shapedirs": model.shape_vertices,
        "posedirs": model.pose_vertices,
        "J_regressor": regressor if isinstance(regressor, np.ndarray) else regressor.toarray(),
        "kintree_table": np.stack([model.parents, np.arange(len(model.parents))]),
        **hands,
    }


def _smplx_class(smplx: Any, torch: Any) -> Any:
    """Return a class of smplx's SMPLX with another constructor: its own opens the file itself, whatever it is given."""

    class SMPLX(smplx.SMPLX):
        def __init__(self, options: dict[str, Any], expressions: int, points: dict[str, Any], model: BodyModel) -> None:
            smplx.SMPLH.__init__(self, vertex_ids=smplx.vertex_ids.vertex_ids["smplx"], **options)
            dtype, batch_size = options["dtype"], options["batch_size"]
            directions = np.ascontiguousarray(model.expression_vertices[..., :expressions])  # type: ignore[index]
            self.register_buffer("expr_dirs", torch.tensor(directions, dtype=dtype))
            self._num_expression_coeffs = expressions
            for key, array in points.items():
                integers = key.endswith("faces_idx")
                array = array.astype(np.int64 if integers else np.float64)
                self.register_buffer(key, torch.tensor(array, dtype=torch.long if integers else dtype))
            self.use_face_contour = _CONTOUR[0] in points
            if self.use_face_contour:
                chain, joint = [], self.NECK_IDX
                while joint >= 0:
                    chain.append(joint)
                    joint = int(model.parents[joint])
                self.register_buffer("neck_kin_chain", torch.tensor(chain))
            sizes = {"expression": expressions, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3}
            for name, size in sizes.items():
                self.register_parameter(name, torch.nn.Parameter(torch.zeros(batch_size, size, dtype=dtype)))

        def create_mean_pose(self, data_struct: Any, flat_hand_mean: bool = False) -> Any:
            return torch.zeros(3 * (self.NUM_JOINTS + 1), dtype=self.dtype)

    return SMPLX
