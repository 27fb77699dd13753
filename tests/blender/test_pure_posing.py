"""Places of bones from channels: against 4 x 4 products in float64 and SciPy's rotations; Blender is the oracle in
``test_armatures``.
"""

from __future__ import annotations

import dataclasses
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import blender_addon.rigs.posing as posing
from blender_addon.animation.curves import Curve, CurveKey, bone_path
from blender_addon.rigs.pose_channels import Channels, linear_sampler, sample_pose
from blender_addon.rigs.posing import INHERIT_SCALE, Rig, location_axes, world_ends, world_positions, world_rotations


def random_rig(rng: np.random.Generator, count: int, **changes: Any) -> Rig:
    """Return a rig whose bones follow their parents in full, the armature turned and scaled."""
    rest = np.tile(np.eye(4), (count, 1, 1))
    rest[:, :3, :3] = Rotation.random(count, random_state=rng).as_matrix()
    rest[:, :3, 3] = rng.normal(size=(count, 3))
    world = np.eye(4)
    world[:3, :3] = 1.5 * Rotation.random(random_state=rng).as_matrix()
    world[:3, 3] = rng.normal(size=3)
    values: dict[str, Any] = {
        "names": tuple(f"bone {k}" for k in range(count)),
        "parents": np.array([int(rng.integers(-1, k)) if k else -1 for k in range(count)], np.int64),
        "rest": rest,
        "lengths": rng.uniform(0.1, 1, count),
        "inherit_rotation": np.ones(count, bool),
        "inherit_scale": ("FULL",) * count,
        "use_local_location": np.ones(count, bool),
        "connected": np.zeros(count, bool),
        "world": world,
    }
    return Rig(**{**values, **changes})


def random_pose(rng: np.random.Generator, frames: int, count: int) -> tuple[Any, Any, Any]:
    quats = rng.normal(size=(frames, count, 4))
    return quats, rng.normal(size=(frames, count, 3)), rng.uniform(0.7, 1.4, (frames, count, 3))


def reference(rig: Rig, quats: Any, locations: Any, scales: Any, worlds: Any = None) -> Any:
    """Return the bones' matrices (T, B, 4, 4) in the scene: world @ parent @ rest^-1 @ rest @ location, rotation."""
    result = np.empty((*quats.shape[:2], 4, 4))
    for t in range(len(quats)):
        pose: list[Any] = []
        for b, parent in enumerate(rig.parents):
            own = np.eye(4)
            own[:3, :3] = Rotation.from_quat(quats[t, b, [1, 2, 3, 0]]).as_matrix() * scales[t, b]
            own[:3, 3] = 0 if rig.connected[b] else locations[t, b]
            above = np.eye(4) if parent < 0 else pose[parent] @ np.linalg.inv(rig.rest[parent])
            pose.append(above @ rig.rest[b] @ own)
            result[t, b] = (rig.world if worlds is None else worlds[t]) @ pose[b]
    return result


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), frames=st.integers(0, 5), count=st.integers(1, 9))
def test_bones_stand_where_products_of_matrices_put_them(seed: int, frames: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    rig = random_rig(rng, count, connected=rng.random(count) < 0.3)
    quats, locations, scales = random_pose(rng, frames, count)
    expected = reference(rig, quats, locations, scales)
    heads, tails = world_ends(rig, quats, locations, scales)
    np.testing.assert_allclose(heads, expected[..., :3, 3], atol=1e-9)
    np.testing.assert_allclose(tails, expected[..., :3, 3] + expected[..., :3, 1] * rig.lengths[:, None], atol=1e-9)
    np.testing.assert_array_equal(world_positions(rig, quats, locations, scales), heads)
    stiff = reference(rig, quats, locations, np.ones_like(scales))
    np.testing.assert_allclose(world_rotations(rig, quats, locations), stiff[..., :3, :3] / 1.5, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), mode=st.sampled_from(INHERIT_SCALE), local=st.booleans())
