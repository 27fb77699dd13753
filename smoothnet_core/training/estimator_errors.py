"""Simulated errors of an estimator from pairs of its output and the truth: a fitted model, or real ones laid over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.stats import norm, rankdata

from smoothnet_core._checks import mismatch
from smoothnet_core.training.batches import Pair
from smoothnet_core.training.error_model import (
    JOINTS,
    KERNELS,
    LEVEL,
    MIRRORED,
    SCALE_KERNELS,
    SLOW_SCALES,
    SMOOTH_SCALES,
    ErrorModel,
    log_level_and_jitter,
    log_speed,
)
from smoothnet_core.training.error_runs import QUANTILES, Clip, failures, run_lengths, swap_edge
from smoothnet_core.training.noise import Kernel, mixture

__all__ = ["ErrorModel", "fit_errors", "seen_by_camera", "transplanted"]

Array = NDArray[np.floating]

# Lags in frames at which covariances are compared; how the mean squares of first, second and third differences follow
# from the covariances at lags 0 to 3.
_LAGS = (0, 1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 45, 60)
_DIFFERENCES = np.array([[2.0, -2.0, 0.0, 0.0], [6.0, -8.0, 2.0, 0.0], [20.0, -30.0, 12.0, -2.0]])
_DIFFERENCE_WEIGHTS = np.array([[0.2], [0.6], [0.2]])
# The lags for scales: second differences have no frame in common from the third on.
_SCALE_LAGS = (3, 4, 5, 7, 10, 14, 20, 30, 45, 60)
# Frames over which a level is taken.
_LEVEL_SPAN = 9
# Mean and variance of the logarithm of the length of a standard normal vector in three dimensions.
_LOG_CHI, _LOG_CHI_VARIANCE = 0.3648, 0.2337
# Rounds of correction, draws of each clip in one, and how much of a difference a round corrects.
_CALIBRATIONS, _DRAWS, _STEP = 4, 4, 0.7


def fit_errors(pairs: Sequence[Pair], fps: float = 30.0) -> ErrorModel:
    """Fit a model to pairs of one estimator in one mode.

    Moments first: position-dependent part by least squares, covariances in time by a non-negative mixture of kernels,
    the scale's wandering from the logarithms of level and second difference, runs and confidences from their quantiles.
    Then the model is drawn from on the same motions a few times, and the powers are corrected for what the runs and
    the scales add to mean square and mean second difference.

    Args:
        pairs: of the 15 joints of the paired set, hip-centred metres, camera axes.
        fps: frames a second of all of them.

    Raises:
        ValueError: no pairs, another number of joints, none longer than the lags that are compared (60 frames), none
            with a stretch in which the estimator does not fail, or a frame rate that is not positive.
    """
    if not fps > 0:
        raise mismatch("frames a second", "a positive number", fps)
    if not pairs:
        raise mismatch("pairs to fit errors to", "at least one", "none")
    for pair in pairs:
        if np.shape(pair.groundtruth)[1:] != (JOINTS, 3):
            raise mismatch(f"pair {pair.name}, shape", f"(T, {JOINTS}, 3)", np.shape(pair.groundtruth))
    clips = [Clip(pair) for pair in pairs]
    if max(len(clip.error) for clip in clips) <= _LAGS[-1]:
        raise mismatch("pairs to fit errors to", f"one of more than {_LAGS[-1]} frames", "only shorter ones")
    if not any(
        len(run) > 2
        for clip in clips
        for run in np.split(clip.plain, np.flatnonzero(np.diff(clip.plain)) + 1)
        if run[0]
    ):
        raise mismatch(
            "pairs to fit errors to", "three frames on end that are neither lost nor swapped nor far off", "none"
        )
    # Beyond what all but the rarest poses reach, a straight line leads far astray.
    reach = np.quantile(np.concatenate([clip.truth for clip in clips]), (0.01, 0.99), axis=0)
    gain = _gain(clips, reach)
    residuals = [
        np.where(clip.plain[:, None, None], clip.error - _predicted(gain, reach, clip.truth), np.nan) for clip in clips
    ]
    flat = [r.reshape(len(r), -1) for r in residuals]
    covariance = _covariances(flat, range(_DIFFERENCES.shape[1]))
    usual = np.concatenate([_covariances(flat, _LAGS), _DIFFERENCES @ covariance])
    power = _solved(usual, usual, fps)
    speed, jitter_logs = _jitter_logs(clips, residuals, fps)
    level_logs = _level_logs(residuals)
    weights, own, table = _confidence(clips, fps)
    failure, edges = failures(clips)
    rate, seconds = run_lengths(clips, fps)
    model = ErrorModel(
        fps=np.asarray(fps, np.float64),
        gain=gain,
        reach=reach,
        power=power,
        mixing=np.stack([_mixing(residuals, _levels), _mixing(residuals, _evened_bends)]),
        scale=np.stack(
            [
                _scale(level_logs, fps, _persistence(power, fps), SLOW_SCALES),
                _scale(jitter_logs, fps, _bend_persistence(residuals), SMOOTH_SCALES),
            ]
        ),
        speed=speed,
        failure=failure,
        failure_edges=edges,
        swap_edge=swap_edge(clips),
        run_rate=rate,
        run_seconds=seconds,
        confidence=table,
        confidence_weights=weights,
        confidence_own=own,
    )
    return _calibrated(model, clips, usual, fps)


def _gain(clips: list[Clip], reach: Array) -> Array:
    place = np.concatenate([_with_one(np.clip(clip.truth[clip.plain], *reach)) for clip in clips])
    error = np.concatenate([clip.error[clip.plain] for clip in clips])
    return np.stack([np.linalg.lstsq(place[:, j], error[:, j], rcond=None)[0] for j in range(JOINTS)])


def _with_one(place: Array) -> Array:
    return np.concatenate([place, np.ones_like(place[..., :1])], axis=-1)


def _predicted(gain: Array, reach: Array, truth: Array) -> Array:
    return np.einsum("tji,jid->tjd", _with_one(np.clip(truth, *reach)), gain)


def _covariances(tracks: Sequence[Array], lags: Sequence[int]) -> Array:
    """Return (L, N) the mean products of (T, N) with themselves at lags, over pairs of frames that are known."""
    total, count = np.zeros((len(lags), tracks[0].shape[1])), np.zeros((len(lags), tracks[0].shape[1]))
    for track in tracks:
        known = np.isfinite(track)
        values = np.where(known, track, 0.0)
        for number, lag in enumerate(lags):
            if lag < len(track):
                end = len(track) - lag
                total[number] += (values[:end] * values[lag:]).sum(axis=0)
                count[number] += (known[:end] & known[lag:]).sum(axis=0)
    return total / np.maximum(count, 1)


def _moments(kernels: tuple[Kernel, ...], fps: float) -> Array:
    """Return (M, K) of kernels what :func:`_measured` returns of tracks, with mean squares of the differences."""
    covariance = np.stack([kernel.correlation(np.arange(_LAGS[-1] + 1), fps) for kernel in kernels], axis=1)
    return np.concatenate([covariance[list(_LAGS)], _DIFFERENCES @ covariance[: _DIFFERENCES.shape[1]]])


def _measured(tracks: Sequence[Array]) -> tuple[Array, Array]:
    """Return of (T, N) the covariances (L, N), and the mean absolute first, second and third differences (3, N)."""
    differences = [
        np.nanmean(np.abs(np.concatenate([np.diff(track, n=order, axis=0) for track in tracks])), axis=0)
        for order in (1, 2, 3)
    ]
    return _covariances(tracks, _LAGS), np.stack(differences)


def _solved(target: Array, usual: Array, fps: float) -> Array:
    """Return (K, J, 3) the powers that come nearest to moments (M, 3 J).

    Each covariance counts relative to the power of the residuals, each difference relative to itself.

    Args:
        target: moments that corrections may have moved, even below zero.
        usual: those of the residuals.
        fps: frames a second.
    """
    count = len(_LAGS)
    target = np.concatenate([target[:count], np.maximum(target[count:], 0.05 * usual[count:])])
    weight = 1 / np.maximum(np.concatenate([np.repeat(usual[:1], count, axis=0), target[count:]]), 1e-12)
    weight[count:] *= _DIFFERENCE_WEIGHTS
    return mixture(_moments(KERNELS, fps), target, weight).reshape(-1, JOINTS, 3)


def _levels(residual: Array) -> Array:
    return uniform_filter1d(np.nan_to_num(residual), _LEVEL_SPAN, axis=0)


def _evened_bends(residual: Array) -> Array:
    """Return second differences over how large they are around."""
    bend = np.nan_to_num(np.diff(residual, n=2, axis=0))
    around = uniform_filter1d(np.linalg.norm(bend, axis=-1), 2 * _LEVEL_SPAN, axis=0)
    return bend / (around[..., None] + 1e-6)


def _mixing(residuals: list[Array], view: Callable[[Array], Array]) -> Array:
    """Return (3 J, 3 J) a factor of the correlation of tracks in a view of them, with outliers held back."""
    flat = np.concatenate([view(r).reshape(-1, 3 * JOINTS) for r in residuals if len(r) > 2])
    flat /= np.sqrt(np.square(flat).mean(axis=0)) + 1e-12
    correlation = np.corrcoef(np.clip(flat, -3, 3).T)
    # The hips' errors are opposite, so the matrix has no full rank; a little of its own for each makes it positive.
    return np.linalg.cholesky((correlation + 1e-3 * np.eye(3 * JOINTS)) / (1 + 1e-3))


def _log_lengths(tracks: list[Array]) -> list[Array]:
    """Return (T, J) the logarithms of lengths of (T, J, 3), of mean 0 for a standard normal vector."""
    scale = np.sqrt(np.nanmean(np.concatenate([np.square(t) for t in tracks]), axis=0))
    lengths = [np.sqrt(np.square(t / scale).sum(axis=-1)) for t in tracks]
    return [np.log(np.maximum(length, 1e-3)) - _LOG_CHI for length in lengths]


def _level_logs(residuals: list[Array]) -> list[Array]:
    logs = _log_lengths([_levels(r) for r in residuals])
    return [np.where(np.isfinite(r[..., 0]), log, np.nan) for r, log in zip(residuals, logs, strict=True)]


def _jitter_logs(clips: list[Clip], residuals: list[Array], fps: float) -> tuple[Array, list[Array]]:
    """Return (2, J) exponent and mean of the speed, and the logarithms of second differences without its part."""
    logs = _log_lengths([np.diff(r, n=2, axis=0) for r in residuals])
    speeds = [log_speed(clip.truth, fps)[1:-1] for clip in clips]
    all_logs, all_speeds = np.concatenate(logs), np.concatenate(speeds)
    speed = np.empty((2, JOINTS))
    for j in range(JOINTS):
        known = np.isfinite(all_logs[:, j])
        slope = np.polyfit(all_speeds[known, j], all_logs[known, j], 1)[0]
        speed[:, j] = slope, all_speeds[known, j].mean()
    return speed, [log - speed[0] * (s - speed[1]) for log, s in zip(logs, speeds, strict=True)]


def _persistence(power: Array, fps: float) -> Array:
    """Return (L, J) how much of a level's logarithm comes back after a lag although its scale stays."""
    kernels = np.stack([kernel.correlation(_SCALE_LAGS, fps) for kernel in KERNELS[:LEVEL]], axis=1)
    share = power[:LEVEL].sum(axis=2) / np.maximum(power[:LEVEL].sum(axis=(0, 2)), 1e-12)
    return np.square(kernels @ share)


