"""A to B to C to A: what comes back through other formats is the motion that went, in what all of them keep."""

from __future__ import annotations

import dataclasses
import itertools
import random

import numpy as np
import pytest

from smpl_tools.contents import as_content
from smpl_tools.convert import make, makeable, prepared_for
from smpl_tools.coordinates import with_unit, with_up
from smpl_tools.formats import FORMATS, read
from smpl_tools.joint_names import is_numbered, normal_name
from smpl_tools.rigs.guesses import with_guesses
from smpl_tools.rotations import axis_angle_to_matrix, geodesic_angle
from tests.smpl.plain_motions import (
    FACE,
    HANDS,
    base,
    picked_rows,
    points_person,
    smpl_parts,
    smpl_person,
    smpl_places,
    with_track,
)

READ = [name for name in makeable() if name != "gltf"]
SMPL_FORMATS = [name for name in READ if {"smpl", "rig"} & set(FORMATS[name].contents)]
POINT_FORMATS = {
    content: [name for name in READ if content in FORMATS[name].contents or name == "array"]
    for content in ("joints", "joints_2d")
}
OF_ANY_JOINTS = ("csv", "array")
OF_SOME_JOINTS = ("mediapipe", "mediapipe-json", "humandata-joints", "openpose")
# Joint sets that lack what the other demands, and files without names between others.
REFUSED = {
    *itertools.permutations(("aist", "humanml3d", "motionbert"), 2),
    *itertools.product(("mediapipe", "mediapipe-json"), ("humanml3d", "motionbert")),
    *itertools.product(("humanml3d", "motionbert"), ("mediapipe", "mediapipe-json")),
    *(("smoothnet", name) for name in POINT_FORMATS["joints"] if name not in ("smoothnet", *OF_ANY_JOINTS)),
    ("humandata-joints", "smoothnet"),
}
# In the middle of others where a set has not got them.
MIDDLES = {"pelvis", "neck", "thorax"}
RATES = (30.0, 25.0, 30000 / 1001, 60000 / 1001)
FRAMES = 8
# Degrees, metres and pixels: what float32 and six decimals leave after some conversions.
DEGREES, METRES, PIXELS = 1e-4, 2e-6, 1e-3
TRACKS = {
    "hands": HANDS,
    "jaw and eyes": FACE,
    "expression": ("expression",),
    "translation": ("transl",),
    "changing betas": ("betas",),
}


def pairs(names):
    """Return every two formats once: A to B to A has both ways."""
    return list(itertools.combinations(names, 2))


def triples(names, count):
    every = [(a, b, c) for a, b, c in itertools.permutations(names, 3)]
    return random.Random(0).sample(every, min(count, len(every)))


def kept_by(names):
    """Return what all formats keep, and not but through joints of a skeleton."""
    return set.intersection(*(set(FORMATS[name].keeps) for name in names))


def rich_smpl(kept, dtype, fps, changing):
    """Return a motion of SMPL poses that has all that is to be kept, in a scene with y up."""
    parts = smpl_parts(FRAMES)
    names = [
        name for what, own in TRACKS.items() if what in kept for name in own if what != "changing betas" or changing
    ]
    people = []
    for ident, rows, sign in (("3", slice(None), 1), ("12", [1, 2, 3, 6, 7], -1)):
        one = with_track(smpl_person(FRAMES, ident), **{name: parts[name] for name in names})
        # Another pose and another place, by which people without ids are told apart.
        one = one.with_tracks({n: t.replace(values=(sign * t.values).astype(dtype)) for n, t in one.tracks.items()})
        betas = None if "betas" in names or "betas" not in kept else np.linspace(-1, 1, 10).astype(dtype)
        one = dataclasses.replace(one, betas=betas, gender="female" if "gender" in kept else None)
        one = picked_rows(one, rows if "gaps" in kept else slice(None))
        people.append(dataclasses.replace(one, frames=one.frames + 17) if "frame numbers" in kept else one)
    if "people" not in kept:
        people = people[-1:]
    return base("smpl", people, fps)


def through(motion, name, folder, fps):
    """Return what is read from a new file of a format, at the rate that it cannot state itself."""
    form = FORMATS[name]
    path = (
        folder / f"{len(list(folder.iterdir()))}{form.suffixes[-1 if name == 'array' else 0] if form.suffixes else ''}"
    )
    ready, _ = prepared_for(motion, name)
    make(ready, name, path)
    again = read(path, fps=None if "frame rate" in form.keeps else fps)
    assert again.fps == pytest.approx(fps, rel=2e-6)
    return again


def chained(motion, names, folder, fps):
    for name in names:
        motion = through(motion, name, folder, fps)
    return motion


