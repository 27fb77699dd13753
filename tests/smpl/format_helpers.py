"""What tests of several formats share."""

from __future__ import annotations

import pickle

import numpy as np

from smpl_tools.motion import Motion, Person, Track
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X


def saved(path, content, protocol=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def loaded(path):
    return pickle.loads(path.read_bytes())


def assert_same(one, other):
    """Fail unless two results are the same in types, keys, order, dtypes and bits."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, np.ndarray) and one.dtype == object:
        assert one.shape == other.shape
        assert_same(one.reshape(-1).tolist(), other.reshape(-1).tolist())
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other


def plus(motion, person, track, amount, row=None):
    """Return the motion with ``amount`` added to one track of one person, in all rows or one."""
    people = list(motion.people)
    old = people[person].tracks[track]
    values = old.values.copy()
    values[slice(None) if row is None else row] += values.dtype.type(amount)
    people[person] = people[person].with_tracks({track: old.replace(values=values)})
    return motion.with_people(tuple(people))


def smpl_person(ident="0", frames=(0, 1, 2), *, seed=0, dtype=np.float64, body=23, up="y", extra=(), **more):
    """Return a person of a plain SMPL motion; ``extra`` names hands, face, expression, betas to be there."""
    generator = np.random.default_rng(seed)
    count = len(frames)

    def rotations(joints):
        return generator.uniform(-0.8, 0.8, (count, joints, 3)).astype(dtype)

    tracks = {
        "global_orient": Track(rotations(1), "axis_angle", "root", SMPL.joints[:1], up=up),
        "body_pose": Track(rotations(body), "axis_angle", "body", SMPL.joints[1 : 1 + body]),
        "transl": Track(
            generator.normal(size=(count, 1, 3)).astype(dtype), "position", "root", ("pelvis",), metres=1.0, up=up
        ),
    }
    if "hands" in extra:
        for side, first in (("left", 22), ("right", 37)):
            tracks[f"{side}_hand_pose"] = Track(rotations(15), "axis_angle", "hands", SMPL_H.joints[first : first + 15])
    if "face" in extra:
        tracks["jaw_pose"] = Track(rotations(1), "axis_angle", "face", SMPL_X.joints[22:23])
        tracks["eye_pose"] = Track(rotations(2), "axis_angle", "face", SMPL_X.joints[23:25])
        names = tuple(f"expression_{k}" for k in range(10))
        tracks["expression"] = Track(generator.normal(size=(count, 10)).astype(dtype), "channels", "face", names)
    if "betas" in extra:
        names = tuple(f"betas_{k}" for k in range(10))
        tracks["betas"] = Track(generator.normal(size=(count, 10)).astype(dtype), "channels", "shape", names)
    return Person(ident, tracks, np.array(frames, np.int64), **more)


def smpl_motion(*people, fps=30.0):
    return Motion("something else", people or (smpl_person(),), fps)


def assert_close(again, motion, atol=1e-9):
    """Fail unless the people that were read are those that were written."""
    assert [p.id for p in again.people] == [p.id for p in motion.people]
    for new, old in zip(again.people, motion.people, strict=True):
        assert np.array_equal(new.frames, old.frames)
        for name, track in old.tracks.items():
            found = new.tracks[name].values[:, : track.values.shape[1]]
            np.testing.assert_allclose(found, track.values, atol=atol, rtol=0, err_msg=name)
