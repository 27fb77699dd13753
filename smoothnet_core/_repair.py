"""Values that are off among exact ones: found, and replaced by what the rest of the take says, all joints together.

How joints move together is learned from the take itself (:mod:`smoothnet_core._joint_motion`), and which values are
off follows from it (:mod:`smoothnet_core._hits`); the first guess is what the network ``deglitch`` makes of each joint.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage

from smoothnet_core import rotations
from smoothnet_core._checks import one_of
from smoothnet_core._hits import without_hits
from smoothnet_core._refine import refine
from smoothnet_core._vectors import as_matrices
from smoothnet_core.inference.blas import product
from smoothnet_core.inference.blas_threads import one_thread
from smoothnet_core.tracks import checked_strength, prepare, settled

Array = NDArray[np.float64]

HITS = ("joint", "number")

# Frames worked on at once, and those that two such pieces share; numbers of a frame that are seen together.
_PIECE, _SHARED, _TOGETHER = 1024, 64, 96
# Fewer frames tell nothing of accelerations.
_FEWEST = 8


# Of two threads BLAS does not add up as one does, and the same take is to give the same bits everywhere.
@one_thread()
def repair(
    track: Any,
    *,
    fps: float | None = None,
    kind: str = "position",
    strength: float = 1.0,
    mask: Any = None,
    confidence: Any = None,
    order: str = "columns",
    hits: str = "joint",
) -> Any:
    """Replace values that are far off among exact ones by what all others say of them.

    For takes with glitches, not for jitter: values that are not off stay as they are, to the last digit. How joints
    move together is learned from the take, so it takes a few seconds of them, and any set of joints will do. For
    positions and channels ``repair(s * x + c) == s * repair(x) + c``; turning the scene, or a bone's roll, turns the
    result unless ``hits`` is ``number``. Time grows with the frames and with the cube of the numbers of a frame; of
    more than 96 (32 joints in 3D, 24 rotations) those that move together are seen together.

    Args:
        track: (T, ...); this and the arguments up to ``order`` as :func:`smoothnet_core.refine` says.
        fps: frames a second; checked, and no use is made of it.
        kind: see above. Channels count as numbers of one unit.
        strength: see above.
        mask: see above.
        confidence: see above; of less sure values it is thought more likely that they are off.
        order: see above.
        hits: ``joint``: all numbers of a joint are off together; ``number``: each by itself (not of rotations).

    Returns:
        The repaired track, with the type, dtype, device and shape of ``track``; always finite.

    Raises:
        ValueError: an argument is not as above; the message says what was expected and received.
    """
    strength = checked_strength(strength)
    prepared = prepare(track, kind=kind, order=order, mask=mask, confidence=confidence)
    one_of("hits", hits, ("joint",) if prepared.is_rotation else HITS)
    values, size = prepared.values, prepared.values.shape[2]
    first = _network(values, prepared.observed, fps, by_number=hits == "number")
    if len(values) >= _FEWEST and values.size and strength:
        sure = prepared.observed.astype(np.float64)
        if prepared.confidence is not None:
            sure *= prepared.confidence
        if prepared.is_rotation:
            new = _repaired_rotations(values, first, sure)
        elif hits == "number":
            shape = (len(values), -1, 1)
            new = _in_groups(values.reshape(shape), first.reshape(shape), sure.repeat(size, axis=1)).reshape(
                values.shape
            )
        else:
            new = _in_groups(values, first, sure)
        first = settled(new, prepared.is_rotation)
    return prepared.restore(first, strength)


def _network(values: Array, observed: NDArray[np.bool_], fps: float | None, by_number: bool) -> Array:
    """Return what the network makes of vectors (T, N, D), or of each of their numbers, by itself."""
    if by_number or values.shape[2] == 1:
        shape = (len(values), values.shape[1] * values.shape[2])
        seen = observed.repeat(values.shape[2], axis=1)
        answer = refine(values.reshape(shape), kind="channels", fps=fps, mask=seen, model="deglitch")
    elif values.shape[2] == 9:
        answer = refine(as_matrices(values), kind="rotation_matrix", fps=fps, mask=observed, model="deglitch")
    else:
        answer = refine(values, fps=fps, mask=observed, model="deglitch")
    return answer.reshape(values.shape)


def _repaired_rotations(values: Array, first: Array, sure: Array) -> Array:
    """Return rotations (T, N, 9) repaired as quaternions without jumps: turning a rotation turns its quaternion too."""
    guess = rotations.continuous_quat_wxyz(rotations.matrix_to_quat_wxyz(as_matrices(first)))
    given = rotations.matrix_to_quat_wxyz(as_matrices(values))
    # Of the two quaternions of a rotation, the one that is nearer to the guess.
    given = np.where((given * guess).sum(axis=2, keepdims=True) < 0, -given, given)
    new = _in_groups(given, guess, sure)
    # What was kept to the last digit as a quaternion is kept so as a matrix.
    kept = (new == given).all(axis=2, keepdims=True)
    return np.where(kept, values, rotations.quat_wxyz_to_matrix(new).reshape(values.shape))


def _in_groups(values: Array, first: Array, sure: Array) -> Array:
    """Return vectors (T, N, D) repaired, of many those together that move together."""
    joints, size = values.shape[1:]
    count = -(-joints * size // _TOGETHER)
    if count == 1:
        return _in_pieces(values, first, sure)
    moves = np.diff(first, n=2, axis=0).reshape(-1, joints * size)
    moves = moves - moves.mean(axis=0)
    lengths = np.linalg.norm(moves, axis=0)
    moves = np.divide(moves, lengths, out=np.zeros_like(moves), where=lengths > 0)
    # The share of a joint's numbers that another's tell, as far as one of them alone tells one of the other.
    likeness = (
        np.square(product(moves, moves, transposed="first")).reshape(joints, size, joints, size).sum(axis=(1, 3)) / size
    )
    apart = size - likeness[np.triu_indices(joints, 1)]
    order = leaves_list(linkage(apart, "average"))
    new = np.empty_like(values)
    for group in np.array_split(order, count):
        new[:, group] = _in_pieces(values[:, group], first[:, group], sure[:, group])
    return new


def _in_pieces(values: Array, first: Array, sure: Array) -> Array:
    """Return vectors (T, N, D) repaired, a long take in pieces whose shared frames go over into each other."""
    frames = len(values)
    count = max(1, -(-(frames - _SHARED) // (_PIECE - _SHARED)))
    starts = np.linspace(0, max(0, frames - _PIECE), count).astype(np.int64)
    new = np.empty_like(values)
    done = 0
    for start in starts:
        rows = slice(start, min(frames, start + _PIECE))
        piece = without_hits(values[rows], first[rows], sure[rows])
        shared = done - start
        if shared > 0:
            rise = ((np.arange(shared) + 0.5) / shared)[:, None, None]
            old = new[start:done]
            # Values that both pieces keep are kept.
            new[start:done] = np.where(old == piece[:shared], old, old + rise * (piece[:shared] - old))
        new[start + max(shared, 0) : rows.stop] = piece[max(shared, 0) :]
        done = rows.stop
    return new
