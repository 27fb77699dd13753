"""A person of a motion as a body model takes it: rotations, shape, place and expression, from whatever file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.motion import Person, Track
from smpl_tools.skeleton import track_matrices

Array = NDArray[np.float64]


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


def person_body(person: Person, model: BodyModel) -> PersonBody:
    """Return a person's rotations, shape, translation and expression for a body model.

    Rotation tracks of any kind are matched with the model by their joints' names; where several have one joint the
    first counts, so of a file that has the camera's view and the world's take the plain form of one
    (``smpl_tools.contents.as_content``). Joints without a track are at rest, tracks' joints that the model has not are
    left out. Nothing is turned: the result is in the scene of the file (AMASS: Z up).

    Args:
        person: T rows.
        model: J joints, with the names of ``smpl_tools.skeleton``.

    Raises:
        ValueError: no rotation track of the person has a joint of the model.
    """
    tracks = person.tracks
    index = {name: j for j, name in enumerate(model.joints)}
    rotations = np.broadcast_to(np.eye(3), (len(person.frames), len(index), 3, 3)).copy()
    turned: set[str] = set()
    for track in tracks.values():
        if track.kind in ("position", "channels"):
            continue
        matrices = track_matrices(track)
        for k, joint in enumerate(track.joints):
            if joint in index and joint not in turned:
                rotations[:, index[joint]] = matrices[:, k]
                turned.add(joint)
    if not turned:
        wanted = f"rotations of joints of the model {model.name}"
        raise mismatch(f"tracks of person {person.id}", wanted, ", ".join(person.tracks) or "none")
    notes: list[str] = []
    betas = _values(tracks.get("betas"))
    betas = person.betas if betas is None else betas
    expression = _values(tracks.get("expression"))
    directions = model.expression_vertices
    return PersonBody(
        rotations,
        _fitting("betas", betas, model.shape_vertices.shape[-1], notes),
        _place(tracks.get("transl")),
        _fitting("expression coefficients", expression, 0 if directions is None else directions.shape[-1], notes),
        tuple(notes),
    )


def _values(track: Track | None) -> NDArray[np.floating] | None:
    return None if track is None else track.values


def _fitting(what: str, values: NDArray[np.floating] | None, known: int, notes: list[str]) -> Array | None:
    """Return the coefficients that the model has directions for; the first ones count most."""
    if values is None or not values.shape[-1]:
        return None
    if values.shape[-1] > known:
        notes.append(f"the file has {values.shape[-1]} {what}, the model {known}: the others are left out")
    return values[..., :known].astype(np.float64) if known else None


def _place(track: Track | None) -> Array | None:
    # Formats that state no unit for SMPL's translation mean its own, metres.
    return None if track is None else track.values[:, 0].astype(np.float64) * (track.metres or 1.0)
