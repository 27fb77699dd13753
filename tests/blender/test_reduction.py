"""Reduced keys in Blender are the curve that was promised."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from blender_addon.animation.curves import CurveKey
from blender_addon.animation.reduction import reduce_rotations, reduce_values
from blender_addon.animation.rotation_modes import from_quat_wxyz, to_quat_wxyz
from blender_addon.bridge import keyframes


def swing(offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Return frames and continuous quaternions (K, 4), slightly noisy."""
    rng = np.random.default_rng(11)
    times = offset + np.arange(300) * 0.8
    t = np.arange(300)[:, None]
    raw = np.array([1.0, 0, 0, 0]) + np.sin(t / 23 + np.arange(4)) + rng.normal(0, 0.002, (300, 4))
    return times, from_quat_wxyz(raw, "QUATERNION")


def written(path: str, times: np.ndarray, values: np.ndarray, one: Any) -> np.ndarray:
    """Write the reduced keys over full ones and return what Blender evaluates at the old key times."""
    thing = bpy.data.objects.new("thing", None)
    source = keyframes.make(thing, "reduced")
    keyframes.assign(thing, source)
    seen = []
    for index in range(values.shape[1]):
        key = CurveKey(path, index)
        keyframes.replace_keys(source, key, times, values[:, index])
        keyframes.replace_keys(source, key, one.times, one.values[:, index], interpolation="BEZIER")
        keyframes.set_handles(source, key, one.left[:, index], one.right[:, index])
        seen.append(keyframes.evaluate(source, key, times))
    return np.stack(seen, -1)


@pytest.mark.parametrize("offset", [1.0, -40.0, 100000.0])
@pytest.mark.parametrize("mode", ["QUATERNION", "ZXY"])
def test_blender_evaluates_rotations_within_the_tolerance(scene: Any, mode: str, offset: float) -> None:
    times, quat = swing(offset)
    values = from_quat_wxyz(quat, mode)
    one = reduce_rotations(times, values[:, None], mode, 0.5)[0]
    assert len(one.places) < 100
    path = "rotation_quaternion" if mode == "QUATERNION" else "rotation_euler"
    seen = written(path, times, values, one)
    if offset < 1000:
        np.testing.assert_allclose(seen, one.evaluate(times), atol=2e-5)
    # So late float32 holds the frames of handles to a hundredth.
    slack = 1e-3 if offset < 1000 else 0.1
    angle = 2 * np.arccos(np.clip(np.abs((to_quat_wxyz(seen, mode) * quat).sum(-1)), 0, 1))
    assert np.degrees(angle).max() <= 0.5 + slack


def test_blender_evaluates_locations_within_the_tolerance(scene: Any) -> None:
    times, quat = swing(1.0)
    values = 100 * quat[:, 1:]
    one = reduce_values(times, values[:, None], 0.4)[0]
    seen = written("location", times, values, one)
    assert np.linalg.norm(seen - values, axis=-1).max() <= 0.4 + 1e-3


def test_handles_stay_when_blender_recalculates_them(scene: Any) -> None:
    times, quat = swing(1.0)
    one = reduce_values(times, quat[:, None, :1], 0.01)[0]
    written("location", times, quat[:, :1], one)
    source = keyframes.active_source(bpy.data.objects["thing"])
    values = {CurveKey("location", 0): one.values[:, 0] + 2}
    keyframes.write_values(source, values)
    seen = keyframes.evaluate(source, CurveKey("location", 0), times)
    np.testing.assert_allclose(seen, one.evaluate(times)[:, 0] + 2, atol=2e-5)


def test_wrong_handles_are_refused(scene: Any) -> None:
    thing = bpy.data.objects.new("thing", None)
    source = keyframes.make(thing, "action")
    key = CurveKey("location", 1)
    with pytest.raises(ValueError, match=r"^Action action: there is no curve location\[1\]$"):
        keyframes.set_handles(source, key, np.zeros((2, 2)), np.zeros((2, 2)))
    keyframes.replace_keys(source, key, np.arange(2.0), np.arange(2.0))
    with pytest.raises(ValueError, match=r"^Action action, curve location\[1\]: 2 keys, 3 handles$"):
        keyframes.set_handles(source, key, np.zeros((2, 2)), np.zeros((3, 2)))
