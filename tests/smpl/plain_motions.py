"""Plain motions of each content that move as people do, for tests across formats."""

from __future__ import annotations

import dataclasses

import numpy as np

from smpl_tools.coordinates import PELVIS
from smpl_tools.formats._openpose_joints import BODY_25
from smpl_tools.formats.aist import COCO_17
from smpl_tools.formats.mediapipe import LANDMARKS
from smpl_tools.joint_names import normal_name
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.rotations import axis_angle_to_matrix
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X, positions

RATE = 24000 / 1001
HANDS = ("left_hand_pose", "right_hand_pose")
FACE = ("jaw_pose", "eye_pose")


def smooth(*shape, seed=0, size=0.4):
    generator = np.random.default_rng(seed)
    time = np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)) / 30
    return size * np.sin(time + generator.uniform(0, 6, (1, *shape[1:])))


def track(values, kind, part, joints, **more):
    return Track(values, kind, part, tuple(joints), **more)


def smpl_person(frames=12, ident="0", **extra):
    poses = smooth(frames, 24, 3)
    poses[:, 22:] = 0
    tracks = {
        "global_orient": track(poses[:, :1], "axis_angle", "root", SMPL.joints[:1], up="y"),
        "body_pose": track(poses[:, 1:], "axis_angle", "body", SMPL.joints[1:]),
    }
    return Person(ident, tracks, np.arange(frames, dtype=np.int64), **extra)


def smpl_parts(frames=12):
    """Return the tracks that a person of SMPL poses may have beside those of :func:`smpl_person`, by name."""
    channels = {"expression": ("face", 9), "betas": ("shape", 10)}
    return {
        "transl": track(smooth(frames, 1, 3, seed=4), "position", "root", ["pelvis"], metres=1.0, up="y"),
        **{
            name: track(smooth(frames, 15, 3, seed=k), "axis_angle", "hands", SMPL_H.joints[k : k + 15])
            for k, name in zip((22, 37), HANDS, strict=True)
        },
        "jaw_pose": track(smooth(frames, 1, 3, seed=7), "axis_angle", "face", SMPL_X.joints[22:23]),
        "eye_pose": track(smooth(frames, 2, 3, seed=8), "axis_angle", "face", SMPL_X.joints[23:25]),
        **{
            name: track(smooth(frames, 10, seed=seed), "channels", part, [f"{name}_{k}" for k in range(10)])
            for name, (part, seed) in channels.items()
        },
    }


def picked_rows(person, rows):
    """Return a person who is there in some of their rows alone."""
    tracks = {
        name: one.replace(values=one.values[rows], confidence=None if one.confidence is None else one.confidence[rows])
        for name, one in person.tracks.items()
    }
    return dataclasses.replace(person, tracks=tracks, frames=person.frames[rows])


def points_person(frames=12, ident="0", size=3, confidence=None):
    turns = axis_angle_to_matrix(smooth(frames, 24, 3, size=0.2))
    places = positions(turns, smooth(frames, 3, seed=3) + np.array([0, 1.0, 3]), SMPL)
    at = dict(zip(SMPL.joints, np.moveaxis(places, 1, 0), strict=True))
    at |= {"thorax": at["neck"], "spine": at["spine2"], "nose": at["head"] + [0, 0, 0.1], "head_top": at["head"]}
    generator = np.random.default_rng(1)
    extra = [*COCO_17, *LANDMARKS, *map(normal_name, BODY_25)]
    for name in extra:
        at.setdefault(name, at["head"] + generator.normal(0, 0.05, 3))
    values = np.stack(list(at.values()), axis=1)
    if size == 2:
        values = 500 + 300 * values[..., :2]
        names = [normal_name(name) for name in BODY_25]
        values = np.stack([values[:, list(at).index(name)] for name in names], axis=1)
    else:
        names = list(at)
    unit = {"metres": 1.0, "up": "y"} if size == 3 else {}
    one = track(values, "position", "body", names, confidence=confidence, **unit)
    return Person(ident, {"joints": one}, np.arange(frames, dtype=np.int64))


def base(content, person, fps=RATE):
    skeleton = SMPL if content == "rig" else None
    return Motion("something else", tuple(person) if isinstance(person, list) else (person,), fps, skeleton)


def with_track(person, **tracks):
    return dataclasses.replace(person, tracks={**person.tracks, **tracks})


def smpl_places(person):
    """Return where SMPL's first 22 joints are (T, 22, 3) in the person's scene, in metres."""
    turns = np.tile(np.eye(3), (len(person.frames), 24, 1, 1))
    for name, first, last in (("global_orient", 0, 1), ("body_pose", 1, 22)):
        turns[:, first:last] = axis_angle_to_matrix(person.tracks[name].values[:, : last - first].astype(np.float64))
    transl = person.tracks["transl"].values[:, 0] if "transl" in person.tracks else np.zeros((len(turns), 3))
    return positions(turns, transl + PELVIS, SMPL)[:, :22]
