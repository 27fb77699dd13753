"""Paired clips of one joint set as those of another, for body-aware networks that know other joints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of
from smoothnet_core.joint_sets import JOINT_SETS
from smpl_tools.sources.clips import PairedClip

# Of joints that a set has and paired files have not: shares of the joints of paired files that they are made of, of
# both sides alike where the name has none. Approximate by nature; estimate and truth are made in the same way.
_HIPS, _SHOULDERS = "hip", "shoulder"
_MADE: dict[str, dict[str, dict[str, float]]] = {
    "mediapipe_15": {},
    "h36m_17": {
        "pelvis": {_HIPS: 1.0},
        "spine": {_HIPS: 0.5, _SHOULDERS: 0.5},
        "thorax": {_SHOULDERS: 1.0},
        "head": {"nose": 1.5, _SHOULDERS: -0.5},
    },
    "smpl_24": {
        "pelvis": {_HIPS: 0.83, _SHOULDERS: 0.17},
        "spine1": {_HIPS: 0.62, _SHOULDERS: 0.38},
        "spine2": {_HIPS: 0.36, _SHOULDERS: 0.64},
        "spine3": {_HIPS: 0.25, _SHOULDERS: 0.75},
        "neck": {_HIPS: -0.08, _SHOULDERS: 1.08},
        "head": {"nose": 0.5, _SHOULDERS: 0.5},
        "left_collar": {_SHOULDERS: 0.6, "left_shoulder": 0.4},
        "right_collar": {_SHOULDERS: 0.6, "right_shoulder": 0.4},
        "left_foot": {"left_foot_index": 1.0},
        "right_foot": {"right_foot_index": 1.0},
        "left_hand": {"left_wrist": 1.3, "left_elbow": -0.3},
        "right_hand": {"right_wrist": 1.3, "right_elbow": -0.3},
    },
}


def joint_map(name: str) -> NDArray[np.float64]:
    """Return the (J, 15) shares of the joints of paired files that the J joints of a set are made of.

    Raises:
        ValueError: no such set.
    """
    ours = JOINT_SETS["mediapipe_15"].joints
    made = _MADE[one_of("joints of a source", name, _MADE)]
    shares = np.zeros((len(JOINT_SETS[name].joints), len(ours)))
    for row, joint in zip(shares, JOINT_SETS[name].joints, strict=True):
        for part, share in made.get(joint, {joint: 1.0}).items():
            places = [k for k, other in enumerate(ours) if other in (part, f"left_{part}", f"right_{part}")]
            row[places] += share / len(places)
    return shares


def with_joints(clip: PairedClip, name: str) -> PairedClip:
    """Return a clip of the 15 joints of paired files as one of the joints of another set, about that set's own root.

    A joint is as sure as those that it is made of are, weighted by their shares.

    Raises:
        ValueError: no such set, or a clip of other joints.
    """
    shares, root = joint_map(name), list(JOINT_SETS[name].root)
    if clip.groundtruth.shape[1:] != (shares.shape[1], 3):
        raise mismatch(f"clip {clip.name}", f"{shares.shape[1]} joints in 3D", f"shape {clip.groundtruth.shape}")
    if name == "mediapipe_15":
        return clip

    def made(track: NDArray[np.float32]) -> NDArray[np.float32]:
        joints = np.einsum("jk,tkd->tjd", shares, track)
        return (joints - joints[:, root].mean(axis=1, keepdims=True)).astype(np.float32)

    weights = np.abs(shares) / np.abs(shares).sum(axis=1, keepdims=True)
    sure = (clip.confidence @ weights.T).astype(np.float32)
    return replace(clip, estimate=made(clip.estimate), groundtruth=made(clip.groundtruth), confidence=sure)
