"""Rotation channels mean what Blender itself makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from blender_addon.animation.rotation_modes import MODES, channel_count, channel_name, from_quat_wxyz, to_quat_wxyz


@pytest.mark.parametrize("mode", MODES)
def test_an_object_turns_as_its_channels_say(scene: Any, mode: str) -> None:
    values = np.random.default_rng(5).normal(0, 2, (60, channel_count(mode)))
    thing = bpy.data.objects.new("thing", None)
    scene.collection.objects.link(thing)
    thing.rotation_mode = mode
    for row, quat in zip(values, to_quat_wxyz(values, mode), strict=True):
        setattr(thing, channel_name(mode), row)
        bpy.context.view_layer.update()
        seen = np.array(thing.matrix_world.to_quaternion())
        assert 1 - abs(seen @ quat) < 1e-6


@pytest.mark.parametrize("mode", MODES[2:])
def test_euler_orders_are_those_of_mathutils(scene: Any, mode: str) -> None:
    from mathutils import Euler

    values = np.random.default_rng(6).normal(0, 2, (60, 3))
    seen = np.array([Euler(row, mode).to_quaternion() for row in values])
    quat = to_quat_wxyz(values, mode)
    np.testing.assert_allclose(np.abs((seen * quat).sum(-1)), 1, atol=1e-6)
    back = np.array([Euler(row, mode).to_quaternion() for row in from_quat_wxyz(seen, mode)])
    np.testing.assert_allclose(np.abs((seen * back).sum(-1)), 1, atol=1e-6)


def test_an_axis_of_no_length_turns_nothing(scene: Any) -> None:
    thing = bpy.data.objects.new("thing", None)
    scene.collection.objects.link(thing)
    thing.rotation_mode = "AXIS_ANGLE"
    thing.rotation_axis_angle = (2, 0, 0, 0)
    bpy.context.view_layer.update()
    np.testing.assert_allclose(thing.matrix_world.to_quaternion(), to_quat_wxyz([[2, 0, 0, 0]], "AXIS_ANGLE")[0])
