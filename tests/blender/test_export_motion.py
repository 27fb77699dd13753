"""Files written back as they were, with what an animator changed, and new files of any armature."""

from __future__ import annotations

import math

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from mathutils import Matrix, Quaternion, Vector

from blender_addon.animation.curves import CurveKey, bone_path
from blender_addon.bridge import keyframes
from smpl_tools.contents import as_content
from smpl_tools.coordinates import up_rotation
from smpl_tools.formats import FORMATS, read
from smpl_tools.rotations import axis_angle_to_matrix, project_to_so3
from smpl_tools.skeleton import person_pose, track_matrices
from tests.blender.motion_samples import SAMPLES, armatures, heads, operators, places, sample
from tests.helpers import REPOSITORY

TAKES = REPOSITORY / "assets" / "takes"


@pytest.fixture(autouse=True)
def scene():
    with operators() as empty:
        yield empty


def imported(path, **how):
    assert bpy.ops.smoothnet.import_motion(filepath=str(path), **how) == {"FINISHED"}
    return armatures()


def exported(path, **how):
    assert bpy.ops.smoothnet.export_motion(filepath=str(path), **how) == {"FINISHED"}
    return path


def failed(**how):
    with pytest.raises(RuntimeError) as error:
        bpy.ops.smoothnet.export_motion(**how)
    return str(error.value).strip()


def content_of(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()} or (
        path.read_bytes()
    )


def turn_bone(object, bone, axis, angle):
    """Turn a bone about an axis of its own after all it does, in every key; return the turn in the armature's axes."""
    source = keyframes.active_source(object)
    path = bone_path(bone, "rotation_quaternion")
    curves = {c.index: c for c in keyframes.read_curves(source) if c.path == path}
    turn = Quaternion(axis, angle)
    values = np.stack([curves[i].values for i in range(4)], axis=1)
    new = np.array([list(Quaternion(row) @ turn) for row in values])
    keyframes.write_values(source, {CurveKey(path, i): new[:, i] for i in range(4)})
    rest = np.array(object.data.bones[bone].matrix_local.to_3x3())
    return rest @ np.array(turn.to_matrix()) @ rest.T


@pytest.mark.parametrize(("name", "content"), SAMPLES)
def test_what_did_not_change_is_written_as_it_was(tmp_path, name, content):
    path, how = sample(name, content, tmp_path)
    imported(path, **how)
    out = exported(tmp_path / f"out{path.suffix}", format="SAME")
    assert content_of(out) == content_of(path)


# Half a body of formats: two views, matrices, centimetres, folders, hands.
@pytest.mark.parametrize("name", ["wham", "gvhmr", "tram", "aist", "smplifyx", "amass"])
def test_only_what_was_turned_changes(tmp_path, name):
    path, _ = sample(name, "smpl", tmp_path)
    found = imported(path)
    object, _ = found["0"]
    bpy.context.view_layer.objects.active = object
    delta = turn_bone(object, "left_elbow", (1, 2, 3), 0.3)
    root = turn_bone(object, "pelvis", (3, -1, 1), 0.2)
    out = exported(tmp_path / f"out{path.suffix}", format="SAME")
    old, new = read(path), read(out)
    rest = up_rotation("y", "z")
    for before, after in zip(old.people, new.people, strict=True):
        for track in before.tracks:
            a, b = before.tracks[track], after.tracks[track]
            changed = before.id == "0" and ("global_orient" in track or track.startswith("body_pose"))
            if not changed:
                np.testing.assert_array_equal(a.values, b.values, err_msg=track)
                continue
            turns_a, turns_b = project_to_so3(track_matrices(a)), track_matrices(b)
            for k, joint in enumerate(a.joints):
                if joint in ("left_elbow", "pelvis"):
                    own = rest.T @ (delta if joint == "left_elbow" else root) @ rest
                    np.testing.assert_allclose(turns_b[:, k], turns_a[:, k] @ own, rtol=0, atol=1e-5, err_msg=track)
                else:
                    np.testing.assert_array_equal(a.values[:, k], b.values[:, k], err_msg=joint)