def as_smpl(motion):
    """Return a motion as SMPL poses in metres with y up."""
    plain, _ = prepared_for(motion, "wham")
    return with_unit(with_up(plain, "y"), 1.0)


def angle(new, old):
    pair = [axis_angle_to_matrix(v.astype(np.float64)) for v in (new, old)]
    return np.rad2deg(geodesic_angle(*pair)).max()


def assert_same_smpl(again, motion, kept):
    new, old = as_smpl(again), as_smpl(motion)
    assert len(new.people) == len(old.people)
    if "ids" in kept:
        assert [p.id for p in new.people] == [p.id for p in old.people]
    for one, other in zip(new.people, old.people, strict=True):
        first = 0 if "frame numbers" in kept else other.frames[0]
        assert np.array_equal(one.frames, other.frames - first)
        assert angle(one.tracks["global_orient"].values, other.tracks["global_orient"].values) < DEGREES
        count = min(p.tracks["body_pose"].values.shape[1] for p in (one, other))
        assert angle(*(p.tracks["body_pose"].values[:, :count] for p in (one, other))) < DEGREES
        for what, names in TRACKS.items():
            for name in names if what in kept else ():
                if name not in other.tracks:
                    continue
                numbers = [p.tracks[name].values for p in (one, other)]
                columns = numbers[1].shape[1]
                if other.tracks[name].kind == "axis_angle":
                    assert angle(numbers[0], numbers[1]) < DEGREES, name
                else:
                    np.testing.assert_allclose(numbers[0][:, :columns], numbers[1], rtol=0, atol=METRES, err_msg=name)
        if "betas" in kept and other.betas is not None:
            np.testing.assert_allclose(one.betas[:10], other.betas, rtol=0, atol=1e-6)
        if "gender" in kept:
            assert one.gender == other.gender
        # Without a place of its own the body stands still, with its root at one place.
        moved = smpl_places(one) - smpl_places(other)
        if "translation" not in kept:
            moved = moved - moved[:, :1]
        assert np.abs(moved).max() < 5e-6