def _bend_persistence(residuals: list[Array]) -> Array:
    """Return (L, J) the same of second differences."""
    bends = [np.diff(r, n=2, axis=0).reshape(-1, 3 * JOINTS) for r in residuals]
    correlation = _covariances(bends, _SCALE_LAGS) / _covariances(bends, (0,))
    return np.square(correlation).reshape(-1, JOINTS, 3).mean(axis=2)


def _scale(logs: list[Array], fps: float, apparent: Array, count: int) -> Array:
    """Return (2, S, J) variances of what scales share and of what each joint's does by itself.

    Args:
        logs: (T, J) logarithms of lengths.
        fps: frames a second.
        apparent: (L, J), correlation that lengths have though the scale stays.
        count: of ``SCALE_KERNELS`` to use; fast ones would make jitter of a level.
    """
    mean = np.nanmean(np.concatenate(logs), axis=0)
    logs = [log - mean for log in logs]
    each = _covariances(logs, _SCALE_LAGS)
    body = _covariances([log.sum(axis=1, keepdims=True) for log in logs], _SCALE_LAGS)
    shared = (body - each.sum(axis=1, keepdims=True)) / (JOINTS * (JOINTS - 1))
    kernels = np.stack([kernel.correlation(_SCALE_LAGS, fps) for kernel in SCALE_KERNELS[:count]], axis=1)
    own = each - shared - _LOG_CHI_VARIANCE * apparent
    found = np.zeros((2, len(SCALE_KERNELS), JOINTS))
    for number, part in enumerate((np.repeat(shared, JOINTS, axis=1), own)):
        found[number, :count] = mixture(kernels, part, np.ones((1, 1)))
    return found


