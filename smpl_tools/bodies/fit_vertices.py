"""From the vertices of a body model over time to its pose, shape and translation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.bodies._least_squares import fit_poses, fit_shape
from smpl_tools.bodies._vertices import Vertices
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.bodies.fit_result import Fit, continuous, evenly

Array = NDArray[np.float64]

# Frames that tell the shape of a take.
_SHAPE_FRAMES = 24
# How far off vertices are thought to be, metres, against shapes of about 1: small, so that the shape is not held back.
_NOISE = 0.001
# Numbers of vertices times frames that are worked on at once.
_BLOCK_NUMBERS = 300_000


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
    used: NDArray[np.bool_] = np.asarray(np.isfinite(seen).all(axis=2))
    if mask is not None:
        chosen = np.asarray(mask, bool)
        if chosen.shape not in ((count,), (frames, count)):
            raise mismatch("shape of mask", f"{(count,)} or {(frames, count)}", chosen.shape)
        used = used & chosen
    rows = np.flatnonzero(used.any(axis=1))
    if frames and not len(rows):
        raise mismatch("vertices", "finite ones in some frame", "none")
    size = known.shape[1] if known is not None else min(shape_count, model.shape_vertices.shape[2])
    if size < 0:
        raise mismatch("shape_count", "0 or more", shape_count)
    problem = Vertices(model, seen, used, size)
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
    single = shared_shape if betas is None else np.ndim(betas) < 2
    betas_found = shape if not single else shape[0] if frames else np.zeros(size)
    places = model.joint_places + np.einsum("jdk,...k->...jd", model.shape_joints[..., :size], betas_found)
    return Fit(model.joints, continuous(rotations), transl, betas_found, places, mean, largest, converged, steps)


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
