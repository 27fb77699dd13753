"""Files of motions: which ones a dialog names, how they are read, and what an armature remembers of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smoothnet_core._checks import mismatch
from smpl_tools import formats
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.bodies.choice import body_for
from smpl_tools.contents import carried, with_smpl_poses
from smpl_tools.coordinates import UNITS, assuming
from smpl_tools.formats._format import Format
from smpl_tools.motion import Motion
from smpl_tools.skeleton import SMPL

from .figures import content_of
from .smpl_figures import family_of

# Of files that state none, as most estimators' programs assume.
USUAL_RATE = 30.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Stated:
    """What the user says about a file; empty or zero where the file is asked.

    Attributes:
        kind: of a plain array's values, a key of ``smpl_tools.motion.VALUE_SHAPES``.
        order: of the numbers of a plain array of ``rotation_6d``.
        fps: frames a second.
        up: ``y``, ``z`` or ``-y``.
        unit: a key of ``smpl_tools.coordinates.UNITS``.
        camera: of poses both in the world and as the camera sees them, take the camera's.
    """

    kind: str = ""
    order: str = ""
    fps: float = 0.0
    up: str = ""
    unit: str = ""
    camera: bool = False

    @property
    def metres(self) -> float | None:
        """One unit in metres."""
        return UNITS[self.unit] if self.unit else None


@dataclass(frozen=True)
class Record:
    """What an armature remembers of the file it was imported from, as text in a custom property.

    Attributes:
        path: of the file or folder.
        digest: of its content, see :func:`digest_of`.
        format: a key of ``smpl_tools.formats.FORMATS``.
        person: id in the file.
        content: as ``Figure.content``; ``fit`` for SMPL poses that were fitted to positions.
        joints: names of J joints.
        bones: names of their bones.
        start: frame of the scene at which the motion's first frame number lies.
        first: that number.
        rate: frames a second.
        step: frames of the scene for one of the motion.
        up: the file's axis that points up.
        metres: one unit of the file in metres; metres a pixel for an image.
        origin: as ``Figure.origin``.
        pelvis: where the body model has its pelvis, metres, in its own axes.
        betas: shape, empty where the file has none.
        gender: empty where the file has none.
        stated: what the user said about the file.
    """

    path: str
    digest: str
    format: str
    person: str
    content: str
    joints: tuple[str, ...]
    bones: tuple[str, ...]
    start: float
    first: int
    rate: float
    step: float
    up: str
    metres: float
    origin: tuple[float, ...]
    pelvis: tuple[float, ...] = ()
    betas: tuple[float, ...] = ()
    gender: str = ""
    stated: Stated = Stated()

    def text(self) -> str:
        """Return the record as JSON."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)


