"""F-curves for tests without Blender."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from blender_addon.animation.curves import INTERPOLATIONS, Curve


def curve(path: str, index: int, times: Any, values: Any, interpolation: str = "LINEAR", **more: Any) -> Curve:
    """Return a curve of ordinary keys."""
    times = np.asarray(times, float)
    count = len(times)
    return Curve(
        path=path,
        index=index,
        times=times,
        values=np.asarray(values, float),
        interpolation=np.full(count, INTERPOLATIONS.index(interpolation), np.uint8),
        key_types=more.pop("key_types", np.zeros(count, np.uint8)),
        selected=more.pop("selected", np.zeros(count, bool)),
        **more,
    )


def quats(times: Any, noise: float = 0.02, seed: int = 0) -> np.ndarray:
    """Return quaternions (T, 4) w, x, y, z of a swing; noise in radians."""
    rng = np.random.default_rng(seed)
    times = np.asarray(times, float)[:, None]
    vector = 0.7 * np.sin(times / 9 + np.arange(3)) + rng.normal(scale=noise, size=(len(times), 3)) * (noise > 0)
    found = np.roll(Rotation.from_rotvec(vector).as_quat(), 1, axis=1)
    return found * np.where(found[:, :1] < 0, -1.0, 1.0)


def rotation_curves(bone: str, times: Any, noise: float = 0.02, **more: Any) -> list[Curve]:
    """Return the four curves of a bone's quaternion."""
    path = f'pose.bones["{bone}"].rotation_quaternion'
    values = quats(times, noise)
    return [curve(path, index, times, values[:, index], **more) for index in range(4)]
