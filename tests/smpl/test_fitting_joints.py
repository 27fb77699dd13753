from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smpl_tools.bodies import _least_squares, _pose_priors
from smpl_tools.bodies._points import Points, Structure
from smpl_tools.bodies.fit_joints import fit_joints
from smpl_tools.bodies.fitting import fit_motion
from smpl_tools.bodies.point_sets import LANDMARKS, POINT_SETS, landmark_places, shortest_turn
from smpl_tools.formats import read
from smpl_tools.motion import Motion, Person, Skeleton, Track
from smpl_tools.rotations import geodesic_angle
from smpl_tools.skeleton import SMPL, positions
from smpl_tools.sources.clean import clean_clips
from tests.helpers import shared
from tests.smpl.body_helpers import made_body, posed

BODY = made_body(2, 5)
BETAS = np.array([1.5, -1.0, 0.5, 1.0, -2.0])
FEW = tuple(name for name in SMPL.joints if "spine" not in name and "collar" not in name and "hand" not in name)
CMU = {"Hips": "pelvis", "Spine": "spine1", "Spine1": "spine3", "Neck1": "neck", "Head": "head"} | {
    f"{Side}{theirs}": f"{Side.lower()}_{ours}"
    for Side in ("Left", "Right")
    for theirs, ours in (
        ("UpLeg", "hip"), ("Leg", "knee"), ("Foot", "ankle"), ("ToeBase", "foot"), ("Arm", "shoulder"),
        ("ForeArm", "elbow"), ("Hand", "wrist"), ("HandIndex1", "hand"),
    )
}  # fmt: skip


