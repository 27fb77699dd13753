"""Planted feet of armatures, on walks made for the tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from blender_addon.feet import keep_feet, slide
from blender_addon.posing import Rig, world_positions

FPS = 30.0
# name, parent, head, tail, in metres with z up
BONES = (
    ("root", "", (0, 0, 0), (0, 0.3, 0)),
    ("hips", "root", (0, 0, 0.95), (0, 0, 1.1)),
    ("spine", "hips", (0, 0, 1.1), (0, 0, 1.5)),
    ("thigh.L", "hips", (0.1, 0, 0.93), (0.1, -0.01, 0.5)),
    ("shin.L", "thigh.L", (0.1, -0.01, 0.5), (0.1, 0, 0.09)),
    ("foot.L", "shin.L", (0.1, 0, 0.09), (0.1, -0.13, 0.02)),
    ("toe.L", "foot.L", (0.1, -0.13, 0.02), (0.1, -0.19, 0.02)),
    ("thigh.R", "hips", (-0.1, 0, 0.93), (-0.1, -0.01, 0.5)),
    ("shin.R", "thigh.R", (-0.1, -0.01, 0.5), (-0.1, 0, 0.09)),
    ("foot.R", "shin.R", (-0.1, 0, 0.09), (-0.1, -0.13, 0.02)),
    ("toe.R", "foot.R", (-0.1, -0.13, 0.02), (-0.1, -0.19, 0.02)),
)


def make_rig(bones: Any = BONES, *, world: Any = None, scale: float = 1.0, roll: int = 0, **changes: Any) -> Rig:
    """Return a rig of bones given by head and tail, their rolls at random."""
    rng = np.random.default_rng(roll)
    names = [bone[0] for bone in bones]
    rest, lengths = np.tile(np.eye(4), (len(bones), 1, 1)), []
    for k, (_, _, head, tail) in enumerate(bones):
        along = np.subtract(tail, head)
        lengths.append(scale * np.linalg.norm(along))
        y = along / np.linalg.norm(along)
        x = np.cross(y, rng.normal(size=3))
        x /= np.linalg.norm(x)
        rest[k, :3, :3] = np.stack([x, y, np.cross(x, y)], axis=1)
        rest[k, :3, 3] = scale * np.array(head)
    count = len(bones)
    values: dict[str, Any] = {
        "names": tuple(names),
        "parents": np.array([names.index(bone[1]) if bone[1] else -1 for bone in bones], np.int64),
        "rest": rest,
        "lengths": np.array(lengths),
        "inherit_rotation": np.ones(count, bool),
        "inherit_scale": ("FULL",) * count,
        "use_local_location": np.ones(count, bool),
        "connected": np.zeros(count, bool),
        "world": np.eye(4) if world is None else np.asarray(world, float),
    }
    return Rig(**{**values, **changes})


def walk(rig: Rig, *, seconds: float = 4.0, unit: float = 1.0, jitter: float = 0.004, seed: int = 1) -> Any:
    """Return channels (quats, locations) of a person who shifts from foot to foot, with slow errors of an estimator.

    Channels are of the rig's own axes: a rotation about x in the armature is taken into those of the bone.
    """
    rng = np.random.default_rng(seed)
    frames = round(seconds * FPS)
    time = np.arange(frames) / FPS
    quats = np.zeros((frames, len(rig.names), 4))
    quats[..., 0] = 1
    locations = np.zeros((frames, len(rig.names), 3))
    sway = np.clip(np.sin(2 * np.pi * time / 2), 0, None), np.clip(-np.sin(2 * np.pi * time / 2), 0, None)
    for side, lift in zip("LR", sway, strict=True):
        for name, angle in (("thigh", -0.15 - 0.5 * lift), ("shin", 0.3 + 0.9 * lift), ("foot", -0.15 - 0.4 * lift)):
            bone = rig.names.index(f"{name}.{side}")
            axes = rig.rest[bone, :3, :3]
            vector = np.stack([angle, 0 * angle, 0 * angle], axis=-1)
            quats[:, bone] = Rotation.from_rotvec(vector @ axes).as_quat()[:, [3, 0, 1, 2]]
    hips = rig.names.index("hips")
    slow = np.cumsum(rng.normal(size=(frames, 3)), axis=0)
    slow -= np.linspace(0, 1, frames)[:, None] * slow[-1]
    place = jitter * 3 * slow / max(abs(slow).max(), 1e-9) + [0, 0, -0.01]
    locations[:, hips] = unit * (place + jitter * np.sin(2 * np.pi * 0.7 * time)[:, None]) @ rig.rest[hips, :3, :3]
    return quats, locations


def test_feet_that_slide_stand_still_afterwards() -> None:
    rig = make_rig()
    quats, locations = walk(rig, jitter=0.02)
    kept = keep_feet(rig, quats, locations, fps=FPS)
    print(kept)
    assert kept.slide_before is not None and kept.slide_after is not None
    assert kept.slide_before > 10
    assert kept.slide_after < 0.2 * kept.slide_before
