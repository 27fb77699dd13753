"""What a clip shows: the body and its pose, the camera and the scene, drawn from the seed; and its pictures."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import require
from smpl_tools.pairs.body import JOINT_NAMES, Body, bone_places, make_body, random_shape, skinned, truth
from smpl_tools.pairs.camera import Camera, View, middle, path_change, place, random_views
from smpl_tools.pairs.estimator import Estimator
from smpl_tools.pairs.landmarks import landmarks
from smpl_tools.pairs.motions import Source
from smpl_tools.pairs.render import Renderer
from smpl_tools.pairs.retarget import retarget
from smpl_tools.pairs.scene import Look, boxes, painted, random_look
from smpl_tools.pairs.simulated import SimulatedErrors

Array = NDArray[np.float64]

# How far the sole lies below the end of the toe and the ankle, in metres.
_SOLE = (0.015, 0.075)


@dataclass(frozen=True)
class Settings:
    """What is made of every motion.

    Attributes:
        estimator: that runs on the pictures, or what stands in its place.
        modes: keys of ``MODES``: how it is run; the arrays of the others are NaN.
        views: the cameras, or how many to draw.
        bodies: how many different bodies are moved.
        occluders: things in the way, in every clip.
        size: width and height of the pictures.
        fps: frames a second.
        seed: of everything that is drawn.
    """

    estimator: Estimator | SimulatedErrors
    modes: tuple[str, ...]
    views: tuple[View, ...] | int
    bodies: int = 1
    occluders: int = 0
    size: int = 448
    fps: float = 30.0
    seed: int = 0


@dataclass(frozen=True)
class Clip:
    """One clip to make.

    Attributes:
        name: of its file.
        view: number of the camera.
        body: number of the body.
    """

    name: str
    view: int
    body: int


def clips_of(source: Source, settings: Settings) -> list[Clip]:
    """Return the clips to make of a motion: with every body before every camera."""
    count = settings.views if isinstance(settings.views, int) else len(settings.views)
    return [Clip(f"{source.name}_b{b}_c{c}", c, b) for b in range(settings.bodies) for c in range(count)]


@dataclass(frozen=True, eq=False)
class Stage:
    """All that a clip of T frames is rendered from.

    Attributes:
        body: of B bones.
        rotations: (T, B, 3, 3) of the bones in the world.
        places: (T, B, 3) where they begin, metres.
        joints: (T, 15, 3) where the skeleton's joints are in the world.
        landmarks: (T, 15, 3) what the estimator is to find: the joints, or where it calls them so.
        camera: that looks.
        look: colours and patterns.
        floor: height of the floor.
        occluders: how many things are in the way.
        described: all of this in words and numbers, for the metadata.
        generator: draws what is left to draw.
    """

    body: Body
    rotations: Array
    places: Array
    joints: Array
    landmarks: Array
    camera: Camera
    look: Look
    floor: float
    occluders: int
    described: dict[str, Any]
    generator: np.random.Generator


def staged(clip: Clip, source: Source, settings: Settings) -> Stage:
    """Draw all that a clip is rendered from, by the seed and the names of motion, body and clip alone.

    Raises:
        ValueError: the motion cannot be used.
    """
    generator = _generator(settings, clip.name)
    stem = clip.name.rsplit("_b", 1)[0]
    # One body is the same before all cameras, and cameras are spread about the motion, whatever the body.
    shape = random_shape(_generator(settings, f"{stem} body {clip.body}"))
    views = settings.views
    if isinstance(views, int):
        views = tuple(random_views(views, _generator(settings, f"{stem} views")))
    body = make_body(shape)
    rotations, root = retarget(landmarks(source.motion, source.person, settings.fps), body)
    stage = set_up(body, rotations, root, views[clip.view], settings, generator)
    return replace(stage, described={**stage.described, "subject": source.subject})


def set_up(
    body: Body,
    rotations: Array,
    root: Array,
    view: View,
    settings: Settings,
    generator: np.random.Generator,
    floor: float | None = None,
) -> Stage:
    """Put a moving body before a camera, and draw how all looks.

    Args:
        body: of B bones.
        rotations: (T, B, 3, 3) of the bones in the world.
        root: (T, 3) where the pelvis begins, metres, Y up.
        view: of the camera.
        settings: the estimator, whose landmarks are the truth; size of the pictures and number of occluders.
        generator: of what is drawn.
        floor: its height; None for where the feet stand.
    """
    joints = truth(body, rotations, bone_places(body, rotations, root))
    floor = _floor(joints) if floor is None else floor
    facing = rotations[:, 0, :, 2].mean(axis=0)
    camera, path_scale = place(view, joints, facing, floor, settings.size)
    places = bone_places(body, rotations, root + path_change(joints, path_scale))
    look = random_look(generator)
    described = {
        "camera": {
            "f_px": camera.focal_px,
            "cx": settings.size / 2,
            "cy": settings.size / 2,
            "distance_m": round(float(np.linalg.norm((camera.position - middle(joints))[[0, 2]])), 3),
            "path_scale": path_scale,
            **{key: value for key, value in asdict(view).items() if key != "distance_m"},
        },
        "floor_m": floor,
        "body": asdict(body.shape),
        "stature_m": round(body.stature, 3),
        "look": asdict(look),
    }
    return Stage(
        body=body,
        rotations=rotations,
        places=places,
        joints=truth(body, rotations, places),
        landmarks=truth(body, rotations, places, settings.estimator.offsets),
        camera=camera,
        look=look,
        floor=floor,
        occluders=settings.occluders,
        described=described,
        generator=generator,
    )


def _generator(settings: Settings, name: str) -> np.random.Generator:
    return np.random.default_rng([settings.seed, zlib.crc32(name.encode())])


def _floor(joints: Array) -> float:
    feet = [
        joints[:, JOINT_NAMES.index(f"{side}_{name}"), 1]
        for name in ("foot_index", "ankle")
        for side in ("left", "right")
    ]
    heights = np.stack(feet) - np.repeat(_SOLE, 2)[:, None]
    return float(np.quantile(heights.min(axis=0), 0.02))


def render(stage: Stage, folder: Path) -> None:
    """Write the pictures ``000000.jpg``, ``000001.jpg``, ... into a new folder.

    Raises:
        MissingExtraError: the renderer or Pillow is not installed.
    """
    image = require("PIL.Image", "pairs")
    folder.mkdir()
    body, look, generator = stage.body, stage.look, stage.generator
    things = boxes(stage.occluders, stage.camera, stage.joints, stage.floor, generator)
    colours = painted(body, look, generator)
    renderer = Renderer(body, colours, stage.camera, look, stage.floor, things, generator)
    for t, (rotations, places) in enumerate(zip(stage.rotations, stage.places, strict=True)):
        picture = image.fromarray(renderer.draw(skinned(body, rotations, places)))
        picture.save(folder / f"{t:06d}.jpg", quality=look.jpeg_quality)
