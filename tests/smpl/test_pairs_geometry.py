"""The body that is rendered, its pose, and the cameras before it."""

from __future__ import annotations

import importlib.util
import json
import re
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smpl_tools import formats
from smpl_tools.motion import Motion, Person, Skeleton, Track
from smpl_tools.pairs import body as bodies
from smpl_tools.pairs.body import JOINT_NAMES, Shape, bone_places, make_body, random_shape, skinned, truth
from smpl_tools.pairs.camera import View, middle, path_change, place, random_views, read_views, shortened
from smpl_tools.pairs.landmarks import landmarks
from smpl_tools.pairs.retarget import bone_ends, retarget
from smpl_tools.skeleton import SMPL, positions
from tests.helpers import REPOSITORY, shared

TAKES = REPOSITORY / "assets" / "takes"
FILES = [TAKES / "dance_smplh_truth.npz", TAKES / "reactidle_000.bvh"]
MIDDLE = Shape(sex=0.5, race=(0.2, 0.3, 0.5), weight=0.0, muscle=0.0, scale=1.0)


@pytest.fixture(scope="module")
def body():
    return make_body(MIDDLE)


@pytest.fixture(scope="module", params=FILES, ids=lambda p: p.stem)
def posed(request, body):
    motion = formats.read(request.param)
    source = landmarks(motion, motion.people[0], 30.0)
    rotations, root = retarget(source, body)
    return source, rotations, bone_places(body, rotations, root)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_the_body_is_that_of_a_grown_person(body):
    assert 1.6 < body.stature < 1.8
    rest = np.broadcast_to(np.eye(3), (1, len(body.bones), 3, 3))
    at = dict(zip(JOINT_NAMES, truth(body, rest, bone_places(body, rest, body.joints[:1]))[0], strict=True))
    assert at["left_shoulder"][0] > 0.1 > -0.1 > at["right_shoulder"][0]
    assert at["nose"][1] > at["left_shoulder"][1] > at["left_hip"][1] > at["left_knee"][1] > at["left_ankle"][1]
    assert at["nose"][2] > at["left_shoulder"][2] + 0.05
    assert at["left_foot_index"][2] > at["left_ankle"][2] + 0.1
    for name, place_ in at.items():
        if name.startswith("left"):
            np.testing.assert_allclose(at["right" + name[4:]], place_ * [-1, 1, 1], atol=2e-3)


def test_skin_follows_its_bones(body):
    assert body.triangles.max() < len(body.vertices)
    np.testing.assert_allclose(body.weights.sum(axis=1), 1, atol=1e-12)
    rest = np.broadcast_to(np.eye(3), (len(body.bones), 3, 3))
    np.testing.assert_allclose(skinned(body, rest, body.joints), body.vertices, atol=1e-12)
    # Turned and moved as a whole it stays what it is.
    turn = Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix()
    whole = np.broadcast_to(turn, rest.shape)
    places = body.joints @ turn.T + [1.0, 2.0, 3.0]
    np.testing.assert_allclose(skinned(body, whole, places), body.vertices @ turn.T + [1, 2, 3], atol=1e-12)


def test_skin_by_homogeneous_matrices(body):
    generator = np.random.default_rng(0)
    rotations = Rotation.random(len(body.bones), random_state=1).as_matrix()
    places = generator.normal(size=(len(body.bones), 3))
    expected = np.zeros((50, 3))
    chosen = generator.integers(0, len(body.vertices), 50)
    weights = body.weights.toarray()[chosen]
    for b in range(len(body.bones)):
        to_bone, to_world = np.eye(4), np.eye(4)
        to_bone[:3, 3] = -body.joints[b]
        to_world[:3, :3], to_world[:3, 3] = rotations[b], places[b]
        moved = np.c_[body.vertices[chosen], np.ones(50)] @ (to_world @ to_bone).T
        expected += weights[:, b : b + 1] * moved[:, :3]
    np.testing.assert_allclose(skinned(body, rotations, places)[chosen], expected, atol=1e-12)


