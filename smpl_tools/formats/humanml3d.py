"""HumanML3D: the joints of its ``new_joints`` folder, and the feature vectors of ``new_joint_vecs``.

Layout (HumanML3D, ``motion_representation.ipynb``): ``new_joints`` (T, 22, 3) float32, SMPL's first 22 joints in
metres, Y up, 20 frames a second. ``new_joint_vecs`` (T, 263): the root's turn about Y (1), its velocity on the ground
(2) and height (1), the other joints' places (21 x 3) and 6D rotations (21 x 6) in the root's frame, all joints'
velocities (22 x 3) and foot contacts (4). From the vectors the places are read; they are not written again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.formats import _joint_arrays
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._joint_arrays import array_like, off_middle
from smpl_tools.formats._smpl import only_person
from smpl_tools.joint_names import picked
from smpl_tools.motion import Motion, Track
from smpl_tools.skeleton import SMPL

NAME = "humanml3d"
FPS = 20.0
JOINTS = SMPL.joints[:22]
_FEATURES = 263
# Hips, in distances from each other, around the pelvis; thighs and shins in metres.
_NEAR = 1.2
_BONES = ((1, 4), (2, 5), (4, 7), (5, 8))
_LENGTHS = (0.1, 0.8)


def matches(path: Path, head: bytes) -> bool:
    """Tell whether the file is an ``.npy`` of 22 joints in metres that lie as SMPL's do, or of 263 features."""
    values = array_like(path, head, len(JOINTS), 3)
    if values is None:
        return array_like(path, head, _FEATURES) is not None
    spans = [np.linalg.norm(values[:, a] - values[:, b], axis=-1) for a, b in _BONES]
    lengths = [float(np.median(span[np.isfinite(span)])) if np.isfinite(span).any() else np.inf for span in spans]
    sized = all(_LENGTHS[0] < length < _LENGTHS[1] for length in lengths)
    return sized and off_middle(values, 0, 1, 2) < _NEAR


def read(path: Path, options: Options) -> Motion:
    """Read the joints as one person with the track ``joints``.

    Raises:
        ValueError: an ``.npy`` of neither (T, 22, 3) nor (T, 263) floats.
    """
    with path.open("rb") as file:
        head = file.read(8)
    values, notes = array_like(path, head, len(JOINTS), 3), ["22 joints taken for SMPL's, as HumanML3D has them"]
    vectors = array_like(path, head, _FEATURES) if values is None else None
    if vectors is not None:
        values, notes = _places(vectors), ["joints computed from HumanML3D's feature vectors"]
    if values is None:
        raise mismatch(f"{path}: array", "(T, 22, 3) or (T, 263) of floats in an .npy file", "something else")
    if not options.fps:
        notes.append(f"frame rate not stated in the file: {FPS:g} frames a second assumed")
    track = Track(values, "position", "body", JOINTS, metres=1.0, up="y")
    motion = _joint_arrays.motion_of(NAME, track, options.fps or FPS, tuple(notes))
    if vectors is None:
        return motion
    return Motion(NAME, motion.people, motion.fps, source=_Vectors(), notes=motion.notes)


class _Vectors:
    """Stands for a file of feature vectors, which is not written again."""


def _places(vectors: NDArray[Any]) -> NDArray[Any]:
    """Return the joints (T, 22, 3) of feature vectors (T, 263).

    The root's turn and step stored in a frame lead to the next one; a joint's place is its stored one turned back by
    the root's angle about Y, and moved with the root.
    """
    numbers = vectors.astype(np.float64)
    angle = np.concatenate([[0.0], np.cumsum(numbers[:-1, 0])])
    # The stored angle is half of the turn, that of the quaternion (cos a, 0, sin a, 0); the turn back is its inverse.
    cosine, sine = np.cos(2 * angle), np.sin(2 * angle)

    def turned_back(x: NDArray[np.float64], z: NDArray[np.float64]) -> tuple[Any, Any]:
        c, s = (cosine, sine) if x.ndim == 1 else (cosine[:, None], sine[:, None])
        return c * x - s * z, s * x + c * z

    step_x, step_z = (np.concatenate([[0.0], numbers[:-1, k]]) for k in (1, 2))
    moved_x, moved_z = turned_back(step_x, step_z)
    root = np.stack([np.cumsum(moved_x), numbers[:, 3], np.cumsum(moved_z)], axis=1)
    others = numbers[:, 4:67].reshape(-1, 21, 3)
    x, z = turned_back(others[..., 0], others[..., 2])
    placed = np.stack([x + root[:, None, 0], others[..., 1], z + root[:, None, 2]], axis=2)
    return np.concatenate([root[:, None], placed], axis=1).astype(vectors.dtype)


def write(motion: Motion, path: Path) -> None:
    """Write the array with the shape and dtype it had.

    Raises:
        ValueError: the file held feature vectors, or nothing can be written there.
    """
    if isinstance(motion.source, _Vectors):
        raise mismatch(f"{path}: what to write", "joints (smoothnet convert --to humanml3d)", "feature vectors")
    _joint_arrays.write(motion, path)


def make(motion: Motion, path: Path) -> None:
    """Write SMPL's first 22 joints, which are found by name, as in ``new_joints``.

    Raises:
        ValueError: not one person, joints that the motion lacks, or nothing can be written there.
    """
    person = only_person(motion, "HumanML3D's joints")
    _joint_arrays.save(picked(person.tracks["joints"], JOINTS, what="SMPL's first 22 joints").values, path)


FORMAT = Format(
    NAME,
    "HumanML3D joints or feature vectors",
    matches,
    read,
    write,
    (".npy",),
    make=make,
    contents=("joints",),
    up="y",
    metres=1.0,
    fps=FPS,
    keeps=("joint names",),
)
