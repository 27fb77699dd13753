"""The points of a body and how they move with its joints and its shape; least squares of their distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.bodies._least_squares import Normal, State, cross_matrix, descends, forward, turn_blocks
from smpl_tools.bodies._pose_priors import PosePriors
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.bodies.point_sets import LANDMARKS, Shares, landmark_places
from smpl_tools.motion import Skeleton

Array = NDArray[np.float64]

# How far points are thought to be off, metres, against the spread of shapes: betas of 1, bones longer by a share.
_NOISE = 0.005
_LENGTHS = 0.3
# How far a joint of another set, or a landmark, may lie from its place on the body, metres.
_JOINT_SLACK, _LANDMARK_SLACK = 0.01, 0.015


class Structure:
    """N nodes, J joints and then landmarks, and K points made of them.

    Attributes:
        joints: J names.
        foreign: True where the points are those of another set of joints.
        parents: (N,).
        base: (N, 3) at rest.
        directions: (N, 3, S) what one unit of each number of the shape adds. Of the S, the first ``body_size`` are the
            body's own (betas or lengths of bones); three for each point with slack follow, which move no node.
        shares: (K, N) of the nodes in each point.
        holders: (K,) the joint with whose bone a point's slack turns.
        slack_columns: (K,) first of a point's three numbers in the shape, -1 without.
        stiffness: (S,) weights of the squares of the shape.
        below: (N, J) True where a node moves with a joint.
    """

    def __init__(
        self,
        body: BodyModel | Skeleton,
        made: Sequence[Shares],
        foreign: bool,
        slack: float | None,
        shape_count: int,
        held: bool,
    ) -> None:
        self.joints, self.foreign = body.joints, foreign
        places, directions, spread = _rest(body, shape_count)
        marks = landmark_places(body.joints, body.parents, places)
        used = [name for name in marks if any(name in shares for shares in made)]
        index = {name: j for j, name in enumerate((*body.joints, *used))}
        count = len(body.joints)
        self.parents = np.array([*body.parents, *(marks[name][0] for name in used)], np.int64)
        self.base = np.concatenate([places, *(marks[name][1][None] for name in used)])
        self.shares = np.zeros((len(made), len(index)))
        self.holders, self.slack_columns = np.zeros(len(made), np.int64), np.full(len(made), -1)
        self.body_size = 0 if held else directions.shape[2]
        stiffness = [] if held else list((_NOISE / spread) ** 2)
        for k, shares in enumerate(made):
            for name, share in shares.items():
                self.shares[k, index[name]] += share
            main = index[max(shares, key=lambda name: shares[name])]
            self.holders[k] = max(int(self.parents[main]), 0)
            loose = _JOINT_SLACK if foreign else 0.0
            if any(name in LANDMARKS and name not in body.joints for name in shares):
                loose = _LANDMARK_SLACK
            loose = loose if slack is None else slack
            if loose > 0:
                self.slack_columns[k] = len(stiffness)
                stiffness += [(_NOISE / loose) ** 2] * 3
        self.stiffness = np.array(stiffness, np.float64)
        self.directions = np.zeros((len(index), 3, len(stiffness)))
        self.directions[:count, :, : self.body_size] = directions[..., : self.body_size]
        for name in used:
            # A landmark keeps its place beside its joint.
            self.directions[index[name]] = self.directions[marks[name][0]]
        self.below = descends(self.parents)[:, :count]

    @property
    def single(self) -> dict[int, int]:
        """The point at each node that is a point of its own."""
        return {int(np.argmax(row)): k for k, row in reversed(list(enumerate(self.shares))) if row.max() == 1.0}

    def places(self, shape: Array) -> Array:
        """Return the nodes at rest (..., N, 3) with shapes (..., S)."""
        return self.base + np.einsum("nds,...s->...nd", self.directions, shape)


def _rest(body: BodyModel | Skeleton, shape_count: int) -> tuple[Array, Array, Array]:
    """Return joints at rest (J, 3), what the shape adds (J, 3, S) and how much each of its numbers varies (S,)."""
    if isinstance(body, BodyModel):
        directions = body.shape_joints[..., :shape_count]
        return np.asarray(body.joint_places, np.float64), directions, np.ones(directions.shape[2])
    offsets = np.asarray(body.offsets, np.float64)
    bones = [j for j, parent in enumerate(body.parents) if parent >= 0]
    if not np.isfinite(offsets[bones]).all():
        raise mismatch("offsets of the skeleton", "finite numbers", "NaN or infinity")
    # One length for both sides.
    names = sorted(
        {_sideless(body.joints[j]) for j in bones}, key=lambda n: [_sideless(x) for x in body.joints].index(n)
    )
    places, directions = np.zeros((len(offsets), 3)), np.zeros((len(offsets), 3, len(names)))
    for j in bones:
        parent = body.parents[j]
        places[j] = places[parent] + offsets[j]
        directions[j] = directions[parent]
        directions[j, :, names.index(_sideless(body.joints[j]))] += offsets[j]
    return places, directions, np.full(len(names), _LENGTHS)


def _sideless(name: str) -> str:
    return name.removeprefix("left_").removeprefix("right_")


class Points:
    """Squared distances of points, each with its weight, and small weights on what they do not tell of the pose."""

    def __init__(self, structure: Structure, seen: Array, weights: Array) -> None:
        self.structure, self.seen, self.weights = structure, seen, weights
        self.parents = structure.parents
        self.wanted: Array | None = None
        self.prior_share = 1.0
        count = len(structure.joints)
        told = np.zeros(len(structure.parents), bool)
        told[structure.parents[list(structure.single)]] = True
        self._priors = PosePriors(
            structure.joints, structure.parents[:count], structure.base[:count], told[:count], structure.foreign
        )
        # Which nodes move with which joint, for each point: (K J, N).
        lever = structure.shares[:, None] * structure.below.T
        self._levers = lever.reshape(-1, len(structure.parents))
        self._lever_sums = lever.sum(axis=2)
        self._held = structure.below[structure.holders]  # (K, J)

    def placed(self, state: State) -> tuple[Array, Array, Array, Array]:
        """Return the points (T, K, 3), what of it is slack, and rotations (T, J, 3, 3) and places (T, N, 3)."""
        s = self.structure
        turned, nodes = forward(state.rotations, s.parents, s.places(state.shape), state.transl)
        slack = np.zeros((len(nodes), len(s.shares), 3))
        loose = np.flatnonzero(s.slack_columns >= 0)
        if len(loose):
            own = state.shape[:, s.slack_columns[loose][:, None] + np.arange(3)]
            slack[:, loose] = (turned[:, s.holders[loose]] @ own[..., None])[..., 0]
        return s.shares @ nodes + slack, slack, turned, nodes

    def distances(self, state: State, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return the mean and the largest distance of each frame over the points that were seen."""
        used = self.weights[rows] > 0
        far = np.linalg.norm(self.seen[rows] - self.placed(state)[0], axis=-1) * used
        return far.sum(axis=1) / used.sum(axis=1), far.max(axis=1)

    def normal(self, state: State, rows: NDArray[np.int64], shaped: bool) -> Normal:
        """Return the linear system of some frames, see ``Problem``."""
        s = self.structure
        frames, joints = state.rotations.shape[:2]
        points = len(s.shares)
        placed, slack, turned, nodes = self.placed(state)
        weights = self.weights[rows]
        residual = self.seen[rows] - placed
        wanted = None if self.wanted is None else self.wanted[rows]
        cost, pull, square = self._priors.add(state.rotations, turned, s.parents[:joints], wanted)
        cost, pull, square = (self.prior_share * part for part in (cost, pull, square))
        cost = cost + (weights * np.square(residual).sum(axis=-1)).sum(axis=1)
        # From each joint to what of each point moves with it: (T, K, J, 3).
        arms = (self._levers @ nodes).reshape(frames, points, joints, 3)
        arms = arms - self._lever_sums[..., None] * nodes[:, None, :joints] + self._held[..., None] * slack[:, :, None]
        # The slack of a point at the root moves with the root about itself.
        size = 3 * joints
        flat = arms.reshape(frames, points, size)
        weighted = flat * weights[..., None]
        outer = (flat.swapaxes(1, 2) @ weighted).reshape(frames, joints, 3, joints, 3).swapaxes(2, 3)
        blocks = turn_blocks(outer)
        own = np.arange(joints)
        blocks[:, own, own] += square
        whole = np.zeros((frames, size + 3, size + 3))
        whole[:, :size, :size] = blocks.swapaxes(2, 3).reshape(frames, size, size)
        shift = cross_matrix(weighted.sum(axis=1).reshape(frames, joints, 3)).reshape(frames, size, 3)
        whole[:, :size, size:], whole[:, size:, :size] = shift, shift.swapaxes(1, 2)
        whole[:, size:, size:] = weights.sum(axis=1)[:, None, None] * np.eye(3)
        gradient = self._along(arms, (weights[..., None] * residual)[..., None])[..., 0]
        gradient[:, :size] += pull.reshape(frames, size)
        if not shaped:
            return Normal(cost, whole, gradient)
        changes = self._shape_changes(turned)  # (T, K, 3, S)
        scaled = changes * weights[..., None, None]
        mixed = self._along(arms, scaled)
        flat_changes = changes.reshape(frames, points * 3, -1)
        across = scaled.reshape(frames, points * 3, -1).swapaxes(1, 2)
        return Normal(
            cost, whole, gradient, mixed, across @ flat_changes, (across @ residual.reshape(frames, -1, 1))[..., 0]
        )

    @staticmethod
    def _along(arms: Array, moves: Array) -> Array:
        """Return the products (T, P, M) of movements of the points (T, K, 3, M) with the Jacobian of the pose."""
        frames, points, joints = arms.shape[:3]
        number = moves.shape[-1]
        flat = arms.reshape(frames, points, joints * 3).swapaxes(1, 2)
        outer = (flat @ moves.reshape(frames, points, -1)).reshape(frames, joints, 3, 3, number)
        turn = np.stack(
            [
                outer[:, :, 1, 2] - outer[:, :, 2, 1],
                outer[:, :, 2, 0] - outer[:, :, 0, 2],
                outer[:, :, 0, 1] - outer[:, :, 1, 0],
            ],
            axis=2,
        )
        return np.concatenate([turn.reshape(frames, joints * 3, number), moves.sum(axis=1)], axis=1)

    def _shape_changes(self, turned: Array) -> Array:
        s = self.structure
        size = s.directions.shape[2]
        moves = np.zeros((len(turned), len(s.parents), 3, size))
        for node, parent in enumerate(s.parents):
            if parent < 0:
                moves[:, node] = s.directions[node]
            else:
                moves[:, node] = moves[:, parent] + turned[:, parent] @ (s.directions[node] - s.directions[parent])
        changes = (s.shares @ moves.reshape(len(turned), len(s.parents), -1)).reshape(len(turned), -1, 3, size)
        for k in np.flatnonzero(s.slack_columns >= 0):
            column = s.slack_columns[k]
            changes[:, k, :, column : column + 3] += turned[:, s.holders[k]]
        return changes