def test_what_moved_moves_in_both_views(tmp_path):
    path, _ = sample("wham", "smpl", tmp_path, "translation")
    ((object, _),) = imported(path).values()
    object.location = (0.5, -0.25, 0.125)
    object.rotation_euler = (0, 0, 0.4)
    out = exported(tmp_path / "out.pkl", format="SAME")
    (before,), (after,) = read(path).people, read(out).people
    turn = up_rotation("y", "z").T @ np.array(Matrix.Rotation(0.4, 3, "Z")) @ up_rotation("y", "z")
    world = [track_matrices(p.tracks["global_orient_world"])[:, 0] for p in (before, after)]
    np.testing.assert_allclose(world[1], turn @ world[0], atol=1e-5)
    # The camera's view of the world is the old one.
    camera = [track_matrices(p.tracks["global_orient"])[:, 0] for p in (before, after)]
    views = [c @ w.swapaxes(-1, -2) for c, w in zip(camera, world, strict=True)]
    np.testing.assert_allclose(views[1], views[0], atol=2e-5)
    moved = [after.tracks[n].values[:, 0] - before.tracks[n].values[:, 0] for n in ("transl_world", "transl")]
    np.testing.assert_allclose((views[0] @ moved[0][..., None])[..., 0], moved[1], atol=1e-5)
    assert np.abs(moved[0]).max() > 0.1


def test_a_bvh_keeps_its_text_but_for_what_changed(tmp_path):
    path = TAKES / "reactidle_000.bvh"
    ((object, _),) = imported(path).values()
    assert exported(tmp_path / "same.bvh", format="SAME").read_bytes() == path.read_bytes()
    delta = turn_bone(object, "neck", (0, 0, 1), 0.25)
    out = exported(tmp_path / "out.bvh", format="SAME")
    old, new = read(path), read(out)
    before, after = (person_pose(m.people[0], m.skeleton)[0] for m in (old, new))
    rest = up_rotation("y", "z")
    for j, joint in enumerate(old.skeleton.joints):
        if joint == "neck":
            np.testing.assert_allclose(after[:, j], before[:, j] @ rest.T @ delta @ rest, atol=1e-5)
        else:
            np.testing.assert_array_equal(after[:, j], before[:, j], err_msg=joint)
    assert out.read_text().split("MOTION")[0] == path.read_text().split("MOTION")[0]


CHANNELS = """HIERARCHY
ROOT a
{
OFFSET 0 1 0
CHANNELS 4 Xposition Zposition Yrotation Xrotation
JOINT b
{
OFFSET 0 1 0
CHANNELS 1 Zrotation
JOINT c
{
OFFSET 0 1 0
CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
End Site
{
OFFSET 0 1 0
}
}
}
}
MOTION
Frames: 2
Frame Time: 0.0333333
1 2 30 40 50 0 1 0 10 20 30
2 3 31 41 51 0 1.5 0 11 21 31
"""


def test_joints_with_few_channels(tmp_path):
    path = tmp_path / "few.bvh"
    path.write_text(CHANNELS)
    ((object, _),) = imported(path, up="y", unit="m").values()
    found = heads(object, "ab", (1, 2))
    # The root goes where its two channels put it, the third coordinate is its offset's.
    np.testing.assert_allclose(found[:, 0], [[1, -2, 1], [2, -3, 1]], atol=1e-6)
    across, lift = math.sin(math.radians(40)), math.cos(math.radians(40))
    side, front = math.sin(math.radians(30)), math.cos(math.radians(30))
    np.testing.assert_allclose(found[0, 1] - found[0, 0], [across * side, -across * front, lift], atol=1e-6)
    assert exported(tmp_path / "same.bvh", format="SAME").read_text() == CHANNELS
    # A hinge turns about its own axis, -Y of the scene.
    axis = object.data.bones["b"].matrix_local.to_3x3().inverted() @ Vector((0, -1, 0))
    turn_bone(object, "b", axis, math.radians(7))
    out = exported(tmp_path / "out.bvh", format="SAME").read_text().splitlines()[-2:]
    rows = np.array([[float(x) for x in line.split()] for line in out])
    np.testing.assert_allclose(rows[:, 4], [57, 58], atol=1e-3)
    np.testing.assert_array_equal(np.delete(rows, 4, 1), [[1, 2, 30, 40, 0, 1, 0, 10, 20, 30],
                                                          [2, 3, 31, 41, 0, 1.5, 0, 11, 21, 31]])  # fmt: skip


