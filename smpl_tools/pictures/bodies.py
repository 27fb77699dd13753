"""Bodies on the stage: their skin frame by frame, and the picture of it, by rays through Embree on the processor."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from smoothnet_core._checks import require
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.bodies.choice import bodies_for
from smpl_tools.bodies.free_body import MIDDLE
from smpl_tools.bodies.person_body import PersonBody, person_body
from smpl_tools.bodies.posing import posed_joints, posed_vertices
from smpl_tools.contents import as_content
from smpl_tools.coordinates import with_unit
from smpl_tools.motion import Motion
from smpl_tools.pairs.body import make_body
from smpl_tools.pairs.render import Scene
from smpl_tools.pictures.camera import Camera
from smpl_tools.pictures.paint import Canvas, Image, lit
from smpl_tools.pictures.stage import Actor, Stage, floor_below

Array = NDArray[np.float64]

# Rays along each axis of a pixel that the outline passes through, and metres of depth from which on there is one.
_SAMPLES, _STEP = 3, 0.04
# The floor is found from the skin of so many frames.
_FLOOR_FRAMES = 60


def plain_motion(motion: Motion) -> Motion:
    """Return what a body can be posed by: SMPL poses in metres.

    Raises:
        ValueError: the motion has none.
    """
    return dataclasses.replace(with_unit(as_content(motion, "smpl")[0], 1.0), path=motion.path, fps=motion.fps)


@dataclass(frozen=True, eq=False)
class Skin:
    """The skin of an actor."""

    model: BodyModel
    body: PersonBody
    seen: NDArray[np.int64]
    turn: Array

    def vertices(self, frame: int) -> Array | None:
        """Return (V, 3) on the stage in a frame of its timeline, None where the person was not seen."""
        row = int(self.seen[frame])
        if row < 0:
            return None
        one = slice(row, row + 1)
        body = self.body
        parts = [p if p is None or p.ndim == 1 else p[one] for p in (body.betas, body.transl, body.expression)]
        (found,) = next(posed_vertices(self.model, body.rotations[one], *parts))
        return found @ self.turn.T if np.isfinite(found).all() else None


def dressed(
    stage: Stage, motions: Sequence[Motion], body: str, models: Path | None = None
) -> tuple[Stage, list[list[Skin]]]:
    """Return the stage with people's joints where a body has them, and the skin of every actor.

    Args:
        stage: of these motions.
        motions: of :func:`plain_motion`.
        body: one of ``smpl_tools.bodies.choice.BODIES``.
        models: folder of model files.

    Raises:
        ValueError: there is no such model file.
        MissingExtraError: Embree is not installed.
    """
    require("embreex", "render")
    made = bodies_for(motions[0].people, body, folder=models)
    ids = [person.id for person in motions[0].people]
    casts, skins = [], []
    for motion, cast in zip(motions, stage.casts, strict=True):
        actors, dress = [], []
        for actor in cast:
            # People are paired by id, or the only one with the only one.
            person = next((p for p in motion.people if p.id == actor.person), motion.people[0])
            model = made[actor.person if actor.person in ids else ids[0]]
            posed = person_body(person, model)
            # The file's betas are SMPL's and mean nothing to the free body.
            posed = dataclasses.replace(posed, betas=None) if model.name == "free" else posed
            joints = posed_joints(model, posed.rotations, posed.betas, posed.transl, posed.expression) @ stage.turn.T
            there = np.flatnonzero(actor.seen >= 0)
            points = np.full((len(actor.seen), *joints.shape[1:]), np.nan)
            points[there] = joints[actor.seen[there]]
            actors.append(_with_joints(actor, model.joints, points))
            dress.append(Skin(model, posed, actor.seen, stage.turn))
        casts.append(tuple(actors))
        skins.append(dress)
    frames = np.unique(np.linspace(0, stage.frame_count - 1, _FLOOR_FRAMES).astype(int))
    skinned = [vertices for skin in skins[-1] for frame in frames if (vertices := skin.vertices(frame)) is not None]
    floor = floor_below([np.stack(skinned)]) if skinned else stage.floor
    return dataclasses.replace(stage, casts=tuple(casts), floor=floor), skins


def _with_joints(actor: Actor, joints: tuple[str, ...], points: Array) -> Actor:
    """Return an actor whose figure's points lie where a body has them; what the body has not stays."""
    moved = actor.points.copy()
    for place, name in enumerate(actor.joints):
        if name in joints:
            moved[:, place] = points[:, joints.index(name)]
    return dataclasses.replace(actor, points=actor.figure.points(moved[:, : len(actor.joints)]))


