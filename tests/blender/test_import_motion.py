"""Imported files against smpl_tools' own joints, Blender's own importers, and the skinning of body models."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from smpl_tools.bodies.free_body import free_body
from smpl_tools.bodies.model_files import load_body_model
from smpl_tools.bodies.person_body import person_body
from smpl_tools.bodies.posing import posed_vertices
from smpl_tools.contents import as_content
from smpl_tools.convert import make, prepared_for
from smpl_tools.coordinates import PELVIS, up_rotation
from smpl_tools.formats import FORMATS, read
from smpl_tools.rotations import axis_angle_to_matrix
from tests.blender.motion_samples import SAMPLES, armatures, heads, operators, places, sample
from tests.helpers import REPOSITORY
from tests.smpl.body_files import write_smpl, write_smplh, write_smplx
from tests.smpl.plain_motions import base, points_person, smpl_parts, smpl_person, with_track

TAKES = REPOSITORY / "assets" / "takes"


@pytest.fixture(autouse=True)
def scene():
    with operators() as empty:
        yield empty


def imported(path, **how):
    assert bpy.ops.smoothnet.import_motion(filepath=str(path), **how) == {"FINISHED"}
    return armatures()


def failed(**how):
    with pytest.raises(RuntimeError) as error:
        bpy.ops.smoothnet.import_motion(**how)
    return str(error.value).strip()


@pytest.mark.parametrize(("name", "content"), SAMPLES)
def test_joints_are_where_the_file_has_them(tmp_path, name, content):
    path, how = sample(name, content, tmp_path)
    found = imported(path, **how)
    wanted = places(path, **how)
    assert found.keys() == wanted.keys()
    numbers = {person.id: person.frames for person in read(path, **how).people}
    first = min(frames[0] for frames in numbers.values())
    for ident, (object, record) in found.items():
        values, joints = wanted[ident]
        bones = [record["bones"][record["joints"].index(joint)] for joint in joints]
        got = heads(object, bones, 1 + numbers[ident] - first)
        if values.shape[2] == 2:
            metres = record["metres"]
            x, _, z = record["origin"]
            assert np.abs(got[..., 1]).max() < 1e-6
            values, got = values * metres, np.stack([got[..., 0] - x, z - got[..., 2]], axis=-1)
        elif content == "smpl" and "translation" not in FORMATS[name].keeps:
            values, got = values - values[:, :1], got - got[:, :1]
        np.testing.assert_allclose(got, values, rtol=0, atol=1e-4)


# Blender's own importer leaves its file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_blender_itself_reads_a_bvh_the_same_way():
    path = TAKES / "reactidle_000.bvh"
    ((object, record),) = imported(path).values()
    bpy.ops.import_anim.bvh(filepath=str(path), global_scale=record["metres"], update_scene_fps=False)
    other = bpy.context.object
    frames = [1, 40, 77]
    names = [bone for bone in record["bones"] if bone in other.pose.bones]
    assert len(names) >= 19
    np.testing.assert_allclose(heads(object, names, frames), heads(other, names, frames), rtol=0, atol=1e-4)


def test_an_amass_take_stands_on_the_ground_at_rest_and_moves_as_it_should():
    ((object, record),) = imported(TAKES / "dance_smplh.npz").values()
    assert len(record["bones"]) == 52
    rest = np.array([bone.head_local for bone in object.data.bones] + [bone.tail_local for bone in object.data.bones])
    assert rest[:, 2].min() == pytest.approx(0, abs=1e-6)
    assert np.abs(object.data.bones["pelvis"].head_local[:2]).max() < 1e-6
    assert object.data.bones["head"].head_local[2] > 1.4
    # Faces the front view, left to the right of it.
    assert object.data.bones["left_wrist"].head_local[0] > 0.5
    assert object.data.bones["left_foot"].head_local[1] < object.data.bones["left_ankle"].head_local[1] - 0.05
    # A knee bends about its bone's X axis, a bone goes to the next joint.
    for bone in ("left_knee", "right_knee", "left_elbow", "left_hip"):
        assert abs(object.data.bones[bone].matrix_local.col[2][1]) > 0.95, bone
    for bone, following in (("spine3", "neck"), ("left_knee", "left_ankle"), ("left_wrist", "left_middle1")):
        tail, head = object.data.bones[bone].tail_local, object.data.bones[following].head_local
        assert (tail - head).length < 1e-5, bone


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "YZX", "AXIS_ANGLE"])
def test_every_rotation_mode_shows_the_same(tmp_path, mode):
    path, _ = sample("amass", "smpl", tmp_path)
    ((object, _),) = imported(path, rotation_mode=mode).values()
    assert {bone.rotation_mode for bone in object.pose.bones} == {mode}
    ((values, joints),) = places(path).values()
    np.testing.assert_allclose(heads(object, joints, range(1, 13)), values, rtol=0, atol=1e-4)


MODELS = {
    "SMPL": ("smpl/SMPL_FEMALE.pkl", write_smpl, "vibe"),
    "SMPLH": ("smplh/SMPLH_FEMALE.npz", write_smplh, "amass"),
    "SMPLX": ("smplx/SMPLX_FEMALE.npz", write_smplx, "smplx-blender"),
}


@pytest.mark.parametrize("body", [*MODELS, "AUTO", "FREE"])
def test_the_skin_follows_its_bones(tmp_path, body):
    file, write, name = MODELS.get(body, MODELS["SMPLH"])
    write(tmp_path / "models" / file)
    person = dataclasses.replace(smpl_person(), gender="female", betas=np.linspace(-1, 1, 10))
    person = with_track(person, transl=smpl_parts()["transl"])
    # A format that keeps the gender holds it; the others are asked for by their file.
    name = "humandata" if body == "SMPL" else name
    ready, _ = prepared_for(base("smpl", person), name)
    path = tmp_path / "take.npz"
    make(ready, name, path)
    ((object, _),) = imported(path, body=body, smpl_folder=str(tmp_path / "models")).values()
    (mesh,) = (o for o in bpy.data.objects if o.type == "MESH")
    model = free_body(gender="female") if body == "FREE" else load_body_model(tmp_path / "models" / file)
    linear = dataclasses.replace(model, pose_vertices=None)
    (plain,) = as_content(read(path), "smpl")[0].people
    if body == "FREE":
        plain = dataclasses.replace(plain, betas=None)
    posed = person_body(plain, linear)
    wanted = np.concatenate(list(posed_vertices(linear, posed.rotations, posed.betas, posed.transl)))
    wanted = wanted @ up_rotation(plain.tracks["global_orient"].up, "z").T
    for frame in (1, 6, 12):
        bpy.context.scene.frame_set(frame)
        evaluated = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
        got = np.empty(3 * len(evaluated.data.vertices))
        evaluated.data.vertices.foreach_get("co", got)
        np.testing.assert_allclose(got.reshape(-1, 3), wanted[frame - 1], rtol=0, atol=1e-4)
    assert ("licence" in mesh.data) == (body != "FREE")
    assert object.show_in_front
    # At rest it stands on the ground.
    corners = np.array([vertex.co for vertex in mesh.data.vertices])
    tails = np.array([bone.tail_local for bone in object.data.bones])
    assert min(corners[:, 2].min(), tails[:, 2].min()) == pytest.approx(0, abs=1e-6)


def test_without_a_model_there_is_no_mesh(tmp_path):
    path, _ = sample("amass", "smpl", tmp_path)
    (tmp_path / "models").mkdir()
    imported(path, body="AUTO", smpl_folder=str(tmp_path / "models"))
    assert not bpy.data.meshes
    assert "no neutral SMPL+H model: looked for" in failed(
        filepath=str(path), body="SMPLH", smpl_folder=str(tmp_path / "models")
    )
    assert failed(filepath=str(path), body="SMPL") == (
        f"Error: {path}: folder of SMPL models: expected set in the preferences of the extension, received none"
    )


def test_the_scene_takes_the_rate_while_nothing_moves(tmp_path):
    path, _ = sample("amass", "smpl", tmp_path)
    scene = bpy.context.scene
    imported(path, frame_start=11)
    assert (scene.render.fps, scene.render.fps_base) == (24, pytest.approx(1.001))
    assert (scene.frame_start, scene.frame_end) == (11, 22)
    other, _ = sample("humanml3d", "joints", tmp_path)
    imported(other)
    # 20 frames a second in a scene of 23.976: keys lie between frames, and say the same.
    assert (scene.render.fps, scene.frame_end) == (24, 22)
    object, record = next(pair for pair in armatures().values() if pair[1]["format"] == "humanml3d")
    ((values, joints),) = places(other).values()
    assert record["step"] == pytest.approx(24 / 1.001 / 20)
    got = heads(object, joints, 1 + np.arange(len(values)) * record["step"])
    np.testing.assert_allclose(got, values, rtol=0, atol=1e-4)


def test_gaps_have_no_keys(tmp_path):
    path, _ = sample("wham", "smpl", tmp_path, "gaps")
    ((object, _),) = imported(path).values()
    from blender_addon.bridge import keyframes

    curves = keyframes.read_curves(keyframes.active_source(object))
    (person,) = read(path).people
    assert 3 not in person.frames
    for curve in curves:
        assert curve.times.tolist() == (1 + person.frames - person.frames[0]).tolist()
    assert object.animation_data.action.name == "take"


def test_several_people_share_a_collection_and_several_files_are_imported(tmp_path):
    sample("wham", "smpl", tmp_path, "people")
    shutil.copy(tmp_path / "take.pkl", tmp_path / "b.pkl")
    files = [{"name": "take.pkl"}, {"name": "b.pkl"}]
    assert bpy.ops.smoothnet.import_motion(directory=str(tmp_path), files=files) == {"FINISHED"}
    assert sorted(c.name for c in bpy.data.collections) == ["b", "take"]
    assert sorted(o.name for o in bpy.data.collections["take"].objects) == ["take 0", "take 1"]


@pytest.mark.parametrize("name", ["openpose", "smplifyx", "easymocap"])
def test_folders(tmp_path, name):
    path, _ = sample(name, FORMATS[name].contents[0], tmp_path)
    assert bpy.ops.smoothnet.import_motion(directory=str(path)) == {"FINISHED"}
    count = len(bpy.data.armatures)
    # A file of the folder stands for all of it.
    one = next(p for p in sorted(path.rglob("*")) if p.is_file())
    assert bpy.ops.smoothnet.import_motion(filepath=str(one)) == {"FINISHED"}
    assert len(bpy.data.armatures) == 2 * count


def test_poses_fitted_to_positions(tmp_path):
    (person,) = base("joints", points_person(frames=6)).people
    ready, _ = prepared_for(base("joints", person), "humanml3d")
    path = tmp_path / "joints.npy"
    make(ready, "humanml3d", path)
    ((object, record),) = imported(path, points="FIT").values()
    assert record["content"] == "fit"
    ((values, joints),) = places(path).values()
    got = heads(object, joints, range(1, 1 + len(values)))
    assert np.linalg.norm(got - values, axis=-1).mean() < 0.02


def test_points_are_joined(tmp_path):
    path, _ = sample("mediapipe", "joints", tmp_path)
    ((object, _),) = imported(path).values()
    bone = next(b for b in object.pose.bones if "left_knee" in b.name and b.constraints and "ankle" in b.name)
    start, end = bone.name.split(" to ")
    bpy.context.scene.frame_set(7)
    pose = object.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones
    assert (pose[bone.name].head - pose[start].head).length < 1e-5
    assert (pose[bone.name].tail - pose[end].head).length < 1e-4


def test_plain_arrays_are_said_to_be_something(tmp_path):
    poses = np.random.default_rng(0).uniform(-0.5, 0.5, (5, 24, 3))
    np.save(tmp_path / "poses.npy", poses)
    ((object, record),) = imported(tmp_path / "poses.npy", kind="axis_angle", up="z").values()
    assert record["content"] == "smpl"
    bpy.context.scene.frame_set(3)
    pose = object.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones
    rest = object.data.bones
    turned = np.array((pose["left_hip"].matrix @ rest["left_hip"].matrix_local.inverted()).to_3x3())
    root, hip = axis_angle_to_matrix(poses[2, 0]), axis_angle_to_matrix(poses[2, 1])
    # The body's own axes have Y up.
    np.testing.assert_allclose(turned @ up_rotation("y", "z"), root @ hip, atol=1e-5)


def test_bad_files(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"nonsense")
    assert failed(filepath=str(tmp_path / "a.npz")).startswith(f"Error: {tmp_path / 'a.npz'}: unknown format: expected")
    assert failed(filepath=str(tmp_path / "none.npz")) == (
        f"Error: {tmp_path / 'none.npz'}: expected a file or a folder, found nothing of that name"
    )
    np.save(tmp_path / "c.npy", np.zeros((4, 7)))
    text = failed(filepath=str(tmp_path / "c.npy"), kind="AUTO")
    assert text.startswith(f"Error: {tmp_path / 'c.npy'}: ")
    assert not bpy.data.objects
    assert not bpy.data.actions
    # One bad file does not keep the others from it.
    sample("bvh", "rig", tmp_path)
    files = [{"name": "a.npz"}, {"name": "take.bvh"}]
    with pytest.raises(RuntimeError, match="unknown format"):
        bpy.ops.smoothnet.import_motion(directory=str(tmp_path), files=files)
    assert len(bpy.data.armatures) == 1


def test_the_active_object_is_left_alone_and_edit_mode_left(tmp_path):
    bpy.ops.object.armature_add(enter_editmode=True)
    path, _ = sample("bvh", "rig", tmp_path)
    ((_, record),) = ((o, json.loads(o["smoothnet_source"])) for o in [_after(path)])
    assert record["format"] == "bvh"
    assert bpy.context.object.mode == "OBJECT"
    assert [o.name for o in bpy.context.selected_objects] == ["take"]


def _after(path):
    assert bpy.ops.smoothnet.import_motion(filepath=str(path)) == {"FINISHED"}
    return bpy.context.object


def test_menu_and_dropped_files():
    from blender_addon.operators import import_motion

    drawn = bpy.types.TOPBAR_MT_file_import._dyn_ui_initialize()
    assert drawn.count(import_motion._menu) == 1
    assert ".bvh" in import_motion.SMOOTHNET_FH_motion.bl_file_extensions.split(";")
    owners = [c for c in bpy.types.FileHandler.__subclasses__() if c.bl_idname == "SMOOTHNET_FH_motion"]
    assert owners
    assert PELVIS[1] < 0