def test_the_truth_is_on_the_skin_and_in_the_limbs(posed, body):
    _, rotations, places = posed
    joints = truth(body, rotations, places)
    nose = np.argmin(np.linalg.norm(body.vertices - body.point_places[body.points.index("nose")], axis=1))
    for t in (0, 100, len(places) - 1):
        skin = skinned(body, rotations[t], places[t])
        # The nose is a vertex of the head alone.
        np.testing.assert_allclose(skin[nose], joints[t, 0], atol=2e-3)
        # Around a joint lies skin on all sides, no farther away than a limb is thick.
        for name in ("left_elbow", "right_knee", "left_ankle", "right_shoulder"):
            around = skin[np.linalg.norm(skin - joints[t, JOINT_NAMES.index(name)], axis=1) < 0.12]
            assert np.linalg.norm(around.mean(axis=0) - joints[t, JOINT_NAMES.index(name)]) < 0.06, name


def test_limbs_point_where_those_of_the_motion_do(posed, body):
    source, rotations, places = posed
    joints = dict(zip(JOINT_NAMES, np.moveaxis(truth(body, rotations, places), 1, 0), strict=True))
    assert np.abs(np.linalg.det(rotations) - 1).max() < 1e-9
    for side in ("left", "right"):
        for start, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")):
            wanted = source.points[f"{side}_{end}"] - source.points[f"{side}_{start}"]
            received = joints[f"{side}_{end}"] - joints[f"{side}_{start}"]
            np.testing.assert_allclose(unit(received), unit(wanted), atol=1e-9, err_msg=f"{side} {start}")
        foot = joints[f"{side}_foot_index"] - joints[f"{side}_ankle"]
        wanted = source.points[f"{side}_toe"] - source.points[f"{side}_ankle"]
        np.testing.assert_allclose(unit(foot), unit(wanted), atol=1e-9)
    across = unit(joints["left_hip"] - joints["right_hip"])
    wanted = unit(source.points["left_hip"] - source.points["right_hip"])
    np.testing.assert_allclose(across, wanted, atol=2e-2)


def test_bones_keep_their_lengths(posed, body):
    _, _, places = posed
    lengths = np.linalg.norm(places[:, 1:] - places[:, body.parents[1:]], axis=-1)
    expected = np.linalg.norm(body.joints[1:] - body.joints[body.parents[1:]], axis=-1)
    np.testing.assert_allclose(lengths, np.tile(expected, (len(lengths), 1)), atol=1e-9)
    assert {name[-1] for name in bone_ends(body)} == {"l", "r"}


def test_people_stand_on_their_feet_and_look_ahead(posed, body):
    _, rotations, places = posed
    joints = truth(body, rotations, places)
    heights = joints[:, :, 1].mean(axis=0)
    assert heights[0] > heights[1] > heights[7] > heights[9] > heights[11]
    # The nose is before the ears' line more often than not: pelvis and head face the same way on average.
    forwards = rotations[:, body.bones.index("pelvis"), :, 2]
    looks = rotations[:, body.bones.index("head"), :, 2]
    assert (forwards * looks).sum(axis=1).mean() > 0.6


def smpl_motion(turns, transl, joints=SMPL.joints, skeleton=SMPL, fps=30.0):
    values = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_rotvec().reshape(*turns.shape[:2], 3)
    tracks = {
        "global_orient": Track(values[:, :1], "axis_angle", "root", joints[:1]),
        "body_pose": Track(values[:, 1:], "axis_angle", "body", joints[1:]),
        "transl": Track(transl[:, None], "position", "root", joints[:1]),
    }
    person = Person("0", tracks, np.arange(len(turns), dtype=np.int64))
    return Motion("bvh", (person,), fps, Skeleton(joints, SMPL.parents, skeleton.offsets))


