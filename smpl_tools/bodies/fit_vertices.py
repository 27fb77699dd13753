"""From the vertices of a body model over time to its pose, shape and translation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.bodies._least_squares import (
    Normal,
    State,
    cross_matrix,
    descends,
    fit_poses,
    fit_shape,
    forward,
    turn_blocks,
)
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.bodies.fit_result import Fit, continuous, evenly
from smpl_tools.rotations import project_to_so3

Array = NDArray[np.float64]

# Frames that tell the shape of a take.
_SHAPE_FRAMES = 24
# How far off vertices are thought to be, metres, against shapes of about 1: small, so that the shape is not held back.
_NOISE = 0.001
# Mean distance below which a frame is done, metres.
_DONE = 1e-6
# Numbers of vertices times frames that are worked on at once.
_BLOCK_NUMBERS = 300_000
# A joint's own vertices, told by weights to this power, against the rotation of its parent, when rotations are guessed.
_SHARPNESS = 3
_CARRIED = 0.02


def fit_vertices(
    model: BodyModel,
    vertices: ArrayLike,
    *,
    betas: ArrayLike | None = None,
    shared_shape: bool = True,
    shape_count: int = 10,
    mask: ArrayLike | None = None,
    iterations: int = 50,
) -> Fit:
    """Return the pose, shape and translation with which the model's vertices lie nearest to those given.

    Rotations are guessed from the root outwards by the rotation that best turns each joint's own vertices (W. Kabsch,
    Acta Crystallographica A32, 1976), which needs no start and finds a body that lies or stands on its head as well.
    Levenberg-Marquardt steps follow on the sum of squared distances: of pose and shape together on a few frames, then
    of the pose alone on every frame. Steps hold what pose-dependent shapes add to the vertices and then renew it; for
    vertices of the model itself this ends at the exact pose, for noisy ones next to the least sum.

    Args:
        model: V vertices, J joints, K directions of shape. Its expression stays at rest.
        vertices: (T, V, 3) metres. A vertex with NaN was not seen; T may be 0.
        betas: (K',) or (T, K') known shape, K' <= K; None fits it.
        shared_shape: one shape for the take; else one a frame.
        shape_count: how many of the model's directions of shape are fitted.
        mask: (V,) or (T, V) True where a vertex counts; None: every finite one.
        iterations: most steps for each frame.

    Returns:
        The fit; frames in which no vertex was seen are NaN.

    Raises:
        ValueError: a shape is not as above, or no vertex was seen in any frame.
    """
    seen = np.asarray(vertices)
    count = len(model.vertices)
    if seen.ndim != 3 or seen.shape[1:] != (count, 3):
        raise mismatch(f"shape of vertices of the body model {model.name}", f"(T, {count}, 3)", seen.shape)
    frames = len(seen)
    if iterations < 1:
        raise mismatch("iterations", "1 or more", iterations)
    known = _known(model, betas, frames)
    used = np.isfinite(seen).all(axis=2)
    if mask is not None:
        chosen = np.asarray(mask, bool)
        if chosen.shape not in ((count,), (frames, count)):
            raise mismatch("shape of mask", f"{(count,)} or {(frames, count)}", chosen.shape)
        used &= chosen
    rows = np.flatnonzero(used.any(axis=1))
    if frames and not len(rows):
        raise mismatch("vertices", "finite ones in some frame", "none")
    size = known.shape[1] if known is not None else min(shape_count, model.shape_vertices.shape[2])
    if size < 0:
        raise mismatch("shape_count", "0 or more", shape_count)
    problem = _Vertices(model, seen, used, size)
    block = max(1, _BLOCK_NUMBERS // max(count, 1))
    shape = np.zeros((frames, size)) if known is None else known.copy()
    if known is None and size and shared_shape and len(rows):
        problem.rest_on(np.zeros(size))
        few = rows[_fullest(used[rows])]
        start = fit_poses(problem, problem.guess(few, shape[few]), few, 6, 1e-3, problem.floor)[0]
        shape[:] = fit_shape(problem, start, few, np.full(size, _NOISE**2), iterations, True).shape[0]
    rotations, transl = np.full((frames, len(model.joints), 3, 3), np.nan), np.full((frames, 3), np.nan)
    converged, steps = np.zeros(frames, bool), 0
    mean, largest = np.full(frames, np.nan), np.full(frames, np.nan)
    for first in range(0, len(rows), block):
        part = rows[first : first + block]
        problem.rest_on(shape[part].mean(axis=0))
        start = problem.guess(part, shape[part])
        if known is None and size and not shared_shape:
            start = fit_poses(problem, start, part, 6, 1e-3, problem.floor)[0]
            start = fit_shape(problem, start, part, np.full(size, _NOISE**2), iterations, False)
            shape[part] = start.shape
            problem.rest_on(shape[part].mean(axis=0))
        found, converged[part], taken = fit_poses(problem, start, part, iterations, 1e-4, problem.floor)
        rotations[part], transl[part], steps = found.rotations, found.transl, max(steps, taken)
        mean[part], largest[part] = problem.distances(found, part)
    betas_found = shape[0] if len(shape) and (known is None or np.ndim(betas) < 2) and shared_shape else shape
    if not frames:
        betas_found = np.zeros(size) if shared_shape else shape
    places = model.joint_places + np.einsum("jdk,...k->...jd", model.shape_joints[..., :size], betas_found)
    return Fit(
        model.joints, continuous(rotations), transl, betas_found, places, mean, largest, converged, steps
    )


def _known(model: BodyModel, betas: ArrayLike | None, frames: int) -> Array | None:
    if betas is None:
        return None
    given = np.asarray(betas, np.float64)
    most = model.shape_vertices.shape[2]
    if given.ndim not in (1, 2) or given.shape[-1] > most or given.shape[:-1] not in ((), (frames,)):
        raise mismatch("shape of betas", f"(K,) or ({frames}, K) with K up to {most}", given.shape)
    if not np.isfinite(given).all():
        raise mismatch("betas", "finite numbers", "NaN or infinity")
    return np.broadcast_to(given, (frames, given.shape[-1]))


def _fullest(used: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return a few rows, evenly spread, of those that have most vertices."""
    number = used.sum(axis=1)
    return evenly(np.flatnonzero(number >= 0.9 * np.quantile(number, 0.9)), _SHAPE_FRAMES)