def _confidence(clips: list[Clip], fps: float) -> tuple[Array, Array, Array]:
    """Return weights (3, J), variances of the rest (S, J), and quantiles (J, Q)."""
    seen = [clip.observed for clip in clips]
    values = np.concatenate([clip.confidence[s] for clip, s in zip(clips, seen, strict=True)]).astype(np.float64)
    score = norm.ppf(rankdata(values, axis=0) / (len(values) + 1))
    logs = [np.stack(log_level_and_jitter(clip.error), axis=-1)[s] for clip, s in zip(clips, seen, strict=True)]
    features = _with_one(np.concatenate(logs))
    weights = np.stack([np.linalg.lstsq(features[:, j], score[:, j], rcond=None)[0] for j in range(JOINTS)], axis=1)
    rest = score - np.einsum("njk,kj->nj", features, weights)
    covariance = _covariances(np.split(rest, np.cumsum([s.sum() for s in seen])[:-1]), _LAGS)
    kernels = np.stack([kernel.correlation(_LAGS, fps) for kernel in SCALE_KERNELS], axis=1)
    own = mixture(kernels, covariance, np.ones((1, 1)))
    return weights, own, np.quantile(values, QUANTILES, axis=0).T


def _calibrated(model: ErrorModel, clips: list[Clip], usual: Array, fps: float) -> ErrorModel:
    """Correct the powers until covariances and differences of what is drawn are those of the clips."""
    rng = np.random.default_rng(0)
    covariance, differences = _measured([_observed(clip.error, clip) for clip in clips])
    for _ in range(_CALIBRATIONS):
        drawn = []
        for clip in clips:
            truth = np.broadcast_to(clip.truth, (_DRAWS, *clip.truth.shape))
            drawn += [_observed(estimate - clip.truth, clip) for estimate in model.sample(rng, truth, fps)[0]]
        covariance_now, differences_now = _measured(drawn)
        now = _moments(KERNELS, fps) @ model.power.reshape(len(KERNELS), -1)
        level = now[: len(_LAGS)] + _STEP * (covariance - covariance_now)
        bends = now[len(_LAGS) :] * np.square(differences / differences_now)
        model = replace(model, power=_solved(np.concatenate([level, bends]), usual, fps))
    return model


