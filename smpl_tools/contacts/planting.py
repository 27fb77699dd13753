"""Where planted feet belong, and how the way there and back is eased.

Through a contact a point of a foot stays in one place. Between contacts what moves it there fades: along the curve of
least acceleration that joins on both sides (discretely, a cubic spline), so that neither place nor speed jumps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import binary_dilation
from scipy.sparse.linalg import splu

from smpl_tools.contacts.detection import runs

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Seconds within which heel and toe, of which one stands, are moved alike: the foot keeps its direction.
_STIFF_SECONDS = 0.04
# Rounds in which the middle of places is found, and those of heel and toe are brought to the foot's length.
_ROUNDS = 20


def steady(track: Array, standing: Flags, farthest: float, rise: float, up: Array, pause: int, shortest: int) -> Flags:
    """Return contacts (T,) during which a point stays near the middle of where it is.

    What lies before and after such a stretch is looked through in the same way, a pause away: a foot that slides
    farther does so for real, or was captured so, and steps along.

    Args:
        track: (T, 3) place of the point.
        standing: (T,) contacts.
        farthest: along the ground, in the track's unit.
        rise: the same up and down.
        up: (3,) of length 1.
        pause: frames between two stretches.
        shortest: frames of a stretch.
    """
    result = np.zeros_like(standing)
    todo = list(runs(standing))
    while todo:
        run = todo.pop()
        off = track[run] - middle(track[run])
        height = off @ up
        near = (np.linalg.norm(off - height[:, None] * up, axis=-1) <= farthest) & (abs(height) <= rise)
        if near.all():
            result[run] = True
            continue
        longest = max(runs(near), key=lambda own: own.stop - own.start, default=slice(0, 0))
        inner = slice(run.start + longest.start, run.start + longest.stop)
        for part in (slice(run.start, inner.start - pause), inner, slice(inner.stop + pause, run.stop)):
            if part.stop - part.start >= shortest:
                todo.append(part)
    return result


def middle(track: Array) -> Array:
    """Return the place (3,) that has the least sum of distances from places (T, 3): their geometric median.

    Weiszfeld's iteration. Unlike medians axis by axis it turns with the scene.
    """
    place = track.mean(axis=0)
    for _ in range(_ROUNDS):
        far = np.linalg.norm(track - place, axis=-1)
        weight = 1 / (far + 1e-3 * far.mean() + 1e-12)
        place = weight @ track / weight.sum()
    return place


def anchors(points: list[Array], standing: list[Flags], length: float) -> list[Array]:
    """Return for each point of a foot (T, 3) where it belongs while it stands, see :func:`middle`.

    Args:
        points: one or two of (T, 3), rear and front.
        standing: as many of (T,).
        length: distance that the two keep while both stand.
    """
    places: list[Array] = []
    spans = []
    for track, flags in zip(points, standing, strict=True):
        place = track.copy()
        own = list(runs(flags))
        for run in own:
            place[run] = middle(track[run])
        places.append(place)
        spans.append(own)
    if len(points) < 2:
        return places
    pairs = [(a, b) for a in spans[0] for b in spans[1] if max(a.start, b.start) < min(a.stop, b.stop)]
    for _ in range(_ROUNDS):
        for a, b in pairs:
            between = places[1][b.start] - places[0][a.start]
            far = float(np.linalg.norm(between))
            if far > 0:
                shift = 0.5 * (far - length) / far * between
                places[0][a] += shift
                places[1][b] -= shift
    return places


def displacements(
    points: list[Array], places: list[Array], standing: list[Flags], ease: int, fps: float
) -> list[Array]:
    """Return for each point of a foot (T, 3) how far it is moved: to its place while it stands, then less and less.

    The sum of squared second differences is the least there is, plus, where there are two points, that of their
    difference: a foot of which one point stands keeps its direction. From ``ease`` frames off any contact on it is 0.

    Args:
        points: one or two of (T, 3).
        places: as many of (T, 3), from :func:`anchors`.
        standing: as many of (T,).
        ease: frames.
        fps: frames a second.
    """
    frames, count = standing[0].shape[0], len(points)
    fixed = np.stack(standing, axis=1)
    near: Flags = np.asarray(fixed.any(axis=1), bool)
    if not near.any():
        return [np.zeros((frames, 3)) for _ in points]
    near = np.asarray(binary_dilation(near, iterations=max(ease - 1, 1)), bool)
    values = np.stack([np.where(s[:, None], p - x, 0.0) for x, p, s in zip(points, places, standing, strict=True)], 1)
    known = fixed | ~near[:, None]
    result = np.where(known[..., None], values, 0.0)
    if known.all() or frames < 3:
        return [result[:, k] for k in range(count)]
    every = sparse.csr_matrix(sparse.eye(frames))
    second = every[2:] - 2 * every[1:-1] + every[:-2]
    square = sparse.kron(second.T @ second, sparse.eye(count))
    if count == 2:
        stiff = (_STIFF_SECONDS * fps) ** -4
        square = square + sparse.kron(sparse.eye(frames), stiff * np.array([[1.0, -1.0], [-1.0, 1.0]]))
    # Where a take ends within the ease two frames decide nothing about a straight line; a trace of stiffness does.
    square = sparse.csc_matrix(square + 1e-9 * sparse.eye(frames * count))
    free, held = np.flatnonzero(~known.ravel()), np.flatnonzero(known.ravel())
    flat = result.reshape(-1, 3)
    right = -(square[free][:, held] @ flat[held])
    flat[free] = splu(square[free][:, free].tocsc(), permc_spec="NATURAL").solve(right)
    result = flat.reshape(frames, count, 3)
    return [result[:, k] for k in range(count)]