NAMES = {
    "Mixamo": {
        "pelvis": "mixamorig:Hips",
        "spine1": "mixamorig:Spine",
        "spine2": "mixamorig:Spine1",
        "spine3": "mixamorig:Spine2",
        "neck": "mixamorig:Neck",
        "head": "mixamorig:Head",
        "collar": "mixamorig:{}Shoulder",
        "shoulder": "mixamorig:{}Arm",
        "elbow": "mixamorig:{}ForeArm",
        "wrist": "mixamorig:{}Hand",
        "hand": "mixamorig:{}HandMiddle1",
        "hip": "mixamorig:{}UpLeg",
        "knee": "mixamorig:{}Leg",
        "ankle": "mixamorig:{}Foot",
        "foot": "mixamorig:{}ToeBase",
    },
    "Unreal": {
        "spine1": "spine_01",
        "spine2": "spine_02",
        "spine3": "spine_03",
        "neck": "neck_01",
        "collar": "clavicle_{}",
        "shoulder": "upperarm_{}",
        "elbow": "lowerarm_{}",
        "wrist": "hand_{}",
        "hand": "middle_01_{}",
        "hip": "thigh_{}",
        "knee": "calf_{}",
        "ankle": "foot_{}",
        "foot": "ball_{}",
    },
    "Biped": {
        "spine2": "Bip01 Spine1",
        "neck": "Bip01 Neck",
        "head": "Bip01 Head",
        "collar": "Bip01 {} Clavicle",
        "shoulder": "Bip01 {} UpperArm",
        "elbow": "Bip01 {} Forearm",
        "wrist": "Bip01 {} Hand",
        "hand": "Bip01 {} Finger1",
        "hip": "Bip01 {} Thigh",
        "knee": "Bip01 {} Calf",
        "ankle": "Bip01 {} Foot",
        "foot": "Bip01 {} Toe",
    },
}
SIDES = {"Mixamo": ("Left", "Right"), "Unreal": ("l", "r"), "Biped": ("L", "R")}


def renamed(style):
    left, right = SIDES[style]
    for name in SMPL.joints:
        side, _, base = name.rpartition("_")
        word = {"left": left, "right": right, "": ""}[side]
        yield NAMES[style].get(base, base).format(word) if side else NAMES[style].get(name, name)


@pytest.fixture(scope="module")
def walking():
    generator = np.random.default_rng(3)
    slow = np.cumsum(generator.normal(0, 0.02, (40, 24, 3)), axis=0)
    slow[:, 0] = 0
    transl = np.linspace([0, 0.9, 0], [0.5, 0.9, 1.0], 40)
    return Rotation.from_rotvec(slow.reshape(-1, 3)).as_matrix().reshape(40, 24, 3, 3), transl


@pytest.mark.parametrize("style", NAMES)
def test_joints_are_known_by_the_names_of_usual_rigs(style, walking, body):
    plain = smpl_motion(*walking)
    other = smpl_motion(*walking, joints=tuple(renamed(style)))
    expected = retarget(landmarks(plain, plain.people[0], 30.0), body)
    received = retarget(landmarks(other, other.people[0], 30.0), body)
    # Which joint of the spine is its middle is a matter of taste; limbs are not.
    limbs = [b for b, name in enumerate(body.bones) if re.match(r"thigh|calf|foot|upperarm|lowerarm", name)]
    ends = bone_ends(body)
    for b in limbs:
        bone = ends[body.bones[b]]
        np.testing.assert_allclose(received[0][:, b] @ bone, expected[0][:, b] @ bone, atol=1e-6)


@pytest.mark.parametrize("up", [1, 2])
def test_any_axis_may_be_up(up, walking, body):
    turns, transl = walking
    scene = np.eye(3) if up == 1 else np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    turned = turns.copy()
    turned[:, 0] = scene @ turns[:, 0]
    motion = smpl_motion(turned, transl @ scene.T)
    rotations, root = retarget(landmarks(motion, motion.people[0], 30.0), body)
    joints = truth(body, rotations, bone_places(body, rotations, root))
    assert (joints[:, 0, 1] > joints[:, 11, 1] + 1).all()
    # The path over the floor keeps its length, by the body's size.
    way = np.linalg.norm((joints[-1] - joints[0]).mean(axis=0)[[0, 2]])
    scale = body.leg / np.linalg.norm(SMPL.offsets[[4, 7]], axis=1).sum()
    assert way == pytest.approx(scale * np.hypot(0.5, 1.0), rel=0.15)


