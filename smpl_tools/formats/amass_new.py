"""New archives in AMASS's layouts of SMPL-H and SMPL-X, and in that of the SMPL-X Blender add-on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.formats._files import write_npz
from smpl_tools.formats._smpl import only_person, part_pose, pose, shape, translation
from smpl_tools.motion import Motion


def make_smpl_h(motion: Motion, path: Path) -> None:
    """Write a new archive in AMASS's SMPL-H layout: ``poses`` (T, 156), ``trans``, ``betas`` (16,), ``dmpls`` of zeros.

    Raises:
        ValueError: not one person, or nothing can be written there.
    """
    person = only_person(motion, "an AMASS archive")
    numbers = [pose(person, 22), part_pose(person, "left_hand_pose", 15), part_pose(person, "right_hand_pose", 15)]
    write_npz(
        path,
        {
            "trans": translation(person),
            "gender": np.array(person.gender or "neutral"),
            "mocap_framerate": np.array(_stated_rate(motion)),
            "betas": shape(person, 16),
            "dmpls": np.zeros((len(person.frames), 8)),
            "poses": _joined(numbers),
        },
        compressed=False,
    )


def make_smpl_x(motion: Motion, path: Path) -> None:
    """Write a new archive in AMASS's SMPL-X layout ("stageii"): ``poses`` (T, 165) and its parts once more.

    Raises:
        ValueError: not one person, or nothing can be written there.
    """
    person = only_person(motion, "an AMASS archive")
    hands = [part_pose(person, "left_hand_pose", 15), part_pose(person, "right_hand_pose", 15)]
    body, jaw, eyes = pose(person, 22), part_pose(person, "jaw_pose", 1), part_pose(person, "eye_pose", 2)
    write_npz(
        path,
        {
            "gender": np.array(person.gender or "neutral"),
            "surface_model_type": np.array("smplx"),
            "mocap_frame_rate": np.array(_stated_rate(motion)),
            "mocap_time_length": np.array(len(person.frames) / _stated_rate(motion)),
            "trans": translation(person),
            "poses": _joined([body, jaw, eyes, *hands]),
            "betas": shape(person, 16),
            "num_betas": np.array(16),
            "root_orient": _joined([body[:, :1]]),
            "pose_body": _joined([body[:, 1:]]),
            "pose_hand": _joined(hands),
            "pose_jaw": _joined([jaw]),
            "pose_eye": _joined([eyes]),
        },
        compressed=False,
    )


def make_blender(motion: Motion, path: Path) -> None:
    """Write a new archive as the SMPL-X Blender add-on loads it, ``expressions`` (T, 100) included.

    Raises:
        ValueError: not one person, or nothing can be written there.
    """
    person = only_person(motion, "an archive for the SMPL-X Blender add-on")
    hands = [part_pose(person, "left_hand_pose", 15), part_pose(person, "right_hand_pose", 15)]
    poses = _joined([pose(person, 22), part_pose(person, "jaw_pose", 1), part_pose(person, "eye_pose", 2), *hands])
    expressions = np.zeros((len(person.frames), 100), poses.dtype)
    if "expression" in person.tracks:
        values = person.tracks["expression"].values[:, :100]
        expressions[:, : values.shape[1]] = values
    write_npz(
        path,
        {
            "betas": shape(person, 16),
            "poses": poses,
            "expressions": expressions,
            "trans": translation(person),
            "model": np.array("smplx2020"),
            "gender": np.array(person.gender or "neutral"),
            "mocap_frame_rate": np.array(_stated_rate(motion)),
        },
        compressed=False,
    )


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    joined = np.concatenate(parts, axis=1)
    return joined.reshape(len(joined), joined.shape[1] * 3)


def _stated_rate(motion: Motion) -> float:
    if motion.fps is None:
        raise mismatch(
            "frame rate to write", "frames a second", "none stated (convert --from-fps or fit --fps says it)"
        )
    return float(motion.fps)