def test_every_way_of_following_is_the_same_without_scale(seed: int, mode: str, local: bool) -> None:
    rng = np.random.default_rng(seed)
    rig = random_rig(rng, 6, use_local_location=np.full(6, local))
    quats, locations, _ = random_pose(rng, 3, 6)
    expected = world_ends(rig, quats, locations)
    other = dataclasses.replace(rig, inherit_scale=(mode,) * 6)
    ones = np.ones_like(locations)
    for got in (world_ends(other, quats, locations), world_ends(other, quats, locations, ones)):
        np.testing.assert_allclose(got, expected, atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), mode=st.sampled_from(INHERIT_SCALE), turned=st.booleans(), local=st.booleans())
def test_a_location_moves_the_head_along_its_axes(seed: int, mode: str, turned: bool, local: bool) -> None:
    rng = np.random.default_rng(seed)
    rig = random_rig(
        rng, 6, inherit_scale=(mode,) * 6, inherit_rotation=np.full(6, turned), use_local_location=np.full(6, local)
    )
    pose = random_pose(rng, 4, 6)
    bone, step = int(rng.integers(6)), rng.normal(size=3)
    moved = pose[1].copy()
    moved[:, bone] += step
    change = world_positions(rig, pose[0], moved, pose[2]) - world_positions(rig, *pose)
    np.testing.assert_allclose(location_axes(rig, bone, *pose) @ step, change[:, bone], atol=1e-9)


def test_an_object_that_moves_takes_its_bones_along() -> None:
    rng = np.random.default_rng(3)
    rig = random_rig(rng, 4)
    pose = random_pose(rng, 5, 4)
    worlds = np.tile(np.eye(4), (5, 1, 1))
    worlds[:, :3] = rng.normal(size=(5, 3, 4))
    expected = reference(rig, *pose, worlds=worlds)
    heads, tails = world_ends(dataclasses.replace(rig, world=worlds), *pose)
    np.testing.assert_allclose(heads, expected[..., :3, 3], atol=1e-9)
    np.testing.assert_allclose(tails, expected[..., :3, 3] + expected[..., :3, 1] * rig.lengths[:, None], atol=1e-9)


def test_rotations_of_scaled_bones_are_rotations_along_the_bone() -> None:
    rng = np.random.default_rng(4)
    rig = random_rig(rng, 8)
    pose = random_pose(rng, 3, 8)
    turned = world_rotations(rig, *pose)
    np.testing.assert_allclose(
        np.swapaxes(turned, -1, -2) @ turned, np.broadcast_to(np.eye(3), turned.shape), atol=1e-9
    )
    heads, tails = world_ends(rig, *pose)
    along = (tails - heads) / np.linalg.norm(tails - heads, axis=-1, keepdims=True)
    np.testing.assert_allclose(turned[..., 1], along, atol=1e-9)


def test_blocks_of_frames_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    rig, pose = random_rig(rng, 5), random_pose(rng, 100, 5)
    expected = world_ends(rig, *pose), world_rotations(rig, *pose), location_axes(rig, 3, *pose)
    monkeypatch.setattr(posing, "_BLOCK", 1)
    got = world_ends(rig, *pose), world_rotations(rig, *pose), location_axes(rig, 3, *pose)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_memory_is_that_of_blocks() -> None:
    rng = np.random.default_rng(6)
    rig = random_rig(rng, 300)
    quats, locations, _ = random_pose(rng, 6000, 300)
    tracemalloc.start()
    world_positions(rig, quats, locations)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 6000 * 300 * 3 * 8 + 200e6


def test_part_of_a_rig_stands_where_the_whole_does() -> None:
    rng = np.random.default_rng(7)
    rig, pose = random_rig(rng, 12), random_pose(rng, 2, 12)
    bones = rig.above([11, 7])
    part = rig.take(bones)
    assert set(bones.tolist()) >= {11, 7}
    np.testing.assert_allclose(
        world_positions(part, *(channel[:, bones] for channel in pose)),
        world_positions(rig, *pose)[:, bones],
        atol=1e-12,
    )
    assert all(rig.parents[child] == bone for bone, some in enumerate(rig.children) for child in some)
    assert sum(map(len, rig.children)) == (rig.parents >= 0).sum()