def test_points_that_moved(tmp_path):
    path, _ = sample("openpose", "joints_2d", tmp_path)
    object, record = imported(path)["0"]
    bpy.context.view_layer.objects.active = object
    key = CurveKey(bone_path(record["bones"][4], "location"), 0)
    source = keyframes.active_source(object)
    (curve,) = (c for c in keyframes.read_curves(source) if c.key == key)
    keyframes.write_values(source, {key: curve.values + 10 * record["metres"]})
    old, new = read(path), read(exported(tmp_path / "out", format="SAME"))
    away = new.people[0].tracks["pose"].values - old.people[0].tracks["pose"].values
    assert np.abs(np.delete(away, 4, axis=1)).max() == 0
    moved = away[:, 4][np.abs(away[:, 4]).max(axis=1) > 0]
    np.testing.assert_allclose(np.abs(moved).max(axis=1), 10, atol=1e-3)
    np.testing.assert_array_equal(new.people[1].tracks["pose"].values, old.people[1].tracks["pose"].values)


def test_a_source_that_is_gone_or_changed_is_not_written_over(tmp_path):
    path, _ = sample("amass", "smpl", tmp_path)
    imported(path)
    content = path.read_bytes()
    path.unlink()
    out = exported(tmp_path / "out.npz", format="SAME")
    assert read(out).format == "amass"
    path.write_bytes(content + b"\0")
    exported(tmp_path / "again.npz", format="SAME")
    assert path.read_bytes() == content + b"\0"
    before, after = (as_content(read(p), "smpl")[0].people[0] for p in (tmp_path / "out.npz", tmp_path / "again.npz"))
    path.write_bytes(content)
    original = as_content(read(path), "smpl")[0].people[0]
    for person in (before, after):
        for name, track in original.tracks.items():
            np.testing.assert_allclose(person.tracks[name].values, track.values, rtol=0, atol=1e-5, err_msg=name)
    # Back to the file itself; it then is the one that is remembered.
    exported(path, format="SAME")
    assert path.read_bytes() == content


@pytest.mark.parametrize("to", sorted(name for name in FORMATS if "smpl" in FORMATS[name].contents))
def test_bodies_go_to_other_formats_exactly(tmp_path, to):
    path, _ = sample("amass", "smpl", tmp_path, "translation")
    imported(path, frame_start=20)
    suffixes = FORMATS[to].suffixes
    out = exported(tmp_path / f"out{suffixes[0] if suffixes else ''}", format=to)
    old, new = (as_content(read(p), "smpl")[0].people[0] for p in (path, out))
    for name in ("body_pose", "global_orient"):
        a, b = (axis_angle_to_matrix(p.tracks[name].values[:, :21].astype(np.float64)) for p in (old, new))
        if name == "global_orient":
            # Where a format does not state its axes they stay those of the first.
            a, b = (up_rotation(p.tracks[name].up or "z", "z") @ m for p, m in ((old, a), (new, b)))
        np.testing.assert_allclose(b, a, rtol=0, atol=2e-5)
    if "translation" in FORMATS[to].keeps and to != "smoothnet":
        wanted, got = (next(iter(places(p).values()))[0] for p in (path, out))
        np.testing.assert_allclose(got[:, :22], wanted[:, :22], rtol=0, atol=1e-4)


