"""What is drawn at random about a rendered clip: colours, backdrop, floor, light and things in the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from smpl_tools.pairs.body import Body
from smpl_tools.pairs.camera import Camera

Array = NDArray[np.float64]

PATTERNS = ("plain", "checker", "noise")
# Darkest and lightest skin and hair; others are mixed of them.
_SKIN = ((0.28, 0.18, 0.13), (0.93, 0.76, 0.65))
_HAIR = ((0.05, 0.04, 0.04), (0.55, 0.40, 0.22))


@dataclass(frozen=True)
class Look:
    """Colours (red, green, blue from 0 to 1) and patterns of one clip.

    Attributes:
        skin: colour of the skin.
        hair: of hair and brows.
        shirt: of the shirt.
        trousers: of the trousers.
        shoes: of the shoes.
        long_sleeves: whether the shirt covers the forearms.
        long_trousers: whether the trousers cover the shins.
        stripes: width of the shirt's stripes in metres, 0 for none.
        wall: pattern of the backdrop.
        floor: pattern of the floor.
        wall_colours: two colours.
        floor_colours: two colours.
        light: direction to the light in the world, Y up.
        noise: standard deviation of the pictures' noise, of 255.
        jpeg_quality: of the files of the pictures, of 100.
    """

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    shirt: tuple[float, float, float]
    trousers: tuple[float, float, float]
    shoes: tuple[float, float, float]
    long_sleeves: bool
    long_trousers: bool
    stripes: float
    wall: str
    floor: str
    wall_colours: tuple[tuple[float, float, float], ...]
    floor_colours: tuple[tuple[float, float, float], ...]
    light: tuple[float, float, float]
    noise: float
    jpeg_quality: int


def _colour(values: Any) -> tuple[float, float, float]:
    red, green, blue = np.round(np.asarray(values, float), 3).tolist()
    return red, green, blue


def random_look(generator: np.random.Generator) -> Look:
    """Draw the look of a clip."""

    def mixed(ends: tuple[tuple[float, ...], tuple[float, ...]]) -> tuple[float, float, float]:
        share = generator.uniform()
        return _colour((1 - share) * np.array(ends[0]) + share * np.array(ends[1]))

    def any_colour(low: float = 0.08, high: float = 0.9) -> tuple[float, float, float]:
        return _colour(generator.uniform(low, high, 3))

    def two_colours(pale: float) -> tuple[tuple[float, float, float], ...]:
        # A room's colours are paler than clothes, and its two shades lie close together.
        base = pale * generator.uniform(0.4, 0.9) + (1 - pale) * generator.uniform(0.1, 0.9, 3)
        return _colour(base), _colour(np.clip(base + generator.uniform(-0.2, 0.2), 0.05, 0.95))

    turn = generator.uniform(0, 2 * np.pi)
    light = np.array([np.cos(turn), generator.uniform(0.8, 2.0), np.sin(turn)])
    return Look(
        skin=mixed(_SKIN),
        hair=mixed(_HAIR),
        shirt=any_colour(),
        trousers=any_colour(0.05, 0.6),
        shoes=any_colour(0.05, 0.9),
        long_sleeves=bool(generator.uniform() < 0.5),
        long_trousers=bool(generator.uniform() < 0.7),
        stripes=float(generator.choice([0.0, 0.0, 0.03, 0.06])),
        wall=str(generator.choice(PATTERNS)),
        floor=str(generator.choice(PATTERNS)),
        wall_colours=two_colours(0.7),
        floor_colours=two_colours(0.6),
        light=_colour(light / np.linalg.norm(light)),
        noise=round(float(generator.uniform(1, 5)), 1),
        jpeg_quality=int(generator.integers(75, 96)),
    )


def painted(body: Body, look: Look, generator: np.random.Generator) -> Array:
    """Return the colour of every vertex of a body, (V, 3) from 0 to 1."""
    skin, hair = np.array(look.skin), np.array(look.hair)
    shirt, trousers = np.array(look.shirt), np.array(look.trousers)
    colours = {
        "skin": skin,
        "hair": hair,
        "brows": 0.5 * hair + 0.2 * skin,
        "lips": skin * [0.95, 0.65, 0.65],
        "eyes": np.array([0.92, 0.92, 0.92]),
        "irises": np.array([0.12, 0.09, 0.07]),
        "shirt": shirt,
        "sleeves": shirt if look.long_sleeves else skin,
        "trousers": trousers,
        "shins": trousers if look.long_trousers else skin,
        "shoes": np.array(look.shoes),
    }
    result = np.array([colours[name] for name in body.parts])[body.part]
    if look.stripes:
        dark = (body.vertices[:, 1] // look.stripes) % 2 == 0
        cloth = np.isin(body.part, [body.parts.index(name) for name in ("shirt", "sleeves")]) & dark
        result[cloth & (result == shirt).all(axis=1)] *= 0.6
    # Nothing real is of one colour all over.
    return np.clip(result * generator.normal(1, 0.03, (len(result), 1)), 0, 1)


def boxes(count: int, camera: Camera, joints: Array, floor: float, generator: np.random.Generator) -> list[Array]:
    """Return things that stand on the floor between camera and person, each as the 8 corners (8, 3) of a box.

    Args:
        count: how many.
        camera: that they are in the way of.
        joints: (T, J, 3) of the person in the world.
        floor: its height.
        generator: of the drawing.
    """
    made = []
    person = joints.mean(axis=(0, 1))
    for _ in range(count):
        place = person + generator.uniform(0.35, 0.6) * (camera.position - person)
        place = place + generator.uniform(-0.35, 0.35) * camera.rotation[0]
        width, depth = generator.uniform(0.08, 0.28, 2)
        height = generator.uniform(0.4, 1.4)
        corners = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (0, 1) for z in (-0.5, 0.5)])
        turn = generator.uniform(0, np.pi)
        x = corners[:, 0] * width * np.cos(turn) + corners[:, 2] * depth * np.sin(turn)
        z = corners[:, 2] * depth * np.cos(turn) - corners[:, 0] * width * np.sin(turn)
        made.append(np.stack([place[0] + x, floor + height * corners[:, 1], place[2] + z], axis=1))
    return made


def backdrop(camera: Camera, look: Look, floor: float, samples: int, generator: np.random.Generator) -> Array:
    """Return what is behind the person, (S, S, 3) from 0 to 1, S the camera's size times ``samples``.

    A floor out to 8 m from the camera, and beyond it a wall without a place of its own.
    """
    size = camera.size * samples
    rays = pixel_rays(camera, samples)
    world = rays @ camera.rotation
    steps = np.full(world.shape[:2], np.inf)
    np.divide(floor - camera.position[1], world[..., 1], out=steps, where=world[..., 1] < -1e-6)
    on_floor = camera.position + np.where(np.isfinite(steps), steps, 0.0)[..., None] * world
    away = np.linalg.norm(on_floor[..., [0, 2]] - camera.position[[0, 2]], axis=-1)
    is_floor = np.isfinite(steps) & (away < 8.0)
    y, x = np.mgrid[0:size, 0:size] / size
    wall = _pattern(look.wall, look.wall_colours, 8 * x, 8 * y, generator)
    wall = wall * (1.1 - 0.3 * y[..., None])
    ground = _pattern(look.floor, look.floor_colours, 2 * on_floor[..., 0], 2 * on_floor[..., 2], generator)
    return np.clip(np.where(is_floor[..., None], ground, wall), 0, 1)


def pixel_rays(camera: Camera, samples: int) -> Array:
    """Return the direction, with z = 1 in the camera's axes, through every sample of a picture, (S, S, 3)."""
    size = camera.size * samples
    across = ((np.arange(size) + 0.5) / samples - camera.size / 2) / camera.focal_px
    return np.stack([*np.meshgrid(across, across), np.ones((size, size))], axis=-1)


def _pattern(name: str, colours: tuple[Any, ...], u: Array, v: Array, generator: np.random.Generator) -> Array:
    """Return a pattern of two colours at places (S, S) each, unit squares or stains of about that size."""
    if name == "checker":
        share = ((np.floor(u) + np.floor(v)) % 2).astype(float)
    elif name == "noise":
        stains = ndimage.gaussian_filter(generator.normal(size=(256, 256)), 1.5, mode="wrap")
        stains = np.clip(0.5 + stains / (4 * stains.std()), 0, 1)
        share = ndimage.map_coordinates(stains, [6 * u, 6 * v], order=1, mode="grid-wrap")
    else:
        share = np.zeros(u.shape)
    first, second = np.array(colours[0]), np.array(colours[1])
    return first + share[..., None] * (second - first)