def clothed(model: BodyModel, colours: Mapping[str, Image]) -> Image:
    """Return the colour (V, 3) of every vertex: the free body has clothes painted on, any other is of one colour."""
    if model.name != "free":
        return np.repeat(colours["skin"][None], len(model.vertices), axis=0)
    body = make_body(MIDDLE)
    return np.array([colours.get(part, colours["skin"]) for part in body.parts])[body.part]


class BodyPainter:
    """Paints bodies of one model before one camera.

    Args:
        model: V vertices.
        camera: that looks.
    """

    def __init__(self, model: BodyModel, camera: Camera) -> None:
        self._faces, self._camera = model.faces, camera
        corners, ones = model.faces.ravel(), np.ones(model.faces.size, np.float32)
        faces = np.repeat(np.arange(len(model.faces)), 3)
        self._gather = sparse.csr_array((ones, (corners, faces)), shape=(len(model.vertices), len(model.faces)))
        self._rays = camera.rays.astype(np.float32)
        steps = ((np.arange(_SAMPLES) + 0.5) / _SAMPLES - 0.5) / camera.focal_px
        across, down = np.meshgrid(steps, steps)
        self._steps = np.stack([across.ravel(), down.ravel(), np.zeros(_SAMPLES**2)], axis=-1).astype(np.float32)

    def paint(self, canvas: Canvas, vertices: Array, frame: int, colours: NDArray[np.floating]) -> None:
        """Paint a body with its vertices at (V, 3) of the stage, of colours (V, 3)."""
        points = self._camera.seen(vertices, frame).astype(np.float32)
        window = self._window(points)
        if window is None:
            return
        a, b, c = (points[self._faces[:, k]] for k in range(3))
        across = np.cross(b - a, c - a)
        normals = self._gather @ across
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        # What faces away is hidden by what faces the camera.
        faces = self._faces[np.einsum("fc,fc->f", across, a) < 0]
        scene = Scene(points, faces)
        picture, depths = canvas.colours[window], canvas.depths[window]
        rays = self._rays[window]
        hit = scene.shoot(rays)
        far = np.where(hit.near, hit.depth, np.float32(1e3))
        edge = ndimage.maximum_filter(far, 3) - ndimage.minimum_filter(far, 3) > _STEP
        near = hit.near & (hit.depth < depths)
        inner = near & ~edge
        picture[inner] = _shaded(normals, colours, faces, hit, inner)
        fine = scene.shoot(rays[edge][:, None] + self._steps)
        samples = np.repeat(picture[edge][:, None], len(self._steps), axis=1)
        shown = fine.near & (fine.depth < depths[edge][:, None])
        samples[shown] = _shaded(normals, colours, faces, fine, shown)
        picture[edge] = samples.mean(axis=1)
        depths[near] = hit.depth[near]

    def _window(self, points: Any) -> tuple[slice, slice] | None:
        width, height = self._camera.size
        if points[:, 2].min() < 0.05:
            return slice(0, height), slice(0, width)
        pixels = self._camera.project(points)
        low = np.clip(np.floor(pixels.min(axis=0)).astype(int) - 1, 0, self._camera.size)
        high = np.clip(np.ceil(pixels.max(axis=0)).astype(int) + 1, 0, self._camera.size)
        if (high <= low).any():
            return None
        return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _shaded(normals: Any, colours: Any, faces: Any, hit: Any, where: NDArray[np.bool_]) -> Any:
    """Return the colours (n, 3) of rays that met a body, its normals and colours smooth between its vertices."""
    first, second, third = faces[hit.triangle[where]].T
    u, v = hit.u[where][:, None], hit.v[where][:, None]
    w = 1 - u - v
    normal = w * normals[first] + u * normals[second] + v * normals[third]
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    return lit(w * colours[first] + u * colours[second] + v * colours[third], normal)
