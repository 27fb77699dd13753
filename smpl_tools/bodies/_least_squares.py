"""Levenberg-Marquardt steps on many poses at once, with or without a shape that they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smpl_tools.rotations import axis_angle_to_matrix

Array = NDArray[np.float64]

_FIRST_DAMPING = 1e-4
_LEAST_DAMPING, _MOST_DAMPING = 1e-9, 1e4
# Share of a parameter's mean stiffness that every parameter has, so that what nothing tells stays where it is.
_RIDGE = 1e-9


@dataclass(frozen=True, eq=False)
class State:
    """Poses of T frames.

    Attributes:
        rotations: (T, J, 3, 3) of each joint relative to its parent.
        transl: (T, 3).
        shape: (T, S) numbers that say how long and how wide the body is.
    """

    rotations: Array
    transl: Array
    shape: Array

    def rows(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> State:
        """Return some of the frames."""
        return State(self.rotations[rows], self.transl[rows], self.shape[rows])


@dataclass(frozen=True, eq=False)
class Normal:
    """The linear system of a step, P = 3 J + 3 pose parameters: a turn of each joint in the scene's axes, and transl.

    Attributes:
        cost: (T,) sum of squares.
        square: (T, P, P) and
        pull: (T, P): ``square @ step = pull``.
        mixed: (T, P, S) and
        shape_square: (T, S, S) and
        shape_pull: (T, S): the same with the shape, None where it is held.
    """

    cost: Array
    square: Array
    pull: Array
    mixed: Array | None = None
    shape_square: Array | None = None
    shape_pull: Array | None = None


class Problem(Protocol):
    """What is fitted: how far poses are from what was seen."""

    parents: NDArray[np.int64]

    def normal(self, state: State, rows: NDArray[np.int64], shaped: bool) -> Normal:
        """Return the linear system of the frames ``rows`` of the problem at ``state``, which has those alone."""
        ...


def cross_matrix(vector: Array) -> Array:
    """Return the matrices (..., 3, 3) that take x to ``vector`` x x."""
    out = np.zeros((*vector.shape, 3))
    out[..., 2, 1], out[..., 0, 2], out[..., 1, 0] = vector[..., 0], vector[..., 1], vector[..., 2]
    return out - out.swapaxes(-1, -2)


def forward(rotations: Array, parents: NDArray[np.int64], places: Array, transl: Array) -> tuple[Array, Array]:
    """Return the joints' rotations in the scene (T, J, 3, 3) and their positions (T, N, 3).

    Args:
        rotations: (T, J, 3, 3) of each joint relative to its parent.
        parents: (N,) of the J joints and of N - J points that do not turn.
        places: (T, N, 3) at rest.
        transl: (T, 3).
    """
    turned = np.empty_like(rotations)
    placed = np.empty(places.shape)
    for joint, parent in enumerate(parents):
        if parent < 0:
            turned[:, joint], placed[:, joint] = rotations[:, joint], places[:, joint] + transl
            continue
        if joint < rotations.shape[1]:
            np.matmul(turned[:, parent], rotations[:, joint], out=turned[:, joint])
        bone = (places[:, joint] - places[:, parent])[..., None]
        placed[:, joint] = placed[:, parent] + (turned[:, parent] @ bone)[..., 0]
    return turned, placed


def descends(parents: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (N, N) True at [n, j] where the node n is j or hangs on it."""
    below = np.eye(len(parents), dtype=bool)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            below[joint] |= below[parent]
    return below


def turn_blocks(outer: Array) -> Array:
    """Return the blocks (..., 3, 3) of ``sum (d x a) . (e x b) = d^T block e`` from ``outer = sum a b^T``."""
    trace = np.trace(outer, axis1=-2, axis2=-1)[..., None, None]
    return trace * np.eye(3) - outer.swapaxes(-1, -2)


def moved(state: State, parents: NDArray[np.int64], step: Array, shape_step: Array | None = None) -> State:
    """Return the poses after a step (T, P)."""
    count = state.rotations.shape[1]
    turns = axis_angle_to_matrix(step[:, :-3].reshape(-1, count, 3))
    carried, _ = forward(state.rotations, parents[:count], np.zeros((len(step), count, 3)), np.zeros((len(step), 3)))
    rotations = np.empty_like(state.rotations)
    for joint, parent in enumerate(parents[:count]):
        turn = turns[:, joint]
        if parent >= 0:
            turn = carried[:, parent].swapaxes(-1, -2) @ turn @ carried[:, parent]
        np.matmul(turn, state.rotations[:, joint], out=rotations[:, joint])
    shape = state.shape if shape_step is None else state.shape + shape_step
    return State(rotations, state.transl + step[:, -3:], shape)


