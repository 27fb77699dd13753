"""MMHuman3D's joint set HUMAN_DATA, the union of those of many data sets, and arrays of keypoints in it.

Names and order are those of ``mmhuman3d/core/conventions/keypoints_mapping/human_data.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.formats._names import numbered
from smpl_tools.motion import Track, Up

_SIDES = ("left", "right")


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{side}_{name}" for name in names for side in _SIDES)


def _numbered(name: str, *numbers: int) -> tuple[str, ...]:
    return tuple(f"{name}_{number}" for number in numbers)


def _of_openpose(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_openpose" for name in names)


_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
_BODY = (
    *("pelvis", *_both("hip"), "spine_1", *_both("knee"), "spine_2", *_both("ankle"), "spine_3", *_both("foot")),
    *("neck", *_both("collar"), "head", *_both("shoulder", "elbow", "wrist"), "jaw", *_both("eyeball")),
)
_HANDS = tuple(f"{side}_{finger}_{k}" for side in _SIDES for finger in _FINGERS for k in (1, 2, 3))
_HEAD = ("nose", "right_eye", "left_eye", "right_ear", "left_ear")
_FEET = tuple(f"{side}_{part}" for side in _SIDES for part in ("bigtoe", "smalltoe", "heel"))
_TIPS = tuple(f"{side}_{finger}" for side in _SIDES for finger in ("thumb", "index", "middle", "ring", "pinky"))
_FACE = (
    *_numbered("right_eyebrow", 1, 2, 3, 4, 5),
    *_numbered("left_eyebrow", 5, 4, 3, 2, 1),
    *_numbered("nosebridge", 1, 2, 3, 4),
    *(*_numbered("right_nose", 2, 1), "nose_middle", *_numbered("left_nose", 1, 2)),
    *_numbered("right_eye", 1, 2, 3, 4, 5, 6),
    *_numbered("left_eye", 4, 3, 2, 1, 6, 5),
    *(*_numbered("right_mouth", 1, 2, 3), "mouth_top", *_numbered("left_mouth", 3, 2, 1)),
    *(*_numbered("left_mouth", 5, 4), "mouth_bottom", *_numbered("right_mouth", 4, 5)),
    *(*_numbered("right_lip", 1, 2), "lip_top", *_numbered("left_lip", 2, 1, 3), "lip_bottom", "right_lip_3"),
    *(*_numbered("right_contour", *range(1, 9)), "contour_middle", *_numbered("left_contour", *range(8, 0, -1))),
)
_EXTRA = (
    *("right_hip_extra", "left_hip_extra", "neck_extra", "headtop", "pelvis_extra", "thorax_extra"),
    *("spine_extra", "jaw_extra", "head_extra"),
)
_ARMS = ("shoulder", "elbow", "wrist")
_LEGS = ("hip", "knee", "ankle")
_OPENPOSE = _of_openpose(
    *("nose", "neck"),
    *(f"{side}_{part}" for side in ("right", "left") for part in _ARMS),
    "pelvis",
    *(f"{side}_{part}" for side in ("right", "left") for part in _LEGS),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
    *_FEET,
)
_OTHERS = (
    *("spine_4_3dhp", "left_clavicle_3dhp", "right_clavicle_3dhp", "left_hand_3dhp", "right_hand_3dhp"),
    *("left_toe_3dhp", "right_toe_3dhp", "head_h36m", "headtop_h36m", "head_bottom_pt", "left_hand", "right_hand"),
)
HUMAN_DATA = (*_BODY, *_HANDS, *_HEAD, *_FEET, *_TIPS, *_FACE, *_EXTRA, *_OPENPOSE, *_OTHERS)


def keypoints_track(
    path: Path, arrays: Mapping[str, NDArray[Any]], key: str, up: Up | None
) -> tuple[Track, NDArray[np.int64]]:
    """Return a track of an array of keypoints, and which places on the array's second axis its joints have.

    Args:
        path: the file, for the error.
        arrays: of the file; beside ``key`` its mask and convention.
        key: the array's name, ``keypoints2d...`` or ``keypoints3d...``.
        up: which axis points up, where known.

    Raises:
        ValueError: not an array (N, K, 3) or (N, K, 4) of floats.
    """
    array, size = arrays[key], 2 if key.startswith("keypoints2d") else 3
    if array.dtype.kind != "f" or array.ndim != 3 or array.shape[2] != size + 1:
        raise mismatch(f"{path}: {key}", f"an array (N, K, {size + 1}) of floats", f"{array.shape} of {array.dtype}")
    count = array.shape[1]
    mask = arrays.get(f"{key}_mask")
    there = np.flatnonzero(mask) if mask is not None and mask.ndim == 1 and mask.dtype.kind in "biuf" else None
    stated = arrays.get(f"{key}_convention")
    known = stated is None or str(stated[()]) == "human_data"
    joints = np.arange(count, dtype=np.int64)
    names = numbered("joint", count)
    if known and count == len(HUMAN_DATA):
        names = HUMAN_DATA
        if there is not None and mask is not None and len(mask) == count:
            joints = there
    elif known and there is not None and mask is not None and (len(mask), len(there)) == (len(HUMAN_DATA), count):
        # Compressed: what the mask leaves out is not in the array.
        names = tuple(HUMAN_DATA[k] for k in there)
    values, confidence = array[:, joints, :size], array[:, joints, size]
    seen = (confidence > 0)[..., None] & np.isfinite(values).all(axis=-1, keepdims=True)
    values = np.where(seen, values, np.array(np.nan, array.dtype))
    confidence = np.clip(np.nan_to_num(confidence), 0.0, 1.0)
    scene = {"metres": 1.0, "up": up} if size == 3 else {}
    return Track(values, "position", "body", tuple(names[k] for k in joints), confidence, **scene), joints