def _observed(error: Array, clip: Clip) -> Array:
    """Return (T, 3 J) with NaN where nobody was detected."""
    return np.where(clip.observed[:, None], error.reshape(len(error), -1), np.nan)


def transplanted(
    rng: np.random.Generator, pair: Pair, truth: Array
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Lay the errors of a pair over another motion, from a random frame on, mirrored half of the time.

    Each joint gets the errors of the same one; where the numbers of joints differ, of one drawn at random. Errors that
    follow from the pose or the speed do not fit the other motion.

    Args:
        rng: where random numbers come from.
        pair: of at least as many frames as ``truth``, at the same rate; the 15 joints of the paired set to be mirrored.
        truth: (T, J, 3) metres, camera axes, centred on the hips.

    Returns:
        estimate (T, J, 3), confidence (T, J) and observed (T, J), float32.

    Raises:
        ValueError: another shape, or a pair that is too short.
    """
    truth = np.asarray(truth)
    if truth.ndim != 3 or truth.shape[-1] != 3:
        raise mismatch("truth, shape", "(T, J, 3)", truth.shape)
    spare = len(pair.estimate) - len(truth)
    if spare < 0:
        raise mismatch(f"pair {pair.name}, frames", f"{len(truth)} or more", len(pair.estimate))
    start = int(rng.integers(0, spare + 1))
    piece = slice(start, start + len(truth))
    error, confidence, observed = (a[piece] for a in (pair.estimate - pair.groundtruth, pair.confidence, pair.observed))
    source = np.arange(error.shape[1])
    if rng.random() < 0.5 and len(source) == JOINTS:
        source, error = MIRRORED, error * np.array([-1, 1, 1], error.dtype)
    if truth.shape[1] != len(source):
        source = rng.choice(source, truth.shape[1], replace=truth.shape[1] > len(source))
    return (
        (truth + error[:, source]).astype(np.float32),
        confidence[:, source].astype(np.float32),
        observed[:, source].astype(np.float32),
    )


def seen_by_camera(rng: np.random.Generator, positions: Array, root: Sequence[int]) -> Array:
    """Bring motion capture into the axes in which errors are drawn: as a level camera sees it from a random side.

    Args:
        rng: where the side comes from.
        positions: (T, J, 3) metres, Y up.
        root: joints whose mean is the origin in every frame, the hips.

    Returns:
        (T, J, 3) metres: x right, y down, z away from the camera.
    """
    angle = rng.uniform(0, 2 * np.pi)
    cosine, sine = np.cos(angle), np.sin(angle)
    # A turn about the vertical, then half a turn about the camera's x axis, which sends Y down and keeps hands apart.
    camera = np.array([[cosine, 0.0, sine], [0.0, -1.0, 0.0], [sine, 0.0, -cosine]])
    return (positions - positions[:, list(root)].mean(axis=1, keepdims=True)) @ camera.T
