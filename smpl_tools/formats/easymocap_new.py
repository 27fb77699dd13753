"""A new folder of EasyMocap's body parameters from SMPL poses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from smpl_tools.coordinates import PELVIS
from smpl_tools.formats._files import replacing_folder
from smpl_tools.formats._records import timeline, whole_numbers
from smpl_tools.formats._smpl import part_pose, pose, shapes, translation
from smpl_tools.motion import Motion, Person
from smpl_tools.rotations import axis_angle_to_matrix

_HANDS, _FACE = {"left_hand_pose", "right_hand_pose"}, {"jaw_pose", "eye_pose", "expression"}


def make(motion: Motion, path: Path) -> None:
    """Write a folder ``000012.json`` of lists of people, with empty lists for frames without anybody.

    ``poses`` has 72 columns (SMPL), 156 with hands (SMPL-H), 165 with a face (SMPL-X, ``expression`` beside it): whole
    rotations, which EasyMocap's models take in place of components; all people in the layout that the fullest needs.
    ``Th`` is the translation less what a turn about the origin moves the pelvis by, see
    :mod:`smpl_tools.formats.easymocap`.

    Args:
        motion: in the plain form ``smpl``.
        path: the folder.

    Raises:
        ValueError: nobody is in it, a negative frame number, or nothing can be written there.
    """
    frames = timeline(motion.people, "EasyMocap files")
    idents = whole_numbers(motion.people)
    names = {name for person in motion.people for name in person.tracks}
    arrays = [_arrays(person, bool(names & _HANDS), bool(names & _FACE)) for person in motion.people]
    with replacing_folder(path) as folder:
        for number, there in frames:
            people = [
                {"id": idents[i], **{key: values[row : row + 1].tolist() for key, values in arrays[i].items()}}
                for i, row in there
            ]
            (folder / f"{number:06d}.json").write_text(json.dumps(people), encoding="utf-8")


def _arrays(person: Person, hands: bool, face: bool) -> dict[str, np.ndarray]:
    count = len(person.frames)
    orient = person.tracks["global_orient"].values[:, 0].astype(np.float64)
    turned = axis_angle_to_matrix(orient) @ PELVIS
    body = pose(person, 22 if hands or face else 24)
    body[:, 0] = 0
    parts = [body]
    if face:
        parts += [part_pose(person, "jaw_pose", 1), part_pose(person, "eye_pose", 2)]
    if hands or face:
        parts += [part_pose(person, "left_hand_pose", 15), part_pose(person, "right_hand_pose", 15)]
    result = {
        "Rh": orient,
        "Th": translation(person).astype(np.float64) - (turned - PELVIS),
        "poses": np.concatenate(parts, axis=1).reshape(count, 3 * sum(part.shape[1] for part in parts)),
    }
    if face:
        result["expression"] = np.zeros((count, 10))
        if "expression" in person.tracks:
            values = person.tracks["expression"].values[:, :10]
            result["expression"][:, : values.shape[1]] = values
    result["shapes"] = shapes(person, 10)
    return result
