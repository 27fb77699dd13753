"""Joints by name across the names that formats give them, and one joint set taken from another."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.motion import Track

_SIDES = {"l": "left", "r": "right"}
# Names for one and the same joint; the first is ours.
_SAME: tuple[tuple[str, ...], ...] = (
    ("pelvis", "hips", "hip", "root", "mid_hip", "midhip", "hip_center", "center_hip", "middle_hip", "hip_middle"),
    ("head_top", "top_head", "top_of_head", "vertex", "headtop"),
    # HumanData's names for joints of Human3.6M and OpenPose.
    ("spine", "spine_extra"),
    ("thorax", "thorax_extra"),
    *((f"{side}_{toe}_toe", f"{side}_{toe}toe") for side in ("left", "right") for toe in ("big", "small")),
    ("left_foot_index", "left_toe_end", "left_toe_tip"),
    ("right_foot_index", "right_toe_end", "right_toe_tip"),
)
_OURS = {name: names[0] for names in _SAME for name in names}
# What lies in the middle of others, where a set has it and another has not.
_MIDDLES: dict[str, tuple[str, str]] = {
    "pelvis": ("left_hip", "right_hip"),
    "neck": ("left_shoulder", "right_shoulder"),
    "thorax": ("left_shoulder", "right_shoulder"),
}

# Rigs name a joint by the segment that it turns: a shoulder is a collar bone, a leg a knee, a foot an ankle.
_UPPER_ARMS, _FOREARMS = ("arm", "upper_arm", "upperarm"), ("fore_arm", "forearm", "lower_arm", "lowerarm")
_OF_SEGMENTS: dict[str, tuple[str, ...]] = {
    "collar": ("shoulder", "clavicle", "collar"),
    "shoulder": _UPPER_ARMS,
    "elbow": _FOREARMS,
    "wrist": ("hand", "wrist"),
    "hip": ("up_leg", "upper_leg", "upperleg", "thigh"),
    "knee": ("leg", "lower_leg", "lowerleg", "shin", "calf"),
    "ankle": ("foot", "ankle"),
    "foot": ("toe_base", "toe", "toes", "ball"),
}
_SEGMENTS = {
    f"{side}_{segment}": f"{side}_{joint}"
    for side in ("left", "right")
    for joint, segments in _OF_SEGMENTS.items()
    for segment in segments
}
_RIG_SPINE = {"spine": "spine_1", "spine_1": "spine_2", "spine_2": "spine_3"}


def normal_name(name: str) -> str:
    """Return ``left_wrist`` for ``LWrist``, ``l_wrist``, ``LeftWrist``, ``left wrist``; ``pelvis`` for ``MidHip``."""
    apart = re.sub(r"^([LR])(?=[A-Z])", r"\1_", name)
    words: list[str] = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", apart)
    joined = "_".join(_SIDES.get(word.lower(), word.lower()) for word in words)
    return _OURS.get(joined, joined)


def normal_names(joints: Sequence[str]) -> list[str]:
    """Return the normal names of a set of joints, those of SMPL for a rig's, which the arms' segments tell.

    ``LeftShoulder`` beside ``LeftArm`` and ``LeftForeArm`` is a ``left_collar``, ``LeftLeg`` a ``left_knee``.
    """
    names = [normal_name(joint) for joint in joints]
    # Without a namespace such as mixamorig, and the side in front: UpperArm_L, shoulder.L.
    bare = [normal_name(joint.rpartition(":")[2]) for joint in joints]
    bare = [re.sub(r"^(.+)_(left|right)$", r"\2_\1", name) for name in bare]
    arms = [[f"left_{segment}" in bare for segment in segments] for segments in (_UPPER_ARMS, _FOREARMS)]
    if not all(map(any, arms)):
        return names
    spine = _RIG_SPINE if [name for name in bare if name.startswith("spine")] == list(_RIG_SPINE) else {}
    return [_SEGMENTS.get(name, spine.get(name, name)) for name in bare]


def is_numbered(joints: Sequence[str]) -> bool:
    """Tell whether joints bear the names that formats give to joints without any: ``joint_0``, ``joint_1``, ..."""
    return all(joint.endswith(f"_{j}") for j, joint in enumerate(joints))


def picked(track: Track, wanted: Sequence[str], *, what: str, optional: bool = False) -> Track:
    """Return a track of positions with the joints of a set, in its order, found by name.

    Where the track has no pelvis, neck or thorax, the middle of both hips or shoulders stands in. Joints without names
    are taken in their order if there are as many as wanted.

    Args:
        track: of positions (T, J, 2 or 3).
        wanted: K names.
        what: the joint set, for the error.
        optional: joints that are not there are NaN with confidence 0 instead of an error, if any is there.

    Raises:
        ValueError: a wanted joint is not there.
    """
    if tuple(wanted) == track.joints:
        return track
    if is_numbered(track.joints) and len(track.joints) == len(wanted):
        return track.replace(joints=tuple(wanted))
    at: dict[str, list[int]] = {}
    for j, name in reversed(list(enumerate(normal_names(track.joints)))):
        at[name] = [j]
    for middle, ends in _MIDDLES.items():
        if middle not in at and all(end in at for end in ends):
            at[middle] = [at[end][0] for end in ends]
    found = [at.get(normal_name(name), []) for name in wanted]
    lacking = [name for name, rows in zip(wanted, found, strict=True) if not rows]
    if lacking and (not optional or len(lacking) == len(wanted)):
        shown = ", ".join(track.joints[:8]) + (", ..." if len(track.joints) > 8 else "")
        raise mismatch(f"joints for {what}", ", ".join(lacking[:8]) + (", ..." if len(lacking) > 8 else ""), shown)
    shape = (len(track.values), len(wanted), track.values.shape[2])
    values = np.full(shape, np.nan, track.values.dtype)
    confidence = None if track.confidence is None and not lacking else np.zeros(shape[:2], np.float64)
    for k, rows in enumerate(found):
        if rows:
            values[:, k] = track.values[:, rows[0]] if len(rows) == 1 else track.values[:, rows].mean(axis=1)
            if confidence is not None:
                confidence[:, k] = _least(track.confidence, rows)
    return track.replace(values=values, joints=tuple(wanted), confidence=confidence)


def _least(confidence: NDArray[np.floating] | None, rows: list[int]) -> NDArray[np.floating] | float:
    return 1.0 if confidence is None else confidence[:, rows].min(axis=1)