def test_a_joint_of_the_spine_may_lie_where_the_neck_is(walking, body):
    # Names and places as in the CMU clips that circulate as BVH.
    offsets = SMPL.offsets.copy()
    spine3, neck = SMPL.joints.index("spine3"), SMPL.joints.index("neck")
    offsets[spine3] += offsets[neck]
    offsets[[SMPL.joints.index("left_collar"), SMPL.joints.index("right_collar")]] -= offsets[neck]
    offsets[neck] = 0
    names = ["Chest" if name == "spine3" else re.sub("spine[12]", "Waist", name) for name in SMPL.joints]
    motion = smpl_motion(*walking, joints=tuple(names), skeleton=Skeleton(SMPL.joints, SMPL.parents, offsets))
    rotations, _ = retarget(landmarks(motion, motion.people[0], 30.0), body)
    plain = smpl_motion(*walking)
    expected, _ = retarget(landmarks(plain, plain.people[0], 30.0), body)
    between = Rotation.from_matrix((np.swapaxes(rotations, -1, -2) @ expected)[:, :4].reshape(-1, 3, 3))
    assert np.rad2deg(between.magnitude()).max() < 30


@pytest.mark.parametrize("rig", ["mdu", "papagina", "cyun", "jump"])
def test_the_rigs_of_the_reference_motions(rig, body):
    with np.load(shared("data", "cmu", "cmu_train.npz")) as data:
        clips = json.loads(str(data["index"]))
        clip = next(c for c in clips if c["skeleton"].startswith(rig))
        place_ = f"skel/{clip['skeleton']}/"
        names = tuple(map(str, data[place_ + "names"]))
        skeleton = Skeleton(names, data[place_ + "parents"].astype(np.int64), data[place_ + "offsets"].astype(float))
        quat_xyzw, root = (
            data[clip["clip"] + "/q"][:200].astype(float),
            data[clip["clip"] + "/root"][:200].astype(float),
        )
    turns = Rotation.from_quat(quat_xyzw.reshape(-1, 4)).as_matrix().reshape(*quat_xyzw.shape[:2], 3, 3)
    motion = smpl_motion(turns, root, joints=names, skeleton=skeleton, fps=float(clip["fps"]))
    motion = replace(motion, skeleton=skeleton)
    rotations, root = retarget(landmarks(motion, motion.people[0], 30.0), body)
    joints = truth(body, rotations, bone_places(body, rotations, root))
    heights = joints[:, [0, 1, 7, 9, 11, 13], 1].mean(axis=0)
    assert (np.diff(heights) < -0.03).all(), "nose, shoulder, hip, knee, ankle, toe"
    forwards, looks = (rotations[:, body.bones.index(bone), :, 2] for bone in ("pelvis", "head"))
    assert (forwards * looks).sum(axis=1).mean() > 0.6
    assert ((joints[:, 13] - joints[:, 11]) * forwards).sum(axis=1).mean() > 0.1, "toes point forwards"


def test_positions_without_rotations_will_do(walking, body):
    turns, transl = walking
    placed = positions(turns, transl, SMPL)
    track = Track(placed, "position", "body", SMPL.joints)
    person = Person("0", {"joints": track}, np.arange(40, dtype=np.int64))
    motion = Motion("array", (person,), 30.0)
    received, _ = retarget(landmarks(motion, person, 30.0), body)
    whole = smpl_motion(turns, transl)
    expected, _ = retarget(landmarks(whole, whole.people[0], 30.0), body)
    kept = [b for b, name in enumerate(body.bones) if name not in ("head", "neck_01")]
    np.testing.assert_allclose(received[:, kept], expected[:, kept], atol=1e-6)


def test_rates_gaps_and_refusals(walking):
    motion = smpl_motion(*walking, fps=60.0)
    assert len(landmarks(motion, motion.people[0], 30.0).head) == 20
    assert len(landmarks(motion, motion.people[0], 120.0).head) == 79
    person = motion.people[0]
    rows = np.r_[0:10, 20:40]
    cut = Person("0", {n: t.replace(values=t.values[rows]) for n, t in person.tracks.items()}, rows)
    assert len(landmarks(replace(motion, people=(cut,)), cut, 60.0).head) == 40
    with pytest.raises(ValueError, match=r"^None: frame rate: expected a statement in the file, or --motion-fps, rec"):
        landmarks(replace(motion, fps=None), person, 30.0)
    short = Person("0", {n: t.replace(values=t.values[:9]) for n, t in person.tracks.items()}, person.frames[:9])
    message = "None: length of the motion: expected at least 8 frames at 30 frames a second, received 9"
    with pytest.raises(ValueError, match="^" + message):
        landmarks(replace(motion, people=(short,)), short, 30.0)
    flat = Track(np.zeros((40, 24, 2)), "position", "body", SMPL.joints)
    flat_person = Person("0", {"joints": flat}, person.frames)
    with pytest.raises(ValueError, match=r"^None: positions of joints: expected 3 coordinates, received 2$"):
        landmarks(Motion("array", (flat_person,), 30.0), flat_person, 30.0)
    strange = Track(np.zeros((40, 2, 3)), "position", "body", ("left_hip", "tail"))
    strange_person = Person("0", {"joints": strange}, person.frames)
    message = "None: joints: expected left_knee, left_shoulder, left_elbow, right_hip, right_knee, right_shoulder, "
    with pytest.raises(ValueError, match="^" + message):
        landmarks(Motion("array", (strange_person,), 30.0), strange_person, 30.0)


