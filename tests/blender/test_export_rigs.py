"""The motion of any armature, as Blender shows it, in new files."""

from __future__ import annotations

import math

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from mathutils import Matrix, Vector

from blender_addon.bridge import evaluation
from smpl_tools.formats import read
from tests.blender.motion_samples import heads, operators, places


@pytest.fixture(autouse=True)
def scene():
    with operators() as empty:
        yield empty


def exported(path, **how):
    assert bpy.ops.smoothnet.export_motion(filepath=str(path), **how) == {"FINISHED"}
    return path


def walker(scale=1.0):
    """Return an armature of a person as a game engine has it, lying in centimetres in a turned object."""
    armature = bpy.data.armatures.new("rig")
    object = bpy.data.objects.new("Hero", armature)
    bpy.context.scene.collection.objects.link(object)
    bpy.context.view_layer.objects.active = object
    bpy.ops.object.mode_set(mode="EDIT")
    rows = {
        "Hips": ("", (0, 95, 0)), "Spine": ("Hips", (0, 105, 0)), "Spine1": ("Spine", (0, 118, 0)),
        "Spine2": ("Spine1", (0, 132, 0)), "Neck": ("Spine2", (0, 148, 0)), "Head": ("Neck", (0, 156, 0)),
    }  # fmt: skip
    for side, sign in (("Left", 1), ("Right", -1)):
        rows |= {
            f"{side}Shoulder": ("Spine2", (4 * sign, 144, 0)), f"{side}Arm": (f"{side}Shoulder", (17 * sign, 144, 0)),
            f"{side}ForeArm": (f"{side}Arm", (44 * sign, 144, 0)),
            f"{side}Hand": (f"{side}ForeArm", (70 * sign, 144, 0)),
            f"{side}UpLeg": ("Hips", (9 * sign, 90, 0)), f"{side}Leg": (f"{side}UpLeg", (9 * sign, 50, 0)),
            f"{side}Foot": (f"{side}Leg", (9 * sign, 9, 0)), f"{side}ToeBase": (f"{side}Foot", (9 * sign, 2, 12)),
        }  # fmt: skip
    bones = {}
    for name, (parent, place) in rows.items():
        bone = bones[name] = armature.edit_bones.new(f"mixamorig:{name}")
        bone.head, bone.tail, bone.roll = place, Vector(place) + Vector((0, 5, 1)), 0.3
        bone.parent = bones.get(parent)
    control = armature.edit_bones.new("control")
    control.head, control.tail, control.use_deform = (0, 0, 0), (0, 20, 0), False
    bpy.ops.object.mode_set(mode="OBJECT")
    object.rotation_euler, object.scale = (math.pi / 2, 0, 0), (0.01 * scale,) * 3
    pose = object.pose.bones
    for frame in (1, 5, 9):
        for k, name in enumerate(("Hips", "LeftArm", "RightForeArm", "LeftUpLeg", "RightLeg", "Spine1")):
            bone = pose[f"mixamorig:{name}"]
            bone.rotation_mode = "XYZ" if k % 2 else "QUATERNION"
            turn = Matrix.Rotation(0.4 * math.sin(frame + k), 3, Vector((1, 0.5 * k, 1)).normalized())
            bone.rotation_euler, bone.rotation_quaternion = turn.to_euler(), turn.to_quaternion()
            bone.keyframe_insert("rotation_euler" if k % 2 else "rotation_quaternion", frame=frame)
        pose["mixamorig:Hips"].location = (frame, 2 * frame, 0)
        pose["mixamorig:Hips"].keyframe_insert("location", frame=frame)
    # What is seen counts, whatever makes it.
    limit = pose["mixamorig:Neck"].constraints.new("COPY_ROTATION")
    limit.target, limit.subtarget = object, "mixamorig:LeftArm"
    return object


