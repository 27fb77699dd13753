"""Pose, shape and translation of a body from vertices, from joints, or from whatever positions a motion has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.bodies.fit_joints import fit_joints
from smpl_tools.bodies.fit_result import Fit
from smpl_tools.bodies.fit_vertices import fit_vertices
from smpl_tools.bodies.point_sets import POINT_SETS, Shares
from smpl_tools.motion import Motion, Person, Skeleton, time_span
from smpl_tools.poses import Poses, poses

__all__ = ["Fit", "FittedPerson", "fit_joints", "fit_motion", "fit_vertices"]


@dataclass(frozen=True, eq=False)
class FittedPerson:
    """One person of a motion as a body shows them.

    Attributes:
        id: the motion's own name for the person.
        frames: (T,) frame numbers of the rows of ``fit``, those of the person; where a number is missing the person
            was not seen, and nothing is made up.
        fit: T rows.
    """

    id: str
    frames: NDArray[np.int64]
    fit: Fit


def fit_motion(
    motion: Motion,
    body: BodyModel | Skeleton,
    *,
    mapping: str | Mapping[str, Shares] | None = None,
    metres: float | None = None,
    iterations: int = 50,
) -> tuple[FittedPerson, ...]:
    """Return every person of a motion as poses of a body, see ``fit_joints``.

    Positions are read from the person's tracks or computed from rotations, see ``smpl_tools.poses``; where the file
    states a confidence, sure points count more.

    Args:
        motion: people with positions in space, or with rotations.
        body: what is fitted.
        mapping: as in ``fit_joints``. None: the joints' own names, or the set of ``POINT_SETS`` that has them all.
        metres: one unit of the positions, where the file does not say.
        iterations: most steps for each frame.

    Raises:
        ValueError: positions are those of an image, in an unknown unit, or of joints of no known set.
    """
    people = []
    for person in motion.people:
        try:
            people.append(_fitted(motion, person, body, mapping, metres, iterations))
        except ValueError as error:
            raise ValueError(f"person {person.id}: {error}") from None
    return tuple(people)


def _fitted(
    motion: Motion,
    person: Person,
    body: BodyModel | Skeleton,
    mapping: str | Mapping[str, Shares] | None,
    metres: float | None,
    iterations: int,
) -> FittedPerson:
    pose = poses(motion, person)
    if pose.unit == "px":
        raise mismatch("positions", "points in space", "points in an image")
    unit = pose.metres if metres is None else metres
    if unit is None:
        raise mismatch("unit of the positions", "metres in one unit, as the file does not say", "none")
    # On the whole timeline, so that poses on both sides of a gap are not taken for neighbours.
    rows = pose.frames - (pose.frames[0] if len(pose.frames) else 0)
    points = np.full((time_span(pose.frames, "a fit"), len(pose.joints), 3), np.nan)
    points[rows] = pose.positions * unit
    weights = np.zeros(points.shape[:2])
    weights[rows] = _confidence(person, pose)
    found = fit_joints(
        body, points, pose.joints, mapping=_mapping(pose.joints, body, mapping), weights=weights, iterations=iterations
    )
    fit = Fit(
        found.joints,
        found.axis_angle[rows],
        found.transl[rows],
        found.betas,
        found.places,
        found.mean_error[rows],
        found.max_error[rows],
        found.converged[rows],
        found.iterations,
    )
    return FittedPerson(person.id, pose.frames, fit)


def _confidence(person: Person, pose: Poses) -> NDArray[np.floating]:
    for track in person.tracks.values():
        if track.kind == "position" and track.joints == pose.joints and track.confidence is not None:
            return np.clip(np.nan_to_num(track.confidence), 0.0, 1.0)
    return np.ones(pose.positions.shape[:2])


def _mapping(
    names: tuple[str, ...], body: BodyModel | Skeleton, mapping: str | Mapping[str, Shares] | None
) -> str | Mapping[str, Shares] | None:
    if mapping is not None or set(names) <= set(body.joints):
        return mapping
    known = [name for name, points in POINT_SETS.items() if set(names) <= set(points)]
    if not known:
        raise mismatch("joints", "those of the body or of " + ", ".join(POINT_SETS), ", ".join(names[:6]) + ", ...")
    return known[0]