def test_what_cannot_be_written(tmp_path):
    bpy.ops.object.armature_add()
    bpy.context.object.name = "Hero"
    assert failed(filepath=str(tmp_path / "x.bvh"), format="SAME") == (
        "Error: Hero: expected an armature imported from a file, received another one"
    )
    assert failed(filepath=str(tmp_path / "no" / "x.bvh"), format="bvh") == (
        f"Error: {tmp_path / 'no' / 'x.bvh'}: cannot be written: the folder {tmp_path / 'no'} does not exist"
    )
    assert failed(filepath=str(tmp_path / "x"), format="openpose") == (
        "Error: content for OpenPose, a folder of JSON files: expected 2D positions of joints, received rotations of a "
        "skeleton's joints"
    )
    path, _ = sample("amass", "smpl", tmp_path)
    assert bpy.ops.smoothnet.import_motion(filepath=str(path)) == {"FINISHED"}
    bpy.context.object.data.bones["left_knee"].name = "Knie"
    assert failed(filepath=str(tmp_path / "y.npz"), format="SAME") == (
        "Error: bones of take: expected those of the import, with left_knee, received an armature without"
    )
    bpy.context.object["smoothnet_source"] = "[1]"
    assert failed(filepath=str(tmp_path / "y.npz"), format="SAME") == (
        "Error: take: what it remembers of its file: expected as the import wrote it, received something else"
    )
    bpy.context.view_layer.objects.active = None
    assert not bpy.ops.smoothnet.export_motion.poll()
    assert not (tmp_path / "y.npz").exists()


def test_time_remapping_and_fractional_keys(tmp_path):
    scene = bpy.context.scene
    scene.render.fps = 24
    path, _ = sample("humanml3d", "joints", tmp_path)
    imported(path, set_rate=False)
    assert exported(tmp_path / "a.npy", format="SAME").read_bytes() == path.read_bytes()
    scene.render.frame_map_old, scene.render.frame_map_new = 100, 200
    assert exported(tmp_path / "b.npy", format="SAME").read_bytes() == path.read_bytes()
    assert scene.frame_current == 1


TWO = "HIERARCHY\n" + "".join(
    f"ROOT {name}\n{{\nOFFSET {k} 0 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n"
    f"JOINT {name}2\n{{\nOFFSET 0 1 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n"
    "End Site\n{\nOFFSET 0 0.5 0\n}\n}\n}\n"
    for k, name in enumerate("ab")
)


def test_two_people_of_one_bvh(tmp_path):
    rng = np.random.default_rng(0)
    rows = "\n".join(" ".join(f"{x:.4f}" for x in row) for row in rng.uniform(-20, 20, (3, 18)))
    path = tmp_path / "two.bvh"
    path.write_text(f"{TWO}MOTION\nFrames: 3\nFrame Time: 0.0333333\n{rows}\n")
    found = imported(path, up="y", unit="m")
    assert sorted(found) == ["a", "b"]
    assert exported(tmp_path / "same.bvh", format="SAME").read_bytes() == path.read_bytes()
    object, _ = found["b"]
    bpy.context.view_layer.objects.active = object
    object.location.z = 2
    out = exported(tmp_path / "out.bvh", format="SAME")
    before, after = ([p.tracks["transl"].values[:, 0] for p in read(f).people] for f in (path, out))
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_allclose(after[1] - before[1], np.tile([0, 2, 0], (3, 1)), atol=1e-5)


def test_what_is_disabled_is_not_taken_for_still(tmp_path):
    path, _ = sample("amass", "smpl", tmp_path)
    ((object, _),) = imported(path).values()
    object.hide_viewport = True
    assert failed(filepath=str(tmp_path / "x.bvh"), format="bvh") == (
        "Error: take is disabled in viewports and does not move: enable it first"
    )
    object.hide_viewport = False
    object.hide_set(True)
    exported(tmp_path / "x.bvh", format="bvh")
