"""A person of a motion as a body model takes it: rotations, shape, place and expression, from whatever file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.formats import aist, amass, wham
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.rotations import axis_angle_to_matrix, quat_wxyz_to_matrix, rotation_6d_to_matrix

Array = NDArray[np.float64]

_WORLD = "_world"
# What files say of a body once for the whole take, by format.
_BETAS: dict[str, Callable[[Motion, Person], NDArray[np.floating] | None]] = {
    amass.NAME: lambda motion, _: amass.stated_betas(motion),
    wham.NAME: wham.stated_betas,
}


@dataclass(frozen=True, eq=False)
class PersonBody:
    """What :func:`smpl_tools.bodies.posing.posed_vertices` asks for, of one person.

    Attributes:
        rotations: (T, J, 3, 3) float64 of each joint relative to its parent; NaN where a joint was not observed.
        betas: (K,) or (T, K), None where the file has none.
        transl: (T, 3) in metres, None where the file has none.
        expression: (T, E), None where the file or the model has none.
        notes: what was left out, one sentence each.
    """

    rotations: Array
    betas: Array | None
    transl: Array | None
    expression: Array | None
    notes: tuple[str, ...] = ()


def person_body(motion: Motion, person: Person, model: BodyModel, *, world: bool = False) -> PersonBody:
    """Return a person's rotations, shape, translation and expression for a body model.

    Rotation tracks of any kind are matched with the model by their joints' names; where several have one joint the
    first counts. Joints without a track are at rest, tracks' joints that the model has not are left out. Nothing is
    turned: the result is in the scene of the file (AMASS: Z up).

    Args:
        motion: where the person is from; its format knows what the file says once for a take.
        person: T rows, one of ``motion.people``.
        model: J joints, with the names of ``smpl_tools.skeleton``.
        world: take the tracks in a world (``global_orient_world``, ``transl_world``) that WHAM has beside the camera's.

    Raises:
        ValueError: no rotation track of the person has a joint of the model, or, with ``world``, there is none.
    """
    tracks = _chosen(person, world)
    index = {name: j for j, name in enumerate(model.joints)}
    rotations = np.broadcast_to(np.eye(3), (len(person.frames), len(index), 3, 3)).copy()
    turned: set[str] = set()
    for track in tracks.values():
        if track.kind in ("position", "channels"):
            continue
        matrices = _matrices(track)
        for k, joint in enumerate(track.joints):
            if joint in index and joint not in turned:
                rotations[:, index[joint]] = matrices[:, k]
                turned.add(joint)
    if not turned:
        wanted = f"rotations of joints of the model {model.name}"
        raise mismatch(f"tracks of person {person.id}", wanted, ", ".join(person.tracks) or "none")
    notes: list[str] = []
    betas = _values(tracks.get("betas"))
    if betas is None and motion.format in _BETAS:
        betas = _BETAS[motion.format](motion, person)
    expression = _values(tracks.get("expression"))
    directions = model.expression_vertices
    return PersonBody(
        rotations,
        _fitting("betas", betas, model.shape_vertices.shape[-1], notes),
        _place(motion, tracks),
        _fitting("expression coefficients", expression, 0 if directions is None else directions.shape[-1], notes),
        tuple(notes),
    )


def _chosen(person: Person, world: bool) -> Mapping[str, Track]:
    """Return the tracks seen from one place, under the names without it."""
    in_world = {name.removesuffix(_WORLD): t for name, t in person.tracks.items() if name.endswith(_WORLD)}
    others = {name: t for name, t in person.tracks.items() if not name.endswith(_WORLD)}
    if not world:
        return others
    if "global_orient" not in in_world:
        raise mismatch(f"tracks of person {person.id}", "global_orient_world", ", ".join(person.tracks) or "none")
    # A place in the camera's scene would be wrong in the world.
    return {**{name: t for name, t in others.items() if name != "transl"}, **in_world}


def _matrices(track: Track) -> Array:
    values = np.where(np.isfinite(track.values), track.values, np.nan).astype(np.float64)
    if track.kind == "axis_angle":
        return axis_angle_to_matrix(values)
    if track.kind == "quat_wxyz":
        return quat_wxyz_to_matrix(values)
    if track.kind == "rotation_6d":
        return rotation_6d_to_matrix(values, track.order)
    return values


def _values(track: Track | None) -> NDArray[np.floating] | None:
    return None if track is None else track.values


def _fitting(what: str, values: NDArray[np.floating] | None, known: int, notes: list[str]) -> Array | None:
    """Return the coefficients that the model has directions for; the first ones count most."""
    if values is None or not values.shape[-1]:
        return None
    if values.shape[-1] > known:
        notes.append(f"the file has {values.shape[-1]} {what}, the model {known}: the others are left out")
    return values[..., :known].astype(np.float64) if known else None


def _place(motion: Motion, tracks: Mapping[str, Track]) -> Array | None:
    track = tracks.get("transl")
    if track is None:
        return None
    metres = 1 / aist.scaling(motion) if motion.format == aist.NAME else 1.0
    return track.values[:, 0].astype(np.float64) * metres