def test_any_armature_goes_to_bvh_as_it_is_seen(tmp_path):
    object = walker()
    out = exported(tmp_path / "out.bvh", format="bvh")
    ((values, joints),) = places(out).values()
    assert len(values) == 9
    assert "control" not in joints
    motion = read(out)
    assert motion.fps == pytest.approx(30)
    # It stands upright at rest, and only the root moves by itself.
    assert "joint_positions" not in motion.people[0].tracks
    assert motion.skeleton.offsets[joints.index("mixamorig:LeftLeg")] == pytest.approx([0, -0.4, 0], abs=1e-5)
    np.testing.assert_allclose(heads(object, joints, range(1, 10)), values, rtol=0, atol=1e-4)
    # And back, as an armature of its own.
    bpy.ops.smoothnet.import_motion(filepath=str(out), set_rate=False)
    again = bpy.context.object
    np.testing.assert_allclose(heads(again, joints, range(1, 10)), values, rtol=0, atol=1e-4)


def test_several_roots_hang_on_the_object(tmp_path):
    object = walker()
    out = exported(tmp_path / "out.bvh", format="bvh", deforming=False, fps=60, range="SCENE")
    ((values, joints),) = places(out).values()
    assert joints[0] == "Hero"
    assert "control" in joints
    bpy.context.scene.frame_end = 250
    assert len(values) == 2 * 250 - 1
    np.testing.assert_allclose(heads(object, joints[1:], [1, 3.5, 8]), values[[0, 5, 14], 1:], rtol=0, atol=1e-4)


def test_any_armature_goes_to_gltf_and_comes_back(tmp_path):
    object = walker()
    names = [bone.name for bone in object.pose.bones if bone.name != "control"]
    wanted = heads(object, names, range(1, 10))
    exported(tmp_path / "out.glb", format="gltf")
    bpy.context.scene.render.fps = 30
    bpy.ops.import_scene.gltf(filepath=str(tmp_path / "out.glb"))
    other = next(o for o in bpy.context.selected_objects if o.type == "ARMATURE")
    names_there = [next(b.name for b in other.pose.bones if b.name.endswith(name)) for name in names]
    np.testing.assert_allclose(heads(other, names_there, range(9)), wanted, rtol=0, atol=1e-3)


def test_any_armature_goes_to_smpl_by_its_joints_names(tmp_path):
    object = walker()
    out = exported(tmp_path / "out.npz", format="amass")
    ((values, joints),) = places(out).values()
    # The body has its own measures: directions are what is kept.
    pairs = {
        "left_shoulder": ("LeftArm", "LeftForeArm", "left_elbow"),
        "right_knee": ("RightLeg", "RightFoot", "right_ankle"),
    }
    for joint, (start, end, following) in pairs.items():
        there = heads(object, [f"mixamorig:{start}", f"mixamorig:{end}"], range(1, 10))
        bone = there[:, 1] - there[:, 0]
        body = values[:, joints.index(following)] - values[:, joints.index(joint)]
        cosine = (bone * body).sum(1) / np.linalg.norm(bone, axis=1) / np.linalg.norm(body, axis=1)
        assert np.degrees(np.arccos(cosine)).max() < 8, joint


def test_meshes_rest_while_armatures_are_looked_at_unless_a_bone_follows_them(tmp_path):
    object = walker()
    objects = [object]
    for name in ("body", "target"):
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata([(0, 0, 0)], [], [])
        body = bpy.data.objects.new(name, mesh)
        bpy.context.scene.collection.objects.link(body)
        body.modifiers.new("Armature", "ARMATURE").object = object
        objects.append(body)
    object.pose.bones["mixamorig:Head"].constraints.new("COPY_LOCATION").target = objects[2]
    bpy.context.view_layer.update()
    (modifier,) = evaluation._deforming(bpy.context, [object])
    assert modifier.id_data == objects[1]
    exported(tmp_path / "out.bvh", format="bvh")
    assert all(body.modifiers[0].show_viewport for body in objects[1:])