# --- cameras

people = st.builds(
    lambda seed, way: (
        np.random.default_rng(seed).normal(0, 0.3, (20, 15, 3)) + np.linspace([0, 1, 0], [way, 1, 0], 20)[:, None]
    ),
    st.integers(0, 999),
    st.floats(0, 20),
)


@settings(max_examples=40, deadline=None)
@given(people, st.floats(-180, 180), st.floats(0.2, 3), st.floats(20, 100))
def test_a_placed_camera_sees_every_joint(joints, azimuth, height, fov):
    camera, scale = place(View(azimuth, height, fov), joints, np.array([0.0, 0.0, 1.0]), 0.0, 300)
    assert 0 <= scale <= 1
    seen = camera.seen(shortened(joints, scale))
    np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(camera.rotation) == pytest.approx(1)
    if scale > 0:
        pixels = camera.project(seen)
        assert (seen[..., 2] > 0).all()
        assert (pixels > 30 - 1e-6).all()
        assert (pixels < 270 + 1e-6).all()


def test_projection_is_that_of_a_pinhole_written_out():
    camera, _ = place(View(30, 1.5, 60, 3.0), np.tile([0.2, 1, 0.1], (2, 15, 1)), np.array([0.0, 0.0, 2.0]), 0.0, 400)
    assert camera.focal_px == pytest.approx(200 / np.tan(np.pi / 6))
    np.testing.assert_allclose(camera.position, [0.2 + 3 * 0.5, 1.5, 0.1 + 3 * np.sqrt(0.75)], atol=1e-12)
    # The middle is seen in the middle, what is higher higher, and its left arm at the picture's right.
    np.testing.assert_allclose(camera.project(camera.seen(np.array([0.2, 1, 0.1]))), [200, 200], atol=1e-9)
    point = np.array([0.5, 1.4, -0.3])
    forwards = unit(np.array([0.2, 1, 0.1]) - camera.position)
    right = unit(np.cross(forwards, [0, 1, 0]))
    down = np.cross(forwards, right)
    step = point - camera.position
    x, y, z = step @ right, step @ down, step @ forwards
    np.testing.assert_allclose(camera.seen(point), [x, y, z], atol=1e-12)
    expected = [camera.focal_px * x / z + 200, camera.focal_px * y / z + 200]
    np.testing.assert_allclose(camera.project(camera.seen(point)), expected, atol=1e-9)
    assert down[1] < 0


def test_azimuth_0_is_in_front_and_90_at_the_left():
    joints = np.zeros((2, 15, 3))
    for azimuth, expected in ((0, [-1, 0]), (90, [0, 1])):
        camera, _ = place(View(azimuth, 1.0, 50, 2.0), joints, np.array([-3.0, 1.0, 0.0]), 0.0, 100)
        np.testing.assert_allclose(camera.position[[0, 2]], 2 * np.array(expected), atol=1e-12)


def test_a_long_way_is_shortened_about_its_middle():
    joints = np.linspace([-30, 1, 0], [30, 1, 0], 50)[:, None] + np.linspace([-0.2, -0.8, 0], [0.2, 0.8, 0.1], 15)
    camera, scale = place(View(0, 1.5, 40), joints, np.array([0.0, 0.0, 1.0]), 0.0, 448)
    assert 0 < scale < 0.05
    shorter = joints + path_change(joints, scale)[:, None]
    np.testing.assert_allclose(np.ptp(shorter.mean(axis=1), axis=0), [60 * scale, 0, 0], atol=1e-9)
    np.testing.assert_allclose(middle(shorter), middle(joints), atol=0.3)
    assert (camera.project(camera.seen(shorter)) > 0).all()