def record_of(text: str, owner: str) -> Record:
    """Return the record that :meth:`Record.text` wrote.

    Raises:
        ValueError: the text is none; the message names the ``owner``.
    """
    try:
        fields = json.loads(text)
        fields |= {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        return Record(**fields | {"stated": Stated(**fields["stated"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise mismatch(f"{owner}: what it remembers of its file", "as the import wrote it", "something else") from None


def chosen_paths(filepath: str, directory: str, names: Sequence[str]) -> list[Path]:
    """Return what a file dialog, a drop or a script names: files, or a folder.

    Raises:
        ValueError: nothing.
    """
    folder = Path(directory) if directory else Path(filepath).parent
    paths = [folder / name for name in dict.fromkeys(names) if name]
    if not paths and filepath:
        paths = [Path(filepath)]
    elif not paths and directory:
        paths = [folder]
    if not paths:
        raise mismatch("file to import", "a file or a folder", "none chosen")
    # A name that is no file is what the dialog had in its field: the folder is meant.
    return list(dict.fromkeys(p if p.exists() or not p.parent.is_dir() or p.suffix else p.parent for p in paths))


def folder_of(path: Path) -> Path:
    """Return the folder of a file that belongs to a format whose files are one motion together, else the file."""
    if path.is_dir() or path.suffix.lower() not in (".json", ".pkl") or _detected(path) is not None:
        return path
    inner, outer = _detected(path.parent), _detected(path.parent.parent)
    if inner is None and outer is None:
        return path
    # Some have a folder for each frame, which is a motion of one frame by itself.
    return path.parent if outer is None or (inner is not None and inner is not outer) else path.parent.parent


def _detected(path: Path) -> Format | None:
    try:
        return formats.detect(path)
    except ValueError:
        return None


def read_motion(path: Path, stated: Stated) -> Motion:
    """Return a motion as a file states it and the user says.

    Raises:
        ValueError: the file cannot be read; the message names it.
    """
    motion = formats.read(
        path, kind=stated.kind or None, order=stated.order or None, fps=stated.fps if stated.fps > 0 else None
    )
    if stated.up or stated.unit:
        # The root's rotation among a plain array's is told in the scene's axes.
        motion = assuming(
            motion if "array" not in carried(motion) else _as_poses(motion),
            up=stated.up or None,  # type: ignore[arg-type]
            metres=stated.metres,
        )
    try:
        content_of(motion)
    except ValueError as error:
        hint = "; say what its numbers are (Array Holds)" if motion.format == "array" and not stated.kind else ""
        raise ValueError(f"{path}: {error}{hint}") from None
    return motion


def _as_poses(motion: Motion) -> Motion:
    poses = with_smpl_poses(motion)
    return dataclasses.replace(poses, source=motion.source)


def fitted(motion: Motion, model: BodyModel | None) -> tuple[Motion, tuple[str, ...]]:
    """Return SMPL poses fitted to the positions of joints, and how near they are.

    Args:
        motion: with 3D positions of joints.
        model: body to fit with its shape; None for the bones of ``smpl_tools.skeleton.SMPL``.

    Raises:
        ValueError: joints of no known set, or in no known unit.
    """
    from smpl_tools.bodies.fitted_motion import fitted_joints
    from smpl_tools.contents import as_content
    from smpl_tools.rigs.guesses import with_guesses

    plain, guesses = with_guesses(as_content(motion, "joints")[0])
    poses, reports = fitted_joints(plain, SMPL if model is None else model)
    notes = [*guesses]
    for report in reports:
        if report.mean_mm is not None:
            notes.append(f"person {report.person}: joints {report.mean_mm:.1f} mm from the file's in the mean")
    return dataclasses.replace(poses, fps=motion.fps, path=motion.path), tuple(notes)


def bodies_of(motion: Motion, body: str, folder: str) -> tuple[dict[str, BodyModel], tuple[str, ...]]:
    """Return the body model of each person with SMPL poses, by id, and remarks.

    Args:
        motion: with SMPL poses.
        body: ``NONE``; ``FREE``; ``SMPL``, ``SMPLH``, ``SMPLX`` of the user's files; ``AUTO``: the one that the poses
            are for, from the user's files, and none where they are not there.
        folder: of the user's files, empty where none is set.

    Raises:
        ValueError: no such file, or one that cannot be read; with ``AUTO`` that is a remark.
    """
    if body == "NONE" or (body == "AUTO" and not folder):
        return {}, ()
    if body not in ("FREE", "AUTO") and not folder:
        raise mismatch("folder of SMPL models", "set in the preferences of the extension", "none")
    found: dict[str, BodyModel] = {}
    known: dict[tuple[str, str | None], BodyModel] = {}
    notes = []
    for person in motion.people:
        name = {"FREE": "free", "AUTO": ""}.get(body, body.lower()) or family_of(motion, person)
        key = (name, person.gender)
        if key not in known:
            try:
                known[key] = body_for(person, name, folder=Path(folder) if name != "free" else None)
            except ValueError as error:
                if body != "AUTO":
                    raise
                notes.append(f"no mesh for person {person.id}: {error}")
                continue
        found[person.id] = known[key]
    return found, tuple(notes)


def for_animators(text: str) -> str:
    """Return a remark or an error without its hints at options of the command line."""
    return re.sub(r" \([^()]*--[a-z][^()]*\)|; smoothnet fit [^;]*", "", text)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, or of a folder's names and bytes; empty if it cannot be read."""
    digest = hashlib.sha256()
    try:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            digest.update(file.relative_to(path).as_posix().encode("utf-8", "surrogateescape"))
            with file.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()


def scene_rate(fps: float) -> tuple[int, float]:
    """Return the whole rate and the base that Blender divides it by for a frame rate: (30, 1.001) for 29.97.

    The base is 1 where the rate is whole to a ten thousandth: files round the time of a frame.
    """
    whole = max(1, round(fps))
    base = whole / fps
    nearest = min((1.0, 1.001), key=lambda known: abs(base - known))
    return whole, nearest if abs(base - nearest) < 1e-4 else base