def fit_poses(
    problem: Problem, start: State, rows: NDArray[np.int64], iterations: int, tolerance: float, floor: float
) -> tuple[State, NDArray[np.bool_], int]:
    """Return the poses of the frames ``rows``, each for itself with its shape held, where they settled, and the steps.

    A frame has settled when two steps on end each took off less than the share ``tolerance`` of its cost, or its cost
    is below ``floor``, or no step makes it smaller.
    """
    rotations, transl = start.rotations.copy(), start.transl.copy()
    settled = np.zeros(len(rows), bool)
    active = np.arange(len(rows))
    normal = problem.normal(start, rows, False)
    damping = np.full(len(rows), _FIRST_DAMPING)
    calm = np.zeros(len(rows), np.int64)
    steps = 0
    for _ in range(iterations):
        settled[active[normal.cost <= floor]] = True
        kept = ~settled[active]
        if not kept.all():
            active, damping, calm = active[kept], damping[kept], calm[kept]
            normal = Normal(normal.cost[kept], normal.square[kept], normal.pull[kept])
        if not len(active):
            break
        steps += 1
        here = State(rotations[active], transl[active], start.shape[active])
        step = _solve(_damped(normal.square, damping), normal.pull)
        trial = moved(here, problem.parents, step)
        new = problem.normal(trial, rows[active], False)
        better = new.cost < normal.cost
        calm = np.where(better & (normal.cost - new.cost > tolerance * normal.cost), 0, calm + 1)
        rotations[active[better]], transl[active[better]] = trial.rotations[better], trial.transl[better]
        pick = better[:, None]
        normal = Normal(
            np.where(better, new.cost, normal.cost),
            np.where(pick[..., None], new.square, normal.square),
            np.where(pick, new.pull, normal.pull),
        )
        # A rejected step says nothing of the end yet: a shorter one may still get on.
        calm = np.where(better, calm, np.where(damping > 1e-1, calm, 0))
        damping = np.clip(np.where(better, damping / 10, damping * 10), _LEAST_DAMPING, None)
        settled[active] |= (calm >= 2) | (damping > _MOST_DAMPING)
    return State(rotations, transl, start.shape), settled, steps


def fit_shape(
    problem: Problem, start: State, rows: NDArray[np.int64], stiffness: Array, iterations: int, shared: bool
) -> State:
    """Return the poses of the frames ``rows`` and their shape, one for all (``shared``) or one a frame.

    The poses are eliminated from each step's system (Schur complement), so that the work grows with T alone.

    Args:
        problem: what is fitted.
        start: its shapes are all the same where ``shared``.
        rows: (T,) frames of the problem.
        stiffness: (S,) weight of the square of each number of the shape.
        iterations: steps at most.
        shared: one shape for all.
    """
    state, damping = start, _FIRST_DAMPING
    if not start.shape.shape[1]:
        return state
    normal = problem.normal(state, rows, True)
    total = _total(normal, state, stiffness, shared)
    calm = 0
    for _ in range(iterations):
        step, shape_step = _shape_step(normal, state, stiffness, damping, shared)
        trial = moved(state, problem.parents, step, shape_step)
        new = problem.normal(trial, rows, True)
        new_total = _total(new, trial, stiffness, shared)
        better = new_total < total
        if not better:
            damping *= 10
            if damping > _MOST_DAMPING:
                break
            continue
        calm = calm + 1 if total - new_total <= 1e-4 * total else 0
        state, normal, total = trial, new, new_total
        damping = max(damping / 10, _LEAST_DAMPING)
        if calm >= 3:
            break
    return state


def _total(normal: Normal, state: State, stiffness: Array, shared: bool) -> float:
    shapes = state.shape[:1] if shared else state.shape
    return float(normal.cost.sum() + (np.square(shapes) * stiffness).sum())


def _shape_step(normal: Normal, state: State, stiffness: Array, damping: float, shared: bool) -> tuple[Array, Array]:
    assert normal.mixed is not None
    assert normal.shape_square is not None
    assert normal.shape_pull is not None
    square = _damped(normal.square, np.full(len(normal.square), damping))
    solved = np.linalg.solve(square, np.concatenate([normal.mixed, normal.pull[..., None]], axis=-1))
    by_shape, alone = solved[..., :-1], solved[..., -1]
    across = normal.mixed.swapaxes(-1, -2)
    own = normal.shape_square - across @ by_shape
    pull = normal.shape_pull - (across @ alone[..., None])[..., 0]
    if shared:
        own, pull = own.sum(axis=0, keepdims=True), pull.sum(axis=0, keepdims=True)
        pull = pull - stiffness * state.shape[:1]
    else:
        pull = pull - stiffness * state.shape
    own = own + np.diag(stiffness) + damping * np.eye(own.shape[-1]) * np.diagonal(own, 0, 1, 2)[:, None]
    shape_step = _solve(own, pull)
    step = alone - (by_shape @ np.broadcast_to(shape_step, state.shape.shape)[..., None])[..., 0]
    return step, np.broadcast_to(shape_step, state.shape.shape)


def _damped(square: Array, damping: Array) -> Array:
    diagonal = np.diagonal(square, 0, 1, 2)
    ridge = _RIDGE * diagonal.mean(axis=1, keepdims=True) + np.finfo(float).tiny
    return square + np.eye(square.shape[-1]) * (damping[:, None] * diagonal + ridge)[:, None]


def _solve(square: Array, pull: Array) -> Array:
    return np.asarray(np.linalg.solve(square, pull[..., None])[..., 0], np.float64)
