"""A new folder of SMPLify-X results from SMPL poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from smpl_tools.formats._files import replacing_folder
from smpl_tools.formats._pickles import dump
from smpl_tools.formats._records import timeline
from smpl_tools.formats._smpl import part_pose, pose, shapes, translation
from smpl_tools.motion import Motion

# Components of the hands that SMPLify-X is configured for; all 0 is the mean hand.
_COMPONENTS = 12


def make(motion: Motion, path: Path) -> None:
    """Write a folder ``FRAME/000.pkl`` of SMPL-X's parameters; ``camera_translation`` is the translation.

    Fingers are 45 numbers (``use_pca=False``, ``flat_hand_mean=True`` in smplx), or, of a motion without hands, 12
    zeros as SMPLify-X is configured; jaw, eyes and expression are 0 where the motion has none, the camera is not
    turned.

    Args:
        motion: in the plain form ``smpl``.
        path: the folder.

    Raises:
        ValueError: nobody is in it, a negative frame number, or nothing can be written there.
    """
    frames = timeline(motion.people, "SMPLify-X results")
    arrays = []
    for person in motion.people:
        count = len(person.frames)
        body, eyes = pose(person, 22), part_pose(person, "eye_pose", 2)
        own = {
            "camera_translation": translation(person),
            "betas": shapes(person, 10),
            "global_orient": body[:, 0],
            "body_pose": body[:, 1:],
        }
        for side in ("left_hand_pose", "right_hand_pose"):
            track = person.tracks.get(side)
            own[side] = np.zeros((count, _COMPONENTS), body.dtype) if track is None else track.values
        own |= {"jaw_pose": part_pose(person, "jaw_pose", 1), "leye_pose": eyes[:, 0], "reye_pose": eyes[:, 1]}
        own["expression"] = np.zeros((count, 10), body.dtype)
        if "expression" in person.tracks:
            values = person.tracks["expression"].values[:, :10]
            own["expression"][:, : values.shape[1]] = values
        arrays.append(own)
    with replacing_folder(path) as folder:
        for number, there in frames:
            for place, (index, row) in enumerate(there):
                record = {key: values[row].reshape(1, -1) for key, values in arrays[index].items()}
                record = {"camera_rotation": np.eye(3, dtype=record["global_orient"].dtype)[None], **record}
                file = folder / f"{number:06d}" / f"{place:03d}.pkl"
                file.parent.mkdir(exist_ok=True)
                dump(record, file)