def moving(frames=60, seed=0):
    """Return rotations (T, 24, 3, 3) that swing about rest, knees and elbows that bend, ends that do not turn."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None, None] / 30
    swing = np.sin(2 * np.pi * rng.uniform(0.2, 0.7, (24, 3)) * t + rng.uniform(0, 6, (24, 3)))
    vectors = np.array([0.5 if re.search("shoulder|hip", n) else 0.2 for n in SMPL.joints])[:, None] * swing
    for j, name in enumerate(SMPL.joints):
        if re.search("knee|elbow", name):
            axis = (1, 0, 0) if "knee" in name else (0, -1 if "left" in name else 1, 0)
            vectors[:, j] = (0.7 + 0.6 * swing[:, j, :1]) * np.array(axis)
        if re.search("hand|foot|head", name):
            vectors[:, j] = 0
    vectors[:, 0] = [0, 1, 0] * t[:, 0]
    return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(frames, 24, 3, 3)


def take(frames=60, seed=0):
    rotations = moving(frames, seed)
    transl = np.random.default_rng(seed).normal(0, 1, 3) + np.linspace(0, 1, frames)[:, None]
    return posed(BODY, rotations, BETAS, transl)[1], rotations, transl


def degrees(a, b):
    return np.rad2deg(geodesic_angle(a, b))


def test_joints_of_the_model_are_met_in_whatever_position_the_body_lies():
    joints, rotations, _ = take()
    before = joints.copy()
    for turn in (np.eye(3), Rotation.from_euler("x", 180, degrees=True).as_matrix(), np.diag([-1.0, 1, -1])):
        fit = fit_joints(BODY, joints @ turn.T, BODY.joints)
        assert fit.mean_error.mean() < 6e-4
        assert fit.max_error.max() < 3e-3
        assert degrees(fit.rotations[:, 0], turn @ rotations[:, 0]).mean() < 2
        assert degrees(fit.rotations[1:], fit.rotations[:-1]).max() < degrees(rotations[1:], rotations[:-1]).max() + 2
        assert fit.converged.all()
        made = posed(BODY, fit.rotations, fit.betas, fit.transl)[1]
        np.testing.assert_allclose(np.linalg.norm(made - joints @ turn.T, axis=2).mean(axis=1), fit.mean_error)
    np.testing.assert_array_equal(joints, before)


def test_what_joints_tell_of_the_pose_is_found():
    joints, rotations, transl = take()
    fit = fit_joints(BODY, joints, BODY.joints, betas=BETAS)
    error = degrees(fit.rotations, rotations).mean(axis=0)
    told = [j for j, name in enumerate(SMPL.joints) if re.search("pelvis|knee|elbow", name)]
    assert error[told].mean() < 4
    np.testing.assert_allclose(fit.transl, transl, atol=2e-3)
    np.testing.assert_array_equal(fit.betas, BETAS)


def test_turned_and_reversed_input():
    joints, _, _ = take(30)
    fit = fit_joints(BODY, joints, BODY.joints)
    turn = Rotation.from_euler("xz", [120, 70], degrees=True).as_matrix()
    turned = fit_joints(BODY, joints @ turn.T, BODY.joints)
    assert degrees(turned.rotations[:, 1:], fit.rotations[:, 1:]).max() < 0.1
    assert degrees(turned.rotations[:, 0], turn @ fit.rotations[:, 0]).max() < 0.1
    back = fit_joints(BODY, joints[::-1], BODY.joints)
    assert degrees(back.rotations[::-1], fit.rotations).max() < 0.5
    np.testing.assert_array_equal(fit_joints(BODY, joints, BODY.joints).axis_angle, fit.axis_angle)


def test_noise_stays_noise():
    joints, _, _ = take()
    noise = np.random.default_rng(0).normal(0, 0.005, joints.shape)
    fit = fit_joints(BODY, joints + noise, BODY.joints)
    assert fit.mean_error.mean() < np.linalg.norm(noise, axis=2).mean()
    made = posed(BODY, fit.rotations, fit.betas, fit.transl)[1]
    assert np.linalg.norm(made - joints, axis=2).mean() < np.linalg.norm(noise, axis=2).mean()
    assert np.linalg.norm(made - joints, axis=2).max() < 0.03


def test_a_subset_without_spine_and_hands():
    joints, _, _ = take()
    at = [BODY.joints.index(name) for name in FEW]
    fit = fit_joints(BODY, joints[:, at], FEW)
    assert fit.mean_error.mean() < 1e-3
    assert degrees(fit.rotations, np.eye(3))[:, BODY.joints.index("left_hand")].max() < 0.1
    spine = [BODY.joints.index(f"spine{k}") for k in (1, 2, 3)]
    assert degrees(fit.rotations, np.eye(3))[:, spine].max() < 45


def test_gaps_are_bridged_and_frames_without_points_are_nan():
    joints, _, _ = take()
    full = fit_joints(BODY, joints, BODY.joints)
    holes = joints.copy()
    elbow, ends = BODY.joints.index("left_elbow"), [BODY.joints.index(f"left_{n}") for n in ("wrist", "hand")]
    holes[np.ix_(range(20, 30), ends)] = np.nan
    holes[40:43] = np.nan
    fit = fit_joints(BODY, holes, BODY.joints)
    assert np.isnan(fit.axis_angle[40:43]).all()
    assert np.isnan(fit.transl[40:43]).all()
    seen = np.setdiff1d(np.arange(60), [40, 41, 42])
    assert np.isfinite(fit.axis_angle[seen]).all()
    assert fit.mean_error[seen].max() < 3e-3
    between = fit.rotations[20:30, elbow]
    assert degrees(between[1:], between[:-1]).max() < 12
    assert degrees(fit.rotations[19], fit.rotations[20])[elbow] < 12
    assert degrees(fit.rotations[seen], full.rotations[seen]).mean() < 2


def test_points_that_do_not_count_do_not():
    joints, _, _ = take(20)
    weights = np.ones(joints.shape[:2])
    wrist = BODY.joints.index("right_wrist")
    weights[:, wrist] = 0
    wrong = joints.copy()
    wrong[:, wrist] += 5
    fit = fit_joints(BODY, wrong, BODY.joints, weights=weights)
    assert fit.max_error.max() < 5e-3


def test_lengths_of_a_skeletons_bones_are_fitted_alike_on_both_sides():
    scale = np.array([1.15 if re.search("knee|ankle", name) else 0.9 for name in SMPL.joints])
    longer = Skeleton(SMPL.joints, SMPL.parents, SMPL.offsets * scale[:, None])
    joints = positions(moving(), np.zeros((60, 3)), longer)
    fit = fit_joints(SMPL, joints, SMPL.joints)
    assert fit.betas is None
    assert fit.mean_error.mean() < 1e-3
    lengths = np.linalg.norm(fit.places[1:] - fit.places[SMPL.parents[1:]], axis=1)
    legs = [j - 1 for j, name in enumerate(SMPL.joints) if re.search("knee|ankle", name)]
    np.testing.assert_allclose(lengths[legs], np.linalg.norm(longer.offsets[1:], axis=1)[legs], atol=0.003)
    np.testing.assert_allclose(lengths[legs[0::2]], lengths[legs[1::2]], rtol=1e-9)
    np.testing.assert_allclose(fit.places[0], 0)


def test_knees_do_not_bend_backwards_for_a_little():
    rotations = np.broadcast_to(np.eye(3), (10, 24, 3, 3)).copy()
    knee = SMPL.joints.index("left_knee")
    rotations[:, knee] = Rotation.from_euler("x", -6, degrees=True).as_matrix()
    fit = fit_joints(SMPL, positions(rotations, np.zeros((10, 3)), SMPL), SMPL.joints)
    assert degrees(fit.rotations[:, SMPL.joints.index("left_hip")], np.eye(3)).max() < 8
    assert np.rad2deg(fit.axis_angle[:, knee, 0]).min() > -6.5


@pytest.mark.parametrize("name", list(POINT_SETS))
def test_points_of_other_sets(name):
    rotations = moving(30)
    places, transl = np.zeros((24, 3)), np.zeros((30, 3))
    for j, parent in enumerate(SMPL.parents):
        places[j] = SMPL.offsets[j] + (places[parent] if parent >= 0 else 0)
    marks = landmark_places(SMPL.joints, SMPL.parents, places)
    turned, _ = _least_squares.forward(rotations, SMPL.parents, np.broadcast_to(places, (30, 24, 3)), transl)
    at = dict(zip(SMPL.joints, np.moveaxis(positions(rotations, transl, SMPL), 1, 0), strict=True))
    at |= {n: at[SMPL.joints[j]] + turned[:, j] @ (place - places[j]) for n, (j, place) in marks.items()}
    made = POINT_SETS[name]
    points = np.stack([sum(share * at[part] for part, share in shares.items()) for shares in made.values()], axis=1)
    fit = fit_joints(SMPL, points, tuple(made), mapping=name)
    assert fit.mean_error.mean() < 2e-3
    told = [j for j, n in enumerate(SMPL.joints) if re.search("pelvis|knee|elbow", n)]
    assert degrees(fit.rotations, rotations)[:, told].mean() < 6
    # The head looks where the points of the face say.
    look = np.linalg.norm(fit.rotations[..., 2] - rotations[..., 2], axis=-1)
    assert look[:, 0].mean() < 0.12


def test_real_motion_has_no_flips():
    path = shared("data", "cmu", "cmu_train.npz")
    clip = next(c for c in clean_clips(path, keep=["35"]) if len(c.positions) > 100)
    names = [name for name in clip.joints if name in CMU]
    points = clip.positions[:120, [clip.joints.index(name) for name in names]]
    fit = fit_joints(SMPL, points, names, mapping={name: {CMU[name]: 1.0} for name in names})
    assert fit.mean_error.mean() < 3e-3
    # The capture itself has a foot that jumps by 35 degrees.
    inner = [j for j, name in enumerate(SMPL.joints) if "ankle" not in name]
    assert degrees(fit.rotations[1:], fit.rotations[:-1])[:, inner].max() < 12
    assert np.rad2deg(fit.axis_angle[:, 4:6, 0]).min() > -10


def test_people_of_a_motion():
    joints, _, _ = take(12)
    frames = np.array([3, 4, 5, 6, 7, 8, 20, 21, 22, 23, 24, 25])
    confidence = np.ones((12, 24))
    confidence[:, 5] = 0
    track = Track(joints, "position", "body", BODY.joints, confidence)
    motion = Motion("arrays", (Person("a", {"joints": track}, frames),), 30.0)
    (one,) = fit_motion(motion, BODY, metres=1.0)
    assert one.id == "a"
    np.testing.assert_array_equal(one.frames, frames)
    assert one.fit.axis_angle.shape == (12, 24, 3)
    assert one.fit.mean_error.max() < 2e-3
    (half,) = fit_motion(motion.with_people((Person("a", {"joints": track.replace(values=joints * 100)}, frames),)),
                         BODY, metres=0.01)  # fmt: skip
    assert degrees(half.fit.rotations, one.fit.rotations).max() < 0.01
    flat = Person("a", {"joints": track.replace(values=joints[..., :2])}, frames)
    for person, message in (
        (motion.people[0], "person a: unit of the positions: expected metres in one unit, as the file does not say, "
                           "received none"),
        (flat, "person a: positions: expected points in space, received points in an image"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            fit_motion(motion.with_people((person,)), BODY)
    other = Person("a", {"joints": track.replace(joints=tuple(f"j{k}" for k in range(24)))}, frames)
    with pytest.raises(ValueError, match="person a: joints: expected those of the body or of h36m_17, coco_17"):
        fit_motion(motion.with_people((other,)), BODY, metres=1.0)


def test_real_landmarks_of_mediapipe():
    motion = read(shared("data", "real", "mediapipe", "cam01_raw.npz"))
    (person,) = fit_motion(motion, SMPL)
    assert person.fit.mean_error.mean() < 0.012
    # The camera's y points down.
    up = person.fit.rotations[:, 0] @ [0, 1, 0]
    assert up[:, 1].mean() < -0.5


def test_slopes_are_those_of_the_cost():
    joints, _, transl = take(3)
    structure = Structure(BODY, [{name: 1.0} for name in BODY.joints], False, 0.02, 5, False)
    problem = Points(structure, joints, np.random.default_rng(0).random((3, 24)))
    rng = np.random.default_rng(1)
    problem.wanted = moving(3, 5)
    problem.prior_share = 100.0
    size = len(structure.stiffness)
    state = _least_squares.State(moving(3, 2), transl, np.broadcast_to(rng.normal(0, 0.1, size), (3, size)))
    rows = np.arange(3)
    normal = problem.normal(state, rows, True)
    assert normal.shape_pull is not None
    for _ in range(5):
        step, shape_step = rng.normal(0, 1e-5, (3, 75)), rng.normal(0, 1e-5, (3, size))
        ahead = problem.normal(_least_squares.moved(state, BODY.parents, step, shape_step), rows, False).cost
        behind = problem.normal(_least_squares.moved(state, BODY.parents, -step, -shape_step), rows, False).cost
        expected = -2 * ((normal.pull * step).sum(axis=1) + (normal.shape_pull * shape_step).sum(axis=1))
        np.testing.assert_allclose((ahead - behind) / 2, expected, rtol=1e-5)


def test_hinges_bend_shins_backwards_and_forearms_forwards():
    places = np.zeros((24, 3))
    for j, parent in enumerate(SMPL.parents[1:], 1):
        places[j] = places[parent] + SMPL.offsets[j]
    for j, axis in _pose_priors.hinge_axes(SMPL.joints, SMPL.parents, places).items():
        child = int(np.flatnonzero(SMPL.parents == j)[0])
        bent = Rotation.from_rotvec(0.5 * axis).as_matrix() @ SMPL.offsets[child] - SMPL.offsets[child]
        assert np.sign(bent[2]) == (-1 if "knee" in SMPL.joints[j] else 1)


def test_bending_backwards_counts_more():
    joints, parents = BODY.joints, BODY.parents
    priors = _pose_priors.PosePriors(joints, parents, BODY.joint_places, np.ones(24, bool), False)
    for j, axis in _pose_priors.hinge_axes(joints, parents, BODY.joint_places).items():
        rotations = np.broadcast_to(np.eye(3), (2, 24, 3, 3)).copy()
        rotations[:, j] = Rotation.from_rotvec([0.3 * axis, -0.3 * axis]).as_matrix()
        forwards, backwards = priors.add(rotations, rotations, parents, None)[0]
        assert backwards > 10 * forwards


def test_shortest_turn():
    a, b = np.random.default_rng(0).normal(size=(2, 50, 3))
    turn = shortest_turn(a, b)
    unit = [v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b)]
    np.testing.assert_allclose((turn @ unit[0][..., None])[..., 0], unit[1], atol=1e-12)
    angle = np.arccos((unit[0] * unit[1]).sum(axis=-1))
    np.testing.assert_allclose(Rotation.from_matrix(turn).magnitude(), angle, atol=1e-7)
    assert set(LANDMARKS) >= {"nose", "left_heel", "right_heel"}


GOOD = {"body": BODY, "joints": np.zeros((2, 24, 3)), "names": BODY.joints}
NO_OFFSETS = Skeleton(SMPL.joints, SMPL.parents, SMPL.offsets * np.nan)
HALVES = {n: {n: 0.5} for n in BODY.joints}


@pytest.mark.parametrize(
    ("change", "what", "expected", "received"),
    [
        ({"joints": np.zeros((2, 3, 3))}, "shape of joints", "(T, 24, 3), one row for each name", "(2, 3, 3)"),
        ({"joints": np.full((2, 24, 3), np.nan)}, "joints", "three finite points in some frame", "at most 0"),
        ({"names": ("x", *BODY.joints[1:])}, "joint 'x' of point 'x'", "a joint of the body or a landmark", "neither"),
        ({"names": ("left_hip", *BODY.joints[1:])}, "names of the points", "each once", "left_hip, left_hip"),
        ({"mapping": "z"}, "mapping", "one of h36m_17, coco_17, mediapipe_33", "'z'"),
        ({"mapping": {"a": {"pelvis": 1}}}, "point 'pelvis'", "one of a", "no such point in the mapping"),
        ({"mapping": HALVES}, "shares of point 'pelvis'", "numbers that sum to 1", "{'pelvis': 0.5}"),
        ({"weights": np.ones(2)}, "shape of weights", "(2, 24)", "(2,)"),
        ({"weights": np.full((2, 24), 2.0)}, "weights", "numbers from 0 to 1", "2.0 to 2.0"),
        ({"betas": np.zeros(9)}, "shape of betas", "(K,) with K up to 5", "(9,)"),
        ({"betas": [np.inf]}, "betas", "finite numbers", "NaN or infinity"),
        ({"body": SMPL, "betas": np.zeros(2)}, "betas", "none for a skeleton", "an array"),
        ({"body": NO_OFFSETS}, "offsets of the skeleton", "finite numbers", "NaN or infinity"),
        ({"iterations": 0}, "iterations", "1 or more", "0"),
        ({"shape_count": -1}, "shape_count", "0 or more", "-1"),
        ({"slack": -0.1}, "slack", "0 or more metres", "-0.1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, what, expected, received):
    message = f"{what}: expected {expected}, received {received}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fit_joints(**(GOOD | change))


def test_no_frames():
    fit = fit_joints(BODY, np.zeros((0, 24, 3)), BODY.joints)
    assert fit.axis_angle.shape == (0, 24, 3)
    assert fit.betas is not None
    assert fit.betas.shape == (5,)
