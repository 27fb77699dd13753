"""Least squares of the distances of a body model's vertices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from smpl_tools.bodies._least_squares import (
    Normal,
    State,
    cross_matrix,
    descends,
    forward,
    turn_blocks,
)
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.rotations import project_to_so3

Array = NDArray[np.float64]

# Mean distance below which a frame is done, metres.
_DONE = 1e-6
# A joint's own vertices, told by weights to this power, against the rotation of its parent, when rotations are guessed.
_SHARPNESS = 3
_CARRIED = 0.02


class Vertices:
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
        weights = model.weights.toarray() if issparse(model.weights) else model.weights
        self._weights = np.ascontiguousarray(np.asarray(weights, np.float64).T)  # (J, V)
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
        frames, count = len(state.rotations), self._weights.shape[1]
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
        count = self._weights.shape[1]
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
        masks = [np.ones(1, bool)] if self._whole else [self._used[row] for row in rows]
        keys = [mask.tobytes() for mask in masks]
        for key, mask in zip(keys, masks, strict=True):
            if key not in self._sums:
                self._sums[key] = (self._levers * mask) @ self._levers.T
        if len(set(keys)) <= 1:
            return self._sums[keys[0]][None]
        return np.stack([self._sums[key] for key in keys])
