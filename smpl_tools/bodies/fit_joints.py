"""From the positions of joints over time to the pose, shape and translation of a body."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from smoothnet_core._checks import mismatch
from smpl_tools.bodies._least_squares import State, fit_poses, fit_shape
from smpl_tools.bodies._points import Points, Structure
from smpl_tools.bodies._pose_guess import guess, nearest_points
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.bodies.fit_result import Fit, continuous, evenly
from smpl_tools.bodies.point_sets import Shares, shares_of
from smpl_tools.motion import Skeleton
from smpl_tools.rotations import geodesic_angle, interpolate, project_to_so3

Array = NDArray[np.float64]

_SHAPE_FRAMES = 60
_SHAPE_STEPS = 40
# As many frames as tell of the shape what one tells that differs from all others.
_ALIKE = 6
# Off by this, metres, points are as sure as the priors' weights are meant for; the further off, the more these count.
_SURE = 0.001
_MOST_PRIORS = 10.0
_BLOCK_FRAMES = 128
_FLOOR = 1e-14
# Frames over which rotations that positions leave open are evened out, and how often.
_SMOOTH_FRAMES = 2.0
_PASSES = 2
# Where a joint is turned this far (radians) from its mean over those frames, the mean is tried as a start, too.
_ASTRAY = 0.5


def fit_joints(
    body: BodyModel | Skeleton,
    joints: ArrayLike,
    names: Sequence[str],
    *,
    mapping: str | Mapping[str, Shares] | None = None,
    betas: ArrayLike | None = None,
    shape_count: int = 10,
    weights: ArrayLike | None = None,
    slack: float | None = None,
    iterations: int = 50,
) -> Fit:
    """Return the pose, shape and translation with which a body's joints lie nearest to the points given.

    Rotations are guessed from the root outwards; Levenberg-Marquardt steps follow on the sum of squared distances, of
    pose and shape together on frames spread over the take, then of the pose alone on every frame. What positions do not
    tell is decided by small weights: the least twist and turn, knees and elbows that bend about one axis and not
    backwards, and rotations that do not differ from their mean over the neighbouring frames. A joint that was not seen
    for a while turns evenly from where it was to where it is seen again.

    Args:
        body: a body model, whose betas are fitted, or a skeleton in metres, each of whose bones is made longer or
            shorter, those of left and right alike. It stands with Y up and looks along Z at rest, arms sideways.
        joints: (T, K, 3) metres, in axes of any orientation. NaN where not seen; T may be 0.
        names: K names: joints of the body, or landmarks of ``smpl_tools.bodies.point_sets``.
        mapping: a key of ``POINT_SETS`` or the like, which says what each name is made of; see ``shares_of``.
        betas: (K',) known shape of a body model; None fits it.
        shape_count: how many of the model's directions of shape are fitted.
        weights: (T, K) how much a point counts, 0 not at all and 1 fully; None: every finite one fully.
        slack: how far in metres a point may lie from its place on the body, the same in the whole take. None: nowhere
            else for the body's own joints, 1.5 cm for landmarks, 1 cm for joints of a mapping.
        iterations: most steps for each frame.

    Returns:
        The fit; frames in which fewer than three points were seen are NaN.

    Raises:
        ValueError: a shape is not as above, a name is unknown, or no frame shows three points.
    """
    names = tuple(names)
    given = np.asarray(joints, np.float64)
    if given.ndim != 3 or given.shape[1:] != (len(names), 3):
        raise mismatch("shape of joints", f"(T, {len(names)}, 3), one row for each name", given.shape)
    if iterations < 1:
        raise mismatch("iterations", "1 or more", iterations)
    if shape_count < 0:
        raise mismatch("shape_count", "0 or more", shape_count)
    if slack is not None and not slack >= 0:
        raise mismatch("slack", "0 or more metres", slack)
    made = shares_of(names, mapping, body.joints)
    known = _known(body, betas)
    surely = _weights(given, weights)
    frames, count = len(given), len(body.joints)
    rows = np.flatnonzero((surely > 0).sum(axis=1) >= 3)
    if frames and not len(rows):
        raise mismatch("joints", "three finite points in some frame", f"at most {(surely > 0).sum(axis=1).max()}")
    if known is not None and isinstance(body, BodyModel):
        body = _shaped(body, known)
    # A point that is never seen must not stand between those that are.
    ever = np.flatnonzero((surely[rows] > 0).any(axis=0)) if len(rows) else np.arange(len(names))
    structure = Structure(body, [made[k] for k in ever], mapping is not None, slack, shape_count, known is not None)
    seen, surely = _filled(given[:, ever], surely[:, ever]), surely[:, ever]
    problem = Points(structure, seen, surely)
    shape = np.zeros(len(structure.stiffness))
    if len(rows):
        shape = _shape(problem, rows)
    rotations, transl = np.full((frames, count, 3, 3), np.nan), np.full((frames, 3), np.nan)
    converged, steps = np.zeros(frames, bool), 0
    mean, largest = np.full(frames, np.nan), np.full(frames, np.nan)
    if len(rows):
        state, converged[rows], steps = _poses(problem, rows, shape, iterations)
        rotations[rows], transl[rows] = state.rotations, state.transl
        mean[rows], largest[rows] = problem.distances(state, rows)
    own = shape[: structure.body_size] if known is None else known
    return Fit(
        joints=body.joints,
        axis_angle=continuous(rotations),
        transl=transl,
        betas=own if isinstance(body, BodyModel) else None,
        places=structure.places(shape)[:count],
        mean_error=mean,
        max_error=largest,
        converged=converged,
        iterations=steps,
    )


def _known(body: BodyModel | Skeleton, betas: ArrayLike | None) -> Array | None:
    if betas is None:
        return None
    if not isinstance(body, BodyModel):
        raise mismatch("betas", "none for a skeleton", "an array")
    given = np.asarray(betas, np.float64)
    most = body.shape_joints.shape[2]
    if given.ndim != 1 or len(given) > most:
        raise mismatch("shape of betas", f"(K,) with K up to {most}", given.shape)
    if not np.isfinite(given).all():
        raise mismatch("betas", "finite numbers", "NaN or infinity")
    return given


def _shaped(body: BodyModel, betas: Array) -> BodyModel:
    return replace(body, joint_places=body.joint_places + body.shape_joints[..., : len(betas)] @ betas)


def _weights(joints: Array, weights: ArrayLike | None) -> Array:
    finite = np.asarray(np.isfinite(joints).all(axis=2))
    if weights is None:
        return finite.astype(np.float64)
    given = np.asarray(weights, np.float64)
    if given.shape != finite.shape:
        raise mismatch("shape of weights", finite.shape, given.shape)
    if not ((given >= 0) & (given <= 1)).all():
        raise mismatch("weights", "numbers from 0 to 1", f"{np.nanmin(given)} to {np.nanmax(given)}")
    return np.where(finite, given, 0.0)


def _filled(joints: Array, weights: Array) -> Array:
    """Return the points with gaps interpolated in time, which only a first guess looks at."""
    filled = np.where(weights[..., None] > 0, joints, 0.0)
    every = np.arange(len(joints))
    for k in np.flatnonzero(((weights > 0).any(axis=0)) & ~(weights > 0).all(axis=0)):
        own = np.flatnonzero(weights[:, k] > 0)
        for axis in range(3):
            filled[:, k, axis] = np.interp(every, own, joints[own, k, axis])
    return filled


def _shape(problem: Points, rows: NDArray[np.int64]) -> Array:
    """Return the shape that frames spread over the take tell."""
    number = (problem.weights[rows] > 0).sum(axis=1)
    few = rows[evenly(np.flatnonzero(number >= 0.9 * np.quantile(number, 0.9)), _SHAPE_FRAMES)]
    start = guess(problem.structure, problem.seen[few], np.zeros((len(few), len(problem.structure.stiffness))))
    start = fit_poses(problem, start, few, 5, 1e-3, _FLOOR)[0]
    # A body that differs from the model's kind is off in the same way in every frame: more frames tell no more of it.
    # Of slack none at all, for it can stand for any pose that is held for long.
    stiffness = max(len(few) / _ALIKE, 1.0) * problem.structure.stiffness
    own = problem.structure.body_size
    stiffness[own:] = len(few) * problem.structure.stiffness[own:]
    found = fit_shape(problem, start, few, stiffness, _SHAPE_STEPS, True)
    off = (problem.weights[few] * np.square(problem.seen[few] - problem.placed(found)[0]).sum(axis=2)).sum()
    off /= 3 * problem.weights[few].sum()
    problem.prior_share = float(np.clip(off / _SURE**2, 1.0, _MOST_PRIORS))
    return found.shape[0]


def _poses(
    problem: Points, rows: NDArray[np.int64], shape: Array, iterations: int
) -> tuple[State, NDArray[np.bool_], int]:
    """Return the poses of all frames ``rows`` with the shape held, where they settled, and the steps of the slowest."""
    start = guess(problem.structure, problem.seen[rows], np.broadcast_to(shape, (len(rows), len(shape))))
    state, settled, steps = _in_blocks(problem, start, rows, iterations)
    unseen = _unseen(problem, rows)
    for _ in range(_PASSES):
        wanted = _evened(_bridged(state.rotations, unseen, rows), rows)
        problem.wanted = np.empty((len(problem.seen), *wanted.shape[1:]))
        problem.wanted[rows] = wanted
        bridged = State(np.where(unseen[..., None, None], wanted, state.rotations), state.transl, state.shape)
        state, settled, taken = _in_blocks(problem, bridged, rows, iterations)
        steps = max(steps, taken)
        astray = np.flatnonzero((geodesic_angle(state.rotations, wanted) > _ASTRAY).any(axis=1))
        if len(astray):
            again = State(wanted[astray], state.transl[astray], state.shape[astray])
            again, calm, _ = _in_blocks(problem, again, rows[astray], iterations)
            old = problem.normal(state.rows(astray), rows[astray], False).cost
            less = problem.normal(again, rows[astray], False).cost < old
            state.rotations[astray[less]], state.transl[astray[less]] = again.rotations[less], again.transl[less]
            settled[astray[less]] = calm[less]
    return state, settled, steps


def _in_blocks(
    problem: Points, start: State, rows: NDArray[np.int64], iterations: int
) -> tuple[State, NDArray[np.bool_], int]:
    rotations, transl = np.empty_like(start.rotations), np.empty_like(start.transl)
    settled, steps = np.zeros(len(rows), bool), 0
    for first in range(0, len(rows), _BLOCK_FRAMES):
        part = slice(first, first + _BLOCK_FRAMES)
        found, settled[part], taken = fit_poses(problem, start.rows(part), rows[part], iterations, 1e-3, _FLOOR)
        rotations[part], transl[part], steps = found.rotations, found.transl, max(steps, taken)
    return State(rotations, transl, start.shape), settled, steps


def _unseen(problem: Points, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (T, J) True where none of the points that tell a joint's rotation was seen, though some are elsewhere."""
    used = problem.weights[rows] > 0
    out = np.zeros((len(rows), len(problem.structure.joints)), bool)
    for j in range(out.shape[1]):
        if points := nearest_points(problem.structure, j):
            seen = used[:, points].any(axis=1)
            out[:, j] = ~seen & seen.any()
    return out


def _bridged(rotations: Array, unseen: NDArray[np.bool_], rows: NDArray[np.int64]) -> Array:
    """Return rotations that turn evenly from the last frame in which they were seen to the next."""
    out = rotations.copy()
    for j in np.flatnonzero(unseen.any(axis=0)):
        own = np.flatnonzero(~unseen[:, j])
        gap = np.flatnonzero(unseen[:, j])
        after = np.searchsorted(own, gap)
        before, after = own[np.maximum(after - 1, 0)], own[np.minimum(after, len(own) - 1)]
        length = rows[after] - rows[before]
        share = np.where(length > 0, (rows[gap] - rows[before]) / np.where(length > 0, length, 1), 0.0)
        out[gap, j] = interpolate(rotations[before, j], rotations[after, j], np.clip(share, 0, 1))
    return out


def _evened(rotations: Array, rows: NDArray[np.int64]) -> Array:
    """Return the mean of each rotation over its neighbours in time, those beyond a gap aside."""
    out = np.empty_like(rotations)
    edges = [0, *(np.flatnonzero(np.diff(rows) > 1) + 1), len(rows)]
    for first, last in itertools.pairwise(edges):
        out[first:last] = gaussian_filter1d(rotations[first:last], _SMOOTH_FRAMES, axis=0, mode="nearest")
    return project_to_so3(out)
