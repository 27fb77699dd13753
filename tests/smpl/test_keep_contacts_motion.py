"""Planted feet in whole motions: which tracks, which unit, which frames, and what the report says."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smpl_tools import formats
from smpl_tools.contacts.keep_motion import keep_contacts_motion
from smpl_tools.motion import Motion, Person, Skeleton, Track
from smpl_tools.skeleton import SMPL, person_positions, positions
from tests.helpers import REPOSITORY
from tests.smpl.test_keep_contacts import AT, HELD, crouch

TAKES = REPOSITORY / "assets" / "takes"


def walking(seed=0, frames=240):
    """Return a motion of a body that stands and slides about a little, its root and hips as an estimator has them."""
    turned, root = crouch(fps=60, seconds=frames / 60, slide=0.005, turn=0.01)
    vectors = Rotation.from_matrix(turned.reshape(-1, 3, 3)).as_rotvec().reshape(frames, 24, 3)
    tracks = {
        "global_orient": Track(vectors[:, :1], "axis_angle", "root", SMPL.joints[:1]),
        "body_pose": Track(vectors[:, 1:], "axis_angle", "body", SMPL.joints[1:]),
        "betas": Track(np.zeros((frames, 10)), "channels", "shape", tuple(f"betas_{k}" for k in range(10))),
        "transl": Track(root[:, None].astype(np.float32), "position", "root", ("pelvis",)),
    }
    return Motion("amass", (Person("0", tracks, np.arange(frames)),), 60.0)


def feet(motion, skeleton=SMPL):
    return person_positions(motion.people[0], skeleton)[:, [AT["left_ankle"], AT["left_foot"], AT["right_ankle"]]]


def test_feet_stay_and_the_rest_stays_the_same_object():
    motion = walking()
    result = keep_contacts_motion(motion)
    (report,) = result.report
    assert result.notes == ()
    assert (report.person, report.up, report.metres, report.unit_guessed) == ("0", "y", 1.0, False)
    assert set(report.contact) == {"left_ankle", "left_foot", "right_ankle", "right_foot"}
    assert min(report.contact.values()) > 0.95
    assert report.slide_before > 5
    assert report.slide_after < 0.1
    old, new = motion.people[0].tracks, result.motion.people[0].tracks
    assert new["global_orient"] is old["global_orient"]
    assert new["betas"] is old["betas"]
    assert set(report.tracks) == {"body_pose", "transl"}
    changed = {
        SMPL.joints[1 + j] for j in np.flatnonzero((new["body_pose"].values != old["body_pose"].values).any((0, 2)))
    }
    assert changed == {f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle")}
    assert new["transl"].values.dtype == np.float32
    np.testing.assert_array_equal(new["transl"].values[..., [0, 2]], old["transl"].values[..., [0, 2]])
    moved = np.linalg.norm(feet(result.motion) - feet(motion), axis=-1)
    assert 1000 * moved.max() == pytest.approx(report.largest_change, rel=0.3)
    steps = np.linalg.norm(np.diff(feet(result.motion)[..., [0, 2]], axis=0), axis=-1)
    assert steps[30:200].max() < 1e-5


def test_nothing_planted_is_nothing_changed():
    motion = walking()
    person = motion.people[0]
    fall = person.tracks["transl"].values + np.linspace(0, 60, 240, dtype=np.float32)[:, None, None]
    flying = motion.with_people((person.with_tracks({"transl": person.tracks["transl"].replace(values=fall)}),))
    result = keep_contacts_motion(flying)
    assert result.report[0].tracks == ()
    assert result.report[0].slide_before is None
    assert result.report[0].largest_change_joint is None
    assert all(
        new is old
        for new, old in zip(result.motion.people[0].tracks.values(), flying.people[0].tracks.values(), strict=True)
    )


def test_contacts_may_come_from_another_motion():
    motion = walking()
    person = motion.people[0]
    away = person.tracks["transl"].values + np.linspace(0, 60, 240, dtype=np.float32)[:, None, None]
    other = motion.with_people((person.with_tracks({"transl": person.tracks["transl"].replace(values=away)}),))
    assert keep_contacts_motion(motion, other).report[0].tracks == ()
    assert keep_contacts_motion(motion, motion).report == keep_contacts_motion(motion).report


def test_long_absences_part_and_short_ones_are_bridged():
    motion = walking()
    person = motion.people[0]
    keep = np.r_[0:100, 110:160, 200:240]
    tracks = {name: track.replace(values=track.values[keep]) for name, track in person.tracks.items()}
    gappy = motion.with_people((Person("0", tracks, keep),))
    result = keep_contacts_motion(gappy)
    placed = feet(result.motion)
    assert len(placed) == len(keep)
    for rows in (slice(10, 145), slice(155, 185)):
        assert np.ptp(placed[rows][..., [0, 2]], axis=0).max() < 1e-4
    assert result.report[0].largest_change_frame in keep


def test_what_was_not_observed_stays_so():
    motion = walking()
    person = motion.people[0]
    pose = person.tracks["body_pose"].values.copy()
    pose[50:60] = np.nan
    holed = motion.with_people((person.with_tracks({"body_pose": person.tracks["body_pose"].replace(values=pose)}),))
    new = keep_contacts_motion(holed).motion.people[0].tracks["body_pose"].values
    assert np.isnan(new[50:60]).all()
    assert np.isfinite(np.delete(new, slice(50, 60), axis=0)).all()


def test_a_piece_without_a_value_is_left_alone():
    motion = walking()
    person = motion.people[0]
    keep = np.r_[0:100, 160:240]
    tracks = {name: track.replace(values=track.values[keep].copy()) for name, track in person.tracks.items()}
    tracks["body_pose"].values[100:] = np.nan
    result = keep_contacts_motion(motion.with_people((Person("0", tracks, keep),)))
    assert np.ptp(feet(result.motion)[10:90][..., [0, 2]], axis=0).max() < 1e-4
    np.testing.assert_array_equal(result.motion.people[0].tracks["transl"].values[100:], tracks["transl"].values[100:])
    tracks["body_pose"].values[:] = np.nan
    with pytest.raises(ValueError, match=r"^person 0: track body_pose: expected an observed value, received none$"):
        keep_contacts_motion(motion.with_people((Person("0", tracks, keep),)))


@pytest.mark.parametrize("kind", ["quat_wxyz", "rotation_matrix", "rotation_6d"])
def test_every_kind_of_rotation(kind):
    from smpl_tools import rotations

    motion = walking()
    person = motion.people[0]
    convert = {
        "quat_wxyz": rotations.axis_angle_to_quat_wxyz,
        "rotation_matrix": rotations.axis_angle_to_matrix,
        "rotation_6d": lambda v: rotations.matrix_to_rotation_6d(rotations.axis_angle_to_matrix(v)),
    }[kind]
    tracks = {
        name: person.tracks[name].replace(values=convert(person.tracks[name].values), kind=kind)
        for name in ("global_orient", "body_pose")
    }
    same = keep_contacts_motion(motion.with_people((person.with_tracks(tracks),))).motion
    np.testing.assert_allclose(feet(same), feet(keep_contacts_motion(motion).motion), atol=1e-6)


def placed(motion, unit=1.0, name="joints"):
    person = motion.people[0]
    x = person_positions(person, SMPL) * unit
    track = Track(x, "position", "body", SMPL.joints)
    return Motion("array", (Person("0", {name: track}, person.frames),), 60.0)


@pytest.mark.parametrize(("unit", "metres"), [(1.0, 1.0), (100.0, 0.01), (39.37, 0.0254), (17.7165, 0.0254 / 0.45)])
def test_the_unit_is_told_from_the_legs(unit, metres):
    result = keep_contacts_motion(placed(walking(), unit))
    assert result.report[0].metres == pytest.approx(metres, rel=1e-3)
    assert result.report[0].slide_after < 0.1
    assert result.notes == (f"the file does not state its unit of length: {metres:g} m by the length of the legs",)
    assert keep_contacts_motion(placed(walking(), unit), metres=1 / unit).notes == ()


def test_other_axes():
    motion = placed(walking())
    person = motion.people[0]
    track = person.tracks["joints"]
    lying = track.replace(values=track.values[..., [0, 2, 1]] * [1, -1, 1])
    result = keep_contacts_motion(motion.with_people((person.with_tracks({"joints": lying}),)))
    assert result.report[0].up == "z"
    new = result.motion.people[0].tracks["joints"].values
    straight = keep_contacts_motion(motion).motion.people[0].tracks["joints"].values
    np.testing.assert_allclose(new, straight[..., [0, 2, 1]] * [1, -1, 1], atol=1e-8)


def test_a_bvh_take_there_and_back(tmp_path):
    motion = formats.read(TAKES / "reactidle_000.bvh")
    result = keep_contacts_motion(motion)
    (report,) = result.report
    assert report.up == "y"
    assert report.slide_after < 0.05 * report.slide_before
    assert report.largest_knee_change < 30
    formats.write(result.motion, tmp_path / "kept.bvh")
    again = formats.read(tmp_path / "kept.bvh")
    assert motion.skeleton is not None
    a, b = (person_positions(m.people[0], motion.skeleton) for m in (result.motion, again))
    np.testing.assert_allclose(a, b, atol=1e-5)
    before, after = (p.read_text().splitlines() for p in (TAKES / "reactidle_000.bvh", tmp_path / "kept.bvh"))
    head = next(k for k, line in enumerate(before) if line.startswith("Frame Time")) + 1
    assert before[:head] == after[:head]


def test_a_skeleton_of_ones_own_and_people_to_choose():
    motion = walking()
    body = Skeleton(SMPL.joints, SMPL.parents, SMPL.offsets * 1.05)
    taller = keep_contacts_motion(motion, skeleton=body, settings=HELD)
    assert np.ptp(feet(taller.motion, body)[20:200][..., [0, 2]], axis=0).max() < 1e-3
    two = Motion("amass", (motion.people[0], dataclasses.replace(motion.people[0], id="1")), 60.0)
    result = keep_contacts_motion(two, person="1")
    assert [r.person for r in result.report] == ["1"]
    assert result.motion.people[0] is two.people[0]
    props = Track(np.zeros((240, 2, 3)), "position", "body", ("ball", "racket"))
    mixed = Motion("amass", (motion.people[0], Person("prop", {"joints": props}, np.arange(240))), 60.0)
    result = keep_contacts_motion(mixed)
    assert [r.person for r in result.report] == ["0"]
    assert result.notes == (
        "feet not kept: person prop: joints of the feet: expected names such as left_ankle, LeftFoot, foot.L or "
        "foot_l, received ball, racket",
    )


def relative(motion):
    person = motion.people[0]
    x = person.tracks["joints"].values
    hips = x[:, [AT["left_hip"], AT["right_hip"]]].mean(axis=1, keepdims=True)
    x = x - hips
    x[:, AT["left_ankle"], 0] += np.linspace(0, 1, 240)
    return motion.with_people((person.with_tracks({"joints": person.tracks["joints"].replace(values=x)}),))


def without(motion, name):
    person = motion.people[0]
    tracks = {key: track for key, track in person.tracks.items() if key != name}
    return Motion("amass", (Person("0", tracks, person.frames),), 60.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: keep_contacts_motion(m, up="w"),
            "up: expected one of x, y, z, -x, -y, -z, received 'w'",
        ),
        (lambda m: keep_contacts_motion(m, person="7"), "person: expected one of 0, received '7'"),
        (
            lambda m: keep_contacts_motion(without(m, "transl")),
            "person 0: tracks: expected global_orient, body_pose and transl, received no transl",
        ),
        (
            lambda m: keep_contacts_motion(relative(placed(m))),
            "person 0: movement: expected one through the scene, received one relative to the hips",
        ),
        (
            lambda m: keep_contacts_motion(m, Motion("amass", (), 60.0)),
            "people of the reference: expected ['0'], received []",
        ),
        (
            lambda m: keep_contacts_motion(m, walking(frames=120)),
            "frames of person 0 in the reference: expected 240, received 120",
        ),
        (
            lambda m: keep_contacts_motion(dataclasses.replace(without(m, "transl"), path=REPOSITORY / "a.npz")),
            f"{REPOSITORY / 'a.npz'}: person 0: tracks: expected global_orient, body_pose and transl, "
            "received no transl",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call(walking())


def test_forward_kinematics_agrees_with_the_tracks():
    # The oracle of this module: what person_positions says is what the arrays of the tracks say.
    motion = walking()
    turned, root = crouch(fps=60, seconds=4, slide=0.005, turn=0.01)
    np.testing.assert_allclose(person_positions(motion.people[0], SMPL), positions(turned, root, SMPL), atol=1e-6)
