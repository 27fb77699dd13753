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


def normal_name(name: str) -> str:
    """Return ``left_wrist`` for ``LWrist``, ``l_wrist``, ``LeftWrist``, ``left wrist``; ``pelvis`` for ``MidHip``."""
    apart = re.sub(r"^([LR])(?=[A-Z])", r"\1_", name)
    words: list[str] = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", apart)
    joined = "_".join(_SIDES.get(word.lower(), word.lower()) for word in words)
    return _OURS.get(joined, joined)


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
    for j, joint in reversed(list(enumerate(track.joints))):
        at[normal_name(joint)] = [j]
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