def test_bad_input_is_named() -> None:
    rig = random_rig(np.random.default_rng(8), 3, parents=np.array([-1, 0, 1], np.int64))
    quats, locations, scales = random_pose(np.random.default_rng(8), 2, 3)
    cases = (
        (
            lambda: world_positions(rig, quats[:, :2], locations),
            "shape of quats: expected (T, 3, 4), received (2, 2, 4)",
        ),
        (
            lambda: world_positions(rig, quats, locations[:1]),
            "shape of locations: expected (2, 3, 3), received (1, 3, 3)",
        ),
        (
            lambda: world_ends(rig, quats, locations, scales[..., :2]),
            "shape of scales: expected (2, 3, 3), received (2, 3, 2)",
        ),
        (lambda: rig.take([0, 2]), "parent of bone bone 2: expected bone 1 among the bones, received none"),
        (
            lambda: dataclasses.replace(rig, parents=np.array([1, -1, 0])),
            "parents of a rig: expected each before its children, received [1, -1, 0]",
        ),
        (
            lambda: dataclasses.replace(rig, lengths=np.ones(2)),
            "shape of lengths of a rig: expected (3,), received (2,)",
        ),
        (
            lambda: dataclasses.replace(rig, world=np.eye(3)),
            "shape of world of a rig: expected (4, 4) or (T, 4, 4), received (3, 3)",
        ),
        (
            lambda: world_positions(dataclasses.replace(rig, world=np.tile(np.eye(4), (5, 1, 1))), quats, locations),
            "frames of world of a rig: expected 2, received 5",
        ),
        (
            lambda: location_axes(dataclasses.replace(rig, connected=np.ones(3, bool)), 1, quats, locations),
            "bone bone 1: expected one that its location moves, received a connected one",
        ),
    )
    for call, message in cases:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            call()
    with pytest.raises(ValueError, match="inherit_scale"):
        dataclasses.replace(rig, inherit_scale=("FULL", "HALF", "FULL"))


def curve(path: str, index: int, times: Any, values: Any) -> Curve:
    keys = len(times)
    return Curve(
        path, index, np.array(times, float), np.array(values, float), np.ones(keys, np.uint8), np.zeros(keys, np.uint8),
        np.zeros(keys, bool),
    )  # fmt: skip


def test_channels_without_a_curve_keep_their_present_values() -> None:
    turn = Rotation.from_euler("XYZ", [0.3, -0.2, 0.9])
    present = Channels(
        modes=("XYZ", "QUATERNION"),
        rotations=(np.array([0.1, 0.2, 0.3]), turn.as_quat()[[3, 0, 1, 2]]),
        locations=np.array([[1.0, 2, 3], [4, 5, 6]]),
        scales=np.array([[1.0, 1, 1], [1, 2, 1]]),
    )
    path = bone_path("a", "rotation_euler")
    sampler = linear_sampler([curve(path, 2, [1, 3], [0.0, 1.0]), curve(path, 0, [], [])], [0, 1, 2, 2.5, 4])
    pose = sample_pose(("a", "b"), present, sampler, 5)
    angles = np.stack([np.full(5, 0.1), np.full(5, 0.2), [0, 0, 0.5, 0.75, 1]], axis=1)
    got = Rotation.from_quat(pose.quats[:, 0][:, [1, 2, 3, 0]])
    # Blender's XYZ turns about x first, then about the fixed y and z.
    assert (got.inv() * Rotation.from_euler("xyz", angles)).magnitude().max() < 1e-9
    np.testing.assert_allclose(pose.quats[:, 1], np.tile(present.rotations[1], (5, 1)), atol=1e-12)
    np.testing.assert_array_equal(pose.locations, np.tile(present.locations, (5, 1, 1)))
    assert pose.scales is not None
    np.testing.assert_array_equal(pose.scales, np.tile(present.scales, (5, 1, 1)))
    plain = dataclasses.replace(present, scales=np.ones((2, 3)))
    assert sample_pose(("a", "b"), plain, sampler, 5).scales is None
    assert sampler(CurveKey(path, 0)) is None


def test_a_sampler_that_answers_for_other_frames_is_refused() -> None:
    present = Channels(("XYZ",), (np.zeros(3),), np.zeros((1, 3)), np.ones((1, 3)))
    message = r'^shape of the values of pose\.bones\["a"\]\.rotation_euler\[0\]: expected \(2,\), received \(3,\)$'
    with pytest.raises(ValueError, match=message):
        sample_pose(("a",), present, lambda key: np.zeros(3), 2)
