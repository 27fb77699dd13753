"""A new folder of OpenPose files from 2D joints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.limits import check_limit
from smpl_tools.formats._files import replacing_folder
from smpl_tools.formats._openpose_joints import BODY_25, BODY_25B, COCO_18, FACE, HAND
from smpl_tools.joint_names import is_numbered, normal_name, picked
from smpl_tools.motion import Motion, Person, Track

# Version that OpenPose writes into its files.
_VERSION = 1.3
_FIELDS = ("pose_keypoints_2d", "face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d")
_EMPTY = ("pose_keypoints_3d", "face_keypoints_3d", "hand_left_keypoints_3d", "hand_right_keypoints_3d")


def make(motion: Motion, path: Path) -> None:
    """Write a folder of one file a frame, ``NAME_000000000012_keypoints.json``, x, y, confidence of every keypoint.

    The body goes into the layout (BODY_25, BODY_25B, COCO) whose keypoints it has most of; keypoints it lacks, and
    those not observed, are 0, 0, 0. Joints ``left_hand_...``, ``right_hand_...`` and the face's go into their fields.
    OpenPose does not number people: they stand in the motion's order.

    Args:
        motion: in the plain form ``joints_2d``.
        path: the folder.

    Raises:
        ValueError: nobody is in it, no joint that OpenPose knows, a negative frame number, or nothing can be written.
    """
    if not motion.people:
        raise mismatch("people for OpenPose files", "at least one", "nobody")
    fields = [_person_fields(person) for person in motion.people]
    first = min(int(person.frames[0]) for person in motion.people if len(person.frames))
    last = max(int(person.frames[-1]) for person in motion.people if len(person.frames))
    check_limit("frames of OpenPose files, missing ones included", "frames", last - first + 1)
    if first < 0:
        raise mismatch("frame numbers for OpenPose files", "0 and more", str(first))
    rows = [{int(frame): row for row, frame in enumerate(person.frames)} for person in motion.people]
    stem = path.name or "take"
    with replacing_folder(path) as folder:
        for frame in range(first, last + 1):
            people = []
            for own, arrays in zip(rows, fields, strict=True):
                if frame in own:
                    numbers = {field: arrays[field][own[frame]].tolist() for field in _FIELDS if field in arrays}
                    empty: dict[str, Any] = {field: [] for field in (*_FIELDS, *_EMPTY)}
                    people.append({"person_id": [-1], **empty, **numbers})
            document = json.dumps({"version": _VERSION, "people": people}, separators=(",", ":"))
            (folder / f"{stem}_{frame:012d}_keypoints.json").write_text(document, encoding="utf-8")


def _person_fields(person: Person) -> dict[str, NDArray[np.float64]]:
    """Return (T, 3 K) x, y, confidence by field."""
    track = person.tracks["joints"]
    found = {"pose_keypoints_2d": _keypoints(picked(track, _layout(track), what="OpenPose's body", optional=True))}
    for side in ("left", "right"):
        wanted = tuple(f"{side}_hand_{joint}" for joint in HAND)
        if set(wanted) <= set(track.joints):
            found[f"hand_{side}_keypoints_2d"] = _keypoints(picked(track, wanted, what="OpenPose's hand"))
    if set(FACE) <= set(track.joints):
        found["face_keypoints_2d"] = _keypoints(picked(track, FACE, what="OpenPose's face"))
    return found


def _layout(track: Track) -> tuple[str, ...]:
    """Return the layout that a track has the largest share of, and has as many joints of where none has names."""
    layouts = (BODY_25, BODY_25B, COCO_18)
    if is_numbered(track.joints):
        return next((names for names in layouts if len(names) == len(track.joints)), BODY_25)
    own = {normal_name(joint) for joint in track.joints}
    return max(layouts, key=lambda names: (len(own & {normal_name(n) for n in names}) / len(names), len(names)))


def _keypoints(track: Track) -> NDArray[np.float64]:
    values = track.values.astype(np.float64)
    seen = np.isfinite(values).all(axis=2)
    confidence = np.ones(seen.shape) if track.confidence is None else track.confidence
    keypoints = np.concatenate([values, confidence[..., None]], axis=2)
    keypoints[~seen] = 0.0
    return keypoints.astype(np.float64).reshape(len(values), -1)
