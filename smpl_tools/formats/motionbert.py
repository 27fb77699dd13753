"""MotionBERT's ``X3D.npy``: 3D joints of Human3.6M from a video of one person.

Layout (MotionBERT, ``infer_wild.py``): (T, 17, 3) float32 in the order of Human3.6M, in a camera's axes (x right,
y down, z away). The unit is the network's own, about half the image's shorter side, or pixels; depth is relative.
"""

from __future__ import annotations

from pathlib import Path

from smoothnet_core._checks import mismatch
from smoothnet_core.joint_sets import JOINT_SETS
from smpl_tools.formats import _joint_arrays
from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._joint_arrays import array_like, off_middle
from smpl_tools.formats._smpl import only_person
from smpl_tools.joint_names import picked
from smpl_tools.motion import Motion, Track

NAME = "motionbert"
JOINTS = JOINT_SETS["h36m_17"].joints
# The pelvis lies near the middle of the hips, the spine near that of pelvis and thorax, the thorax near that of the
# shoulders, in distances of these from each other; with the joints of COCO in those places, elbows are far off.
_MIDDLES = (((0, 1, 4), 0.8), ((7, 0, 8), 0.3), ((8, 11, 14), 0.8))


def matches(path: Path, head: bytes) -> bool:
    """Tell whether the file is an ``.npy`` of 17 joints that lie to each other as those of Human3.6M do."""
    values = array_like(path, head, len(JOINTS), 3)
    return values is not None and all(off_middle(values, *joints) < near for joints, near in _MIDDLES)


def read(path: Path, options: Options) -> Motion:
    """Read the joints as one person with the track ``joints``.

    Raises:
        ValueError: not an ``.npy`` of (T, 17, 3) floats.
    """
    with path.open("rb") as file:
        values = array_like(path, file.read(8), len(JOINTS), 3)
    if values is None:
        raise mismatch(f"{path}: array", "(T, 17, 3) of floats in an .npy file", "something else")
    notes = ("17 joints taken for those of Human3.6M, as MotionBERT writes them", "the file does not state a unit")
    rate = () if options.fps else ("the file does not state its frame rate",)
    return _joint_arrays.motion_of(NAME, Track(values, "position", "body", JOINTS, up="-y"), None, (*notes, *rate))


def make(motion: Motion, path: Path) -> None:
    """Write the 17 joints of Human3.6M, which are found by name.

    Raises:
        ValueError: not one person, joints that the motion lacks, or nothing can be written there.
    """
    person = only_person(motion, "MotionBERT's array")
    _joint_arrays.save(picked(person.tracks["joints"], JOINTS, what="Human3.6M").values, path)


FORMAT = Format(
    NAME,
    "MotionBERT's 3D joints",
    matches,
    read,
    _joint_arrays.write,
    (".npy",),
    make=make,
    contents=("joints",),
    up="-y",
    keeps=("joint names",),
)