@pytest.mark.parametrize("names", pairs(SMPL_FORMATS) + triples(SMPL_FORMATS, 60), ids=lambda names: "-".join(names))
def test_poses_through_other_formats(names, tmp_path):
    number = sum(map(ord, "".join(names)))
    kept = kept_by(names)
    fps, dtype = RATES[number % 4], (np.float32, np.float64)[number % 2]
    motion = rich_smpl(kept, dtype, fps, changing=bool(number // 2 % 2) and "changing betas" in kept)
    again = chained(motion, (*names, names[0]), tmp_path, fps)
    assert_same_smpl(again, motion, kept)


def rich_points(kept, content, dtype, fps):
    """Return a motion of joints that has all that is to be kept."""
    size = 2 if content == "joints_2d" else 3
    people = []
    for ident, rows, shift in (("3", slice(None), 0), ("12", [1, 2, 3, 6, 7], 400 if size == 2 else 2)):
        one = points_person(FRAMES, ident, size)
        joints = one.tracks["joints"]
        confidence = np.random.default_rng(0).uniform(0.2, 0.9, joints.values.shape[:2]).astype(dtype)
        values = (joints.values + shift).astype(dtype)
        one = with_track(
            one, joints=joints.replace(values=values, confidence=confidence if "confidence" in kept else None)
        )
        one = picked_rows(one, rows if "gaps" in kept else slice(None))
        people.append(dataclasses.replace(one, frames=one.frames + 17) if "frame numbers" in kept else one)
    return base(content, people if "people" in kept else people[-1:], fps)


def assert_same_points(again, motion, kept, content):
    new, old = (as_content(m, content)[0] for m in (again, motion))
    if content == "joints":
        new, old = (with_unit(with_up(with_guesses(m)[0], "y"), 1.0) for m in (new, old))
    assert len(new.people) == len(old.people)
    if "ids" in kept:
        assert [p.id for p in new.people] == [p.id for p in old.people]
    for one, other in zip(new.people, old.people, strict=True):
        got, given = one.tracks["joints"], other.tracks["joints"]
        first = one.frames[0] - other.frames[0]
        if "frame numbers" in kept:
            assert first == 0
        rows = other.frames - other.frames[0]
        seen = np.isfinite(got.values).any(axis=(1, 2))
        assert np.array_equal(one.frames[seen] - one.frames[0], rows)
        names = [[normal_name(joint) for joint in track.joints] for track in (got, given)]
        if is_numbered(got.joints) or is_numbered(given.joints):
            assert got.values.shape[1:] == given.values.shape[1:]
            names[0] = names[1]
        shared = [name for name in names[1] if name in names[0] and name not in MIDDLES]
        assert shared
        at = [[own.index(name) for name in shared] for own in names]
        values = [got.values[seen][:, at[0]], given.values[:, at[1]]]
        known = np.isfinite(values[0]).all(axis=(0, 2))
        assert known.sum() >= 10
        atol = PIXELS if content == "joints_2d" else METRES
        np.testing.assert_allclose(values[0][:, known], values[1][:, known], rtol=0, atol=atol)
        if "confidence" in kept:
            pair = [got.confidence[seen][:, at[0]][:, known], given.confidence[:, at[1]][:, known]]
            np.testing.assert_allclose(*pair, rtol=0, atol=1e-6)


def point_chains():
    for content, names in POINT_FORMATS.items():
        # What holds any joints, or some of those that it is given; the others refuse what lacks one of theirs.
        open_to_all = [name for name in names if name in (*OF_ANY_JOINTS, *OF_SOME_JOINTS)]
        for pair in pairs(names):
            yield from ((content, way) for way in [way for way in (pair, pair[::-1]) if way not in REFUSED][:1])
        yield from ((content, chain) for chain in triples(open_to_all, 30))


@pytest.mark.parametrize("names", sorted(REFUSED), ids="-".join)
def test_joints_that_another_format_has_not_got_are_refused(names, tmp_path):
    with pytest.raises(ValueError, match=r"joints for .*: expected .*, received "):
        chained(base("joints", points_person(), 25.0), (*names, names[0]), tmp_path, 25.0)


@pytest.mark.parametrize(
    ("content", "names"), list(point_chains()), ids=lambda v: v if isinstance(v, str) else "-".join(v)
)
def test_joints_through_other_formats(content, names, tmp_path):
    number = sum(map(ord, "".join(names)))
    kept = kept_by(names)
    fps, dtype = RATES[number % 4], (np.float32, np.float64)[number % 2]
    motion = rich_points(kept, content, dtype, fps)
    again = chained(motion, (*names, names[0]), tmp_path, fps)
    assert_same_points(again, motion, kept, content)


@pytest.mark.parametrize("name", [n for n in READ if FORMATS[n].up and n not in ("motionbert", "bvh")])
def test_people_stand_upright_in_the_axes_of_each_format(name, tmp_path):
    # The numbers as the file has them, of someone who stands and looks along z with y up.
    content = FORMATS[name].contents[0]
    motion = base("joints", points_person(), 25.0) if content == "joints" else base("smpl", smpl_person(), 25.0)
    (person,) = through(motion, name, tmp_path, 25.0).people
    up = {"y": (1, 1), "z": (2, 1), "-y": (1, -1)}[FORMATS[name].up]
    if content == "joints":
        (track,) = (t for t in person.tracks.values() if t.values.shape[2:] == (3,))
        names = [normal_name(joint) for joint in track.joints]
        places = {joint: track.values[:, k] for k, joint in enumerate(names)}
        above = places["left_shoulder"] - places["left_ankle"]
        left = places["left_shoulder"] - places["right_shoulder"]
    else:
        suffix = "_world" if "global_orient_world" in person.tracks else ""
        track = person.tracks[f"global_orient{suffix}"]
        turns = track.values if track.kind == "rotation_matrix" else axis_angle_to_matrix(track.values)
        above, left = turns[:, 0] @ [0, 1, 0], turns[:, 0] @ [1, 0, 0]
        assert track.up == FORMATS[name].up
    assert (above[:, up[0]] * up[1] > 0.6).all()
    assert (left[:, 0] > 0.2).all()


@pytest.mark.parametrize("name", [n for n in SMPL_FORMATS if FORMATS[n].up and n != "bvh"])
def test_joints_are_where_they_were_turned_by_hand(name, tmp_path):
    # From y up to the format's axes about x, with right angles written out.
    turn = {"y": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "z": [[1, 0, 0], [0, 0, -1], [0, 1, 0]]}
    turn["-y"] = [[1, 0, 0], [0, -1, 0], [0, 0, -1]]
    kept = set(FORMATS[name].keeps)
    motion = rich_smpl(kept, np.float64, 25.0, changing=False)
    again = through(motion, name, tmp_path, 25.0)
    plain = with_unit(as_content(again, "smpl")[0], 1.0)
    for new, old in zip(plain.people, motion.people, strict=True):
        found, expected = smpl_places(new), smpl_places(old) @ np.transpose(turn[FORMATS[name].up])
        if "translation" not in kept:
            found, expected = (places - places[:, :1] for places in (found, expected))
        assert np.abs(found - expected).max() < 2e-6