class _Vertices:
    """Squared distances of vertices.

    A posed vertex is ``sum_j w_j M_j (x, 1)`` with ``M_j`` the 3x4 movement of joint j and x the vertex at rest, so
    that products of weights and rest vertices, summed over the vertices once, hold all that the square of the Jacobian
    needs. What differs between frames at rest (pose-dependent and own shapes) is added as ``sum_j w_j G_j o``.
    """

    def __init__(self, model: BodyModel, seen: NDArray[np.floating], used: NDArray[np.bool_], size: int) -> None:
        self.parents = model.parents
        self._model = model
        self._seen, self._used = seen, used
        self._whole = bool(used.all())
        self._size = size
        self._below = descends(model.parents)
        self._weights = np.ascontiguousarray(np.asarray(model.weights, np.float64).T)  # (J, V)
        self._shapes = np.ascontiguousarray(np.moveaxis(model.shape_vertices[..., :size], 2, 0).swapaxes(1, 2))
        self._poses = None
        if model.pose_vertices is not None:
            # (9 (J - 1), 3 V); these are millimetres, for which half the digits do.
            self._poses = np.ascontiguousarray(
                model.pose_vertices.transpose(2, 1, 0).reshape(9 * (len(model.joints) - 1), -1), np.float32
            )
        self.floor = _DONE**2 * max(used.sum(axis=1).max(initial=1), 1)
        self.rest_on(np.zeros(size))

    def rest_on(self, shape: Array) -> None:
        """Set the shape whose rest vertices enter the sums; frames of other shapes are told as offsets from it."""
        joints, count = self._weights.shape
        self._base = shape
        rest = self._model.vertices.T + np.tensordot(shape, self._shapes, 1)
        self._rest = np.concatenate([rest, np.ones((1, count))])  # (4, V)
        self._levers = (self._weights[:, None] * self._rest).reshape(joints * 4, count)
        # The same frames come again and again, mostly with one and the same mask.
        self._sums: dict[bytes, Array] = {}

    def guess(self, rows: NDArray[np.int64], shape: Array) -> State:
        """Return poses guessed from the root outwards."""
        joints, count = self._weights.shape
        sharp = self._weights**_SHARPNESS
        levers = np.concatenate([(sharp[:, None] * self._rest).reshape(joints * 4, count), self._rest])
        seen, used = self._block(rows)
        products = seen.reshape(-1, count) @ levers.T
        products = products.reshape(len(rows), 3, joints + 1, 4).swapaxes(1, 2)
        weights = np.concatenate([sharp, np.ones((1, count))])
        extent = np.einsum("jv,cv->jcv", weights, np.concatenate([self._rest, np.square(self._rest[:3]).sum(0)[None]]))
        sums = used @ extent.reshape(-1, count).T.astype(np.float64)
        sums = np.broadcast_to(sums.reshape(len(used), joints + 1, 5), (len(rows), joints + 1, 5))
        mass = np.maximum(sums[..., 3], 1e-9)
        middle = sums[..., :3] / mass[..., None]
        spread = sums[..., 4] - mass * np.square(middle).sum(axis=-1)
        # sum w y x^T about the means of both
        outer = products[..., :3] - products[..., 3:] * middle[..., None, :]
        whole = project_to_so3(outer[:, -1])
        turned = np.empty((len(rows), joints, 3, 3))
        local = np.empty_like(turned)
        for joint, parent in enumerate(self.parents):
            carried = whole if parent < 0 else turned[:, parent]
            hold = np.maximum(_CARRIED * spread[:, joint], 1e-9)[:, None, None]
            turned[:, joint] = project_to_so3(outer[:, joint] + hold * carried)
            local[:, joint] = turned[:, joint] if parent < 0 else carried.swapaxes(-1, -2) @ turned[:, joint]
        state = State(local, np.zeros((len(rows), 3)), shape)
        residual, number = self._residual(state, rows)[0], used.sum(axis=1)[:, None]
        return State(local, residual.sum(axis=2) / number, shape)

    def normal(self, state: State, rows: NDArray[np.int64], shaped: bool) -> Normal:
        """Return the linear system of some frames, see ``Problem``."""
        shared = len(state.shape) > 0 and bool((state.shape == state.shape[0]).all())
        if shaped and shared and not np.array_equal(state.shape[0], self._base):
            self.rest_on(state.shape[0])
        frames, joints = state.rotations.shape[:2]
        count = self._weights.shape[1]
        residual, movements, turned, placed = self._residual(state, rows)
        cost = np.square(residual).sum(axis=(1, 2))
        gradient = self._along(residual[:, None], movements, placed)[:, 0]
        square = self._square(movements, placed, rows)
        if not shaped:
            return Normal(cost, square, gradient)
        _, used = self._block(rows)
        changes = self._shape_changes(turned, state)  # (T, S, 3, V)
        if not self._whole:
            changes = changes * used[:, None, None]
        flat = changes.reshape(frames, -1, 3 * count)
        return Normal(
            cost,
            square,
            gradient,
            self._along(changes, movements, placed).swapaxes(1, 2),
            flat @ flat.swapaxes(1, 2),
            (flat @ residual.reshape(frames, -1, 1))[..., 0],
        )

    def distances(self, state: State, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return the mean and the largest distance of each frame."""
        _, used = self._block(rows)
        far = np.sqrt(np.square(self._residual(state, rows)[0]).sum(axis=1))
        return far.sum(axis=1) / used.sum(axis=1), far.max(axis=1)

    def _block(self, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return what was seen (T, 3, V), 0 elsewhere, and where: (T, V), or (1, V) where all was."""
        seen = np.moveaxis(self._seen[rows], 2, 1).astype(np.float64)
        if self._whole:
            return seen, np.ones((1, seen.shape[2]))
        used = self._used[rows]
        return np.where(used[:, None], seen, 0.0), used.astype(np.float64)

    def _residual(self, state: State, rows: NDArray[np.int64]) -> tuple[Array, Array, Array, Array]:
        """Return what is left (T, 3, V), movements (T, J, 3, 4), rotations (T, J, 3, 3) and positions (T, J, 3)."""
        joints, count = self._weights.shape
        model = self._model
        places = model.joint_places + np.einsum("jdk,tk->tjd", model.shape_joints[..., : self._size], state.shape)
        turned, placed = forward(state.rotations, self.parents, places, state.transl)
        movements = np.concatenate([turned, (placed - (turned @ places[..., None])[..., 0])[..., None]], axis=-1)
        seen, used = self._block(rows)
        frames = len(rows)
        residual = seen - (movements.swapaxes(1, 2).reshape(frames * 3, -1) @ self._levers).reshape(frames, 3, count)
        offsets = self._offsets(state)
        if offsets is not None:
            blended = self._blended(turned)
            for i in range(3):
                for c in range(3):
                    residual[:, i] -= blended[:, i, c] * offsets[:, c]
        if not self._whole:
            residual *= used[:, None]
        return residual, movements, turned, placed

    def _blended(self, turned: Array) -> Array:
        """Return each vertex's mean rotation (T, 3, 3, V)."""
        frames, joints = turned.shape[:2]
        flat = np.moveaxis(turned, 1, 3).reshape(frames * 9, joints)
        return (flat @ self._weights).reshape(frames, 3, 3, -1)

    def _offsets(self, state: State) -> Array | None:
        """Return what frames have at rest beside the common vertices (T, 3, V); None: nothing."""
        frames, count = len(state.rotations), self._weights.shape[1]
        out = None
        if self._poses is not None:
            bent = (state.rotations[:, 1:] - np.eye(3)).reshape(frames, -1)
            out = (bent.astype(np.float32) @ self._poses).reshape(frames, 3, count).astype(np.float64)
        own = state.shape - self._base
        if own.any():
            added = np.tensordot(own, self._shapes, 1)
            out = added if out is None else out + added
        return out

    def _shape_changes(self, turned: Array, state: State) -> Array:
        """Return what one unit of each of the betas moves (T, S, 3, V)."""
        model = self._model
        frames, joints = turned.shape[:2]
        directions = model.shape_joints[..., : self._size]
        spread = np.broadcast_to(directions, (frames, *directions.shape))
        moves = np.empty(spread.shape)
        for joint, parent in enumerate(self.parents):
            moves[:, joint] = (
                spread[:, joint]
                if parent < 0
                else moves[:, parent] + turned[:, parent] @ (spread[:, joint] - spread[:, parent])
            )
        carried = np.moveaxis(moves - turned @ spread, 1, 3)  # (T, 3, S, J)
        changes = np.moveaxis((carried.reshape(-1, joints) @ self._weights).reshape(frames, 3, self._size, -1), 2, 1)
        changes = np.ascontiguousarray(changes)
        blended = self._blended(turned)
        for i in range(3):
            for c in range(3):
                changes[:, :, i] += blended[:, i, c][:, None] * self._shapes[:, c]
        return changes

    def _along(self, moves: Array, movements: Array, placed: Array) -> Array:
        """Return the products (T, M, P) of movements of the vertices (T, M, 3, V) with the Jacobian of the pose."""
        frames, number = moves.shape[:2]
        joints, count = self._weights.shape
        sums = (moves.reshape(-1, count) @ self._levers.T).reshape(frames, number, 3, joints, 4)
        sums = sums.swapaxes(2, 3)  # (T, M, J, 3, 4)
        outer = movements[:, None] @ sums.swapaxes(-1, -2)  # sum w y r^T
        whole = np.concatenate([outer, sums[..., None, :, 3]], axis=-2).reshape(frames, number, joints, 12)
        whole = (self._below.T.astype(np.float64) @ whole).reshape(frames, number, joints, 4, 3)
        outer = whole[..., :3, :] - placed[:, None, :, :, None] * whole[..., 3:, :]
        turn = np.stack(
            [
                outer[..., 1, 2] - outer[..., 2, 1],
                outer[..., 2, 0] - outer[..., 0, 2],
                outer[..., 0, 1] - outer[..., 1, 0],
            ],
            axis=-1,
        )
        return np.concatenate([turn.reshape(frames, number, -1), whole[:, :, 0, 3]], axis=-1)

    def _square(self, movements: Array, placed: Array, rows: NDArray[np.int64]) -> Array:
        """Return the square of the Jacobian of the pose (T, P, P)."""
        frames, joints = movements.shape[:2]
        sums = self._lever_sums(rows)  # (T or 1, 4 J, 4 J)
        ends = np.zeros((frames, joints, 4, 4))
        ends[:, :, :3], ends[:, :, 3, 3] = movements, 1.0
        # sum w w' y y'^T of every two joints, then of all that hangs on them
        left = ends[:, :, None] @ sums.reshape(-1, joints, 4, joints, 4).swapaxes(2, 3)
        outer = left @ ends.swapaxes(-1, -2)[:, None]
        below = self._below.T.astype(np.float64)
        outer = (below @ outer.reshape(frames, joints, -1)).reshape(frames, joints, joints, 16)
        outer = (below @ outer).reshape(frames, joints, joints, 4, 4)
        about = np.broadcast_to(np.eye(4), (frames, joints, 4, 4)).copy()
        about[:, :, :3, 3] = -placed
        outer = about[:, :, None] @ outer @ about.swapaxes(-1, -2)[:, None]
        size = 3 * joints
        square = np.zeros((frames, size + 3, size + 3))
        square[:, :size, :size] = turn_blocks(outer[..., :3, :3]).swapaxes(2, 3).reshape(frames, size, size)
        shift = cross_matrix(outer[:, :, 0, :3, 3]).reshape(frames, size, 3)
        square[:, :size, size:], square[:, size:, :size] = shift, shift.swapaxes(1, 2)
        square[:, size:, size:] = outer[:, 0, 0, 3, 3][:, None, None] * np.eye(3)
        return square

    def _lever_sums(self, rows: NDArray[np.int64]) -> Array:
        if self._whole:
            masks = [np.ones(1, bool)] * min(len(rows), 1)
        else:
            masks = [self._used[row] for row in rows]
        keys = [mask.tobytes() for mask in masks]
        for key, mask in zip(keys, masks, strict=True):
            if key not in self._sums:
                self._sums[key] = (self._levers * mask) @ self._levers.T
        if len(set(keys)) <= 1:
            return self._sums[keys[0]][None] if keys else np.zeros((1, *self._levers.shape[:1] * 2))
        return np.stack([self._sums[key] for key in keys])
