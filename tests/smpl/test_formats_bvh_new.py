"""New BVH files: read back, by this package and by the layout's own rules."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smpl_tools.contents import as_content
from smpl_tools.formats import FORMATS, read
from smpl_tools.motion import Motion, Person, Skeleton, Track
from smpl_tools.rigs.plain_form import rig_arrays
from smpl_tools.skeleton import positions
from tests.helpers import REPOSITORY

TAKE = REPOSITORY / "assets" / "takes" / "reactidle_000.bvh"


def rig(parents, frames=6, seed=0, fps=30.0, moving=()):
    generator = np.random.default_rng(seed)
    count = len(parents)
    names = tuple(f"bone {k}" for k in range(count))
    ends = np.full((count, 3), np.nan)
    ends[-1] = [0, 1, 0]
    skeleton = Skeleton(names, np.array(parents), generator.normal(size=(count, 3)).round(3), 1.0, ends)
    turns = Rotation.random(frames * count, random_state=seed).as_matrix().reshape(frames, count, 3, 3)
    places = generator.normal(size=(frames, 1, 3))
    tracks = {
        "global_orient": Track(turns[:, :1], "rotation_matrix", "root", names[:1], up="y"),
        "transl": Track(places, "position", "root", names[:1], metres=1.0, up="y"),
    }
    if count > 1:
        tracks["body_pose"] = Track(turns[:, 1:], "rotation_matrix", "body", names[1:])
    if moving:
        track = Track(
            generator.normal(size=(frames, len(moving), 3)), "position", "body", tuple(names[m] for m in moving)
        )
        tracks["joint_positions"] = track
    return Motion("x", (Person("0", tracks, np.arange(frames)),), fps, skeleton)


def places(motion):
    (person,) = motion.people
    rotations, offsets = rig_arrays(motion, person)
    return positions(rotations, None, motion.skeleton, offsets)


@st.composite
def trees(draw):
    count = draw(st.integers(1, 7))
    return [-1, *(draw(st.integers(0, k - 1)) for k in range(1, count))]


@settings(max_examples=30)
@given(trees(), st.integers(0, 99))
def test_any_hierarchy_comes_back_with_its_joints_where_they_were(tmp_path_factory, parents, seed):
    motion = rig(parents, seed=seed, moving=(len(parents) - 1,) if len(parents) > 2 else ())
    path = tmp_path_factory.mktemp("bvh") / "x.bvh"
    FORMATS["bvh"].make(motion, path)
    again, _ = as_content(read(path), "rig")
    order = [again.skeleton.joints.index(name) for name in motion.skeleton.joints]
    # Six decimals of degrees at the end of seven bones.
    assert np.abs(places(again)[:, order] - places(motion)).max() < 2e-5
    assert again.fps == 30.0
    parents_again = [again.skeleton.joints[p] if p >= 0 else None for p in again.skeleton.parents[order]]
    assert parents_again == [motion.skeleton.joints[p] if p >= 0 else None for p in motion.skeleton.parents]


def test_the_text_is_what_programs_expect(tmp_path):
    FORMATS["bvh"].make(rig([-1, 0, 0], frames=2, fps=60000 / 1001), tmp_path / "x.bvh")
    lines = (tmp_path / "x.bvh").read_text().split("\n")
    assert lines[:5] == [
        "HIERARCHY",
        "ROOT bone 0",
        "{",
        "\tOFFSET 0.126000 -0.132000 0.640000",
        "\tCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation",
    ]
    assert lines.count("\t\tEnd Site") == 2
    ends = [lines[k + 2].strip() for k, line in enumerate(lines) if line == "\t\tEnd Site"]
    # Where the skeleton says, and else half the bone further on.
    assert ends == ["OFFSET 0.052500 -0.268000 0.181000", "OFFSET 0.000000 1.000000 0.000000"]
    motion_at = lines.index("MOTION")
    assert lines[motion_at + 1 : motion_at + 3] == ["Frames: 2", "Frame Time: 0.0166833333"]
    assert [len(line.split()) for line in lines[motion_at + 3 :]] == [12, 12, 0]
    assert read(tmp_path / "x.bvh").fps == 60000 / 1001


def test_a_real_take_goes_through_a_new_file(tmp_path):
    motion, _ = as_content(read(TAKE), "rig")
    FORMATS["bvh"].make(motion, tmp_path / "x.bvh")
    again, _ = as_content(read(tmp_path / "x.bvh"), "rig")
    assert again.skeleton.joints == motion.skeleton.joints
    assert np.abs(places(again) - places(motion)).max() < 1e-6 * np.abs(motion.skeleton.offsets).sum()
    assert np.allclose(np.nan_to_num(again.skeleton.ends), np.nan_to_num(motion.skeleton.ends), atol=1e-6)


def test_refusals(tmp_path):
    path = tmp_path / "x.bvh"
    motion = rig([-1, 0])
    (person,) = motion.people
    two = Motion("x", (person, Person("1", person.tracks, person.frames)), 30.0, motion.skeleton)
    body = person.tracks["body_pose"]
    values = body.values.copy()
    values[1, 0] = np.nan
    hole = motion.with_people((person.with_tracks({"body_pose": body.replace(values=values)}),))
    cases = [
        (two, "people for a BVH file: expected one, received 0, 1"),
        (
            Motion("x", (person,), None, motion.skeleton),
            "motion for a BVH file: expected a skeleton and a frame rate, received no frame rate "
            "(convert --from-fps or fit --fps says it)",
        ),
        (
            Motion("x", (person,), 30.0),
            "motion for a BVH file: expected a skeleton and a frame rate, received no skeleton",
        ),
        (hole, "values of person 0: expected all observed (--fill fills gaps), received some that are not"),
    ]
    for bad, message in cases:
        with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
            FORMATS["bvh"].make(bad, path)
        assert not path.exists()