def test_views_are_drawn_around_and_by_the_seed():
    views = random_views(4, np.random.default_rng(5))
    assert views == random_views(4, np.random.default_rng(5))
    for k, view in enumerate(views):
        assert abs(view.azimuth_deg - 90 * k) <= 25
        assert 0.9 <= view.height_m <= 1.9


def test_a_file_of_cameras(tmp_path):
    path = tmp_path / "cameras.json"
    path.write_text('[{"azimuth_deg": 0, "height_m": 1.4, "fov_deg": 45, "distance_m": 3}]')
    assert read_views(path) == [View(0, 1.4, 45, 3)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nonsense", "cameras.json: expected a JSON file of cameras, received Expecting value: line 1 column 1 "
        "(char 0)"),
        ("{}", "cameras.json: expected a list of at least one camera, received dict"),
        ("[]", "cameras.json: expected a list of at least one camera, received list"),
        ("[3]", "cameras.json: camera 1: keys: expected azimuth_deg, height_m, fov_deg, distance_m (the last may be "
        "missing), received int"),
        ('[{"azimuth_deg": 0}]', "cameras.json: camera 1: keys: expected azimuth_deg, height_m, fov_deg, distance_m "
        "(the last may be missing), received azimuth_deg"),
        ('[{"azimuth_deg": 0, "height_m": 1, "fov_deg": 200}]', "cameras.json: camera 1: fov_deg: expected a number "
        "from 10 to 120, received 200"),
        ('[{"azimuth_deg": 0, "height_m": NaN, "fov_deg": 20}]', "cameras.json: camera 1: height_m: expected a number "
        "from -10 to 10, received nan"),
        ('[{"azimuth_deg": "front", "height_m": 1, "fov_deg": 20}]', "cameras.json: camera 1: azimuth_deg: expected a "
        "number from -720 to 720, received 'front'"),
    ],
)  # fmt: skip
def test_bad_files_of_cameras(tmp_path, content, message):
    path = tmp_path / "cameras.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="^" + re.escape(f"{tmp_path}/{message}") + "$"):
        read_views(path)


# --- the asset


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
@example(53304518)
def test_drawn_people_are_people(seed):
    drawn = make_body(random_shape(np.random.default_rng(seed)))
    assert 1.4 < drawn.stature < 2.1
    assert drawn.leg == pytest.approx(0.49 * drawn.stature, rel=0.08)


def test_bodies_differ_by_sex_and_weight():
    heavy, light = make_body(replace(MIDDLE, weight=1.0)), make_body(replace(MIDDLE, weight=-1.0))
    belly = np.abs(heavy.vertices[:, 1] - heavy.joints[heavy.bones.index("spine_02"), 1]) < 0.03
    belly &= np.abs(heavy.vertices[:, 0]) < 0.1
    assert np.ptp(heavy.vertices[belly, 2]) > np.ptp(light.vertices[belly, 2]) + 0.03
    assert make_body(replace(MIDDLE, sex=1.0)).stature > make_body(replace(MIDDLE, sex=0.0)).stature


def test_the_file_holds_what_its_maker_says():
    spec = importlib.util.spec_from_file_location("make_body", REPOSITORY / "assets" / "make_body.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    with np.load(REPOSITORY / "assets" / "body" / "body.npz") as data:
        assert set(data.files) == set(re.findall(r"``([a-z_]+)`` \(", maker.__doc__))
        assert data["weights"].sum(axis=1).tolist() == [255] * len(data["weights"])
        assert tuple(data["parts"]) == maker.PARTS
        assert len(data["shapes"]) == len(maker.RACES) * 2 + len(maker.BUILDS) * 2
        assert bodies._STEP == maker.STEP
    with zipfile.ZipFile(REPOSITORY / "assets" / "body" / "body.npz") as archive:
        assert sum(item.file_size for item in archive.infolist()) < 2**21
    assert "Creative Commons CC0 1.0" in (REPOSITORY / "assets" / "body" / "LICENSE.CC0.md").read_text(encoding="utf-8")
