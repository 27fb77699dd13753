"""One call that refines a track: prepare, run at the weights' frame rate, blend, restore."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import _rotation_planes as planes
from smoothnet_core._array_api import is_tensor
from smoothnet_core._body import common_frame, find_joints, refine_body
from smoothnet_core._checks import mismatch, one_of
from smoothnet_core._reading import one_line
from smoothnet_core._steady_rotations import steadied
from smoothnet_core._vectors import empty_over_time, from_planes, parts, to_planes
from smoothnet_core.inference.select import resolve_backend
from smoothnet_core.inference.vector_filter_numpy import refine_track
from smoothnet_core.model import Model, Run, load_model
from smoothnet_core.rates import refine_at_rate, same_rate
from smoothnet_core.tracks import FASTEST_FPS, Prepared, checked_strength, number, prepare, settled
from smoothnet_core.windows import BLENDS, refine_windows

Array = NDArray[np.float64]
Run64 = Callable[[Array, Array], Array]

# The published network's float32 inputs stay below this; its offsets vanish beside numbers that are larger.
_LARGEST_INPUT = 1e20
# Joints refined at once: as many as make this many numbers, which stay in the cache.
_BLOCK_NUMBERS = 2**17
# Cosine of half of 60 degrees: a rotation that turns farther from one frame to the next is not seen as a quaternion.
# With it no error of the study `rotations` is more than 0.1 % above that of matrices alone; at 120 degrees tails are.
_FARTHEST = 0.866
# Fewer frames a second would resample a short take to more frames than memory holds.
_SLOWEST_FPS = 0.1


@dataclass(frozen=True, eq=False)
class RefineReport:
    """What a refinement did.

    Attributes:
        filled: (T, N) True where the caller's track had no value, N joints (or channels) of the flattened track.
        changed: (T, N) distance from the (filled) input: in the track's unit, or in radians for rotations.
        never_observed: (N,) True for joints that no frame shows; they follow the mean of the others.
        model: name of the weights.
        backend: what ran them.
    """

    filled: NDArray[np.bool_]
    changed: Array
    never_observed: NDArray[np.bool_]
    model: str
    backend: str


def refine(
    track: Any,
    *,
    fps: float | None = None,
    kind: str = "position",
    model: str | os.PathLike[str] | Model = "default",
    strength: float = 1.0,
    mask: Any = None,
    confidence: Any = None,
    joints: Sequence[str] | None = None,
    image_size: tuple[float, float] | None = None,
    order: str = "columns",
    hop: int | None = None,
    blend: str = "auto",
    backend: str = "auto",
) -> Any:
    """Refine a track: less jitter, less error, the motion kept.

    With our own weights ``refine(s * x + c) == s * refine(x) + c`` for positions, whatever offset and scale (also a
    negative one), and turning the scene, or a bone's roll, turns the result. Body-aware weights know which way is up
    and what the camera sees: for them this holds for offsets and positive scales.

    Args:
        track: (T, ...) NumPy array or torch tensor of floats. NaN is not observed.
        fps: frames a second of the track; None means the weights' own rate.
        kind: ``position`` (last axis 2 or 3), ``rotation_6d``, ``rotation_matrix``, ``quat_wxyz``, ``axis_angle``
            (radians), or ``channels``: anything, each number by itself.
        model: a shipped name, a file of weights, or a loaded :class:`Model`. Published weights state no frame rate, so
            ``fps`` changes nothing for them; they see positions relative to their mean over the take (they were
            trained near the origin), and ``channels`` and rotations as they are.
        strength: 0 leaves the track as it is, 1 is the network's answer; between them straight, for rotations geodesic.
        mask: True = observed; (T,), (T, J) or the track's shape.
        confidence: in [0, 1]; (T,), (T, J) or the track's shape. 0 is not observed, unless all of it is 0; of the rest
            the published network makes no use.
        joints: names of the J joints, in any order, for models that know a body (:attr:`Model.body`); without them J
            joints are taken to be the model's, in its order. Joints beyond those that the model knows are smoothed and
            moved along with the one nearest to them. Other models take no notice of names.
        image_size: (width, height) in pixels of 2D positions: the published network, which is not indifferent to
            scale, then sees them in [-1, 1], as it was trained. Our own weights need it not.
        order: of ``rotation_6d``: ``interleaved`` (as published: the first two columns, row by row), ``columns`` or
            ``rows`` (one after the other).
        hop: frames between the starts of windows; None means the weights' own.
        blend: ``uniform`` (as published), ``taper``, or ``auto``: the weights' own.
        backend: ``numpy``, ``torch``, ``triton``, or ``auto``: torch for a tensor, else NumPy. Another than ``auto``
            runs or raises.

    Returns:
        The refined track, with the type, dtype, device and shape of ``track``; always finite.

    Raises:
        ValueError: an argument is not as above; the message says what was expected and received.
        MissingExtraError: the backend is not installed.
    """
    return _refined(
        track, fps, kind, model, strength, mask, confidence, joints, image_size, order, hop, blend, backend
    ).output


def refine_with_report(
    track: Any,
    *,
    fps: float | None = None,
    kind: str = "position",
    model: str | os.PathLike[str] | Model = "default",
    strength: float = 1.0,
    mask: Any = None,
    confidence: Any = None,
    joints: Sequence[str] | None = None,
    image_size: tuple[float, float] | None = None,
    order: str = "columns",
    hop: int | None = None,
    blend: str = "auto",
    backend: str = "auto",
) -> tuple[Any, RefineReport]:
    """As :func:`refine`; returns the refined track and what was filled and changed."""
    refined = _refined(
        track, fps, kind, model, strength, mask, confidence, joints, image_size, order, hop, blend, backend
    )
    prepared, values = refined.prepared, refined.prepared.values
    changed = _distance(values, refined.values, prepared.is_rotation) * refined.strength
    report = RefineReport(~prepared.observed, changed, prepared.never_observed, refined.model, refined.backend)
    return refined.output, report


class _Refined(NamedTuple):
    output: Any
    prepared: Prepared
    values: Array
    strength: float
    model: str
    backend: str


def _refined(
    track: Any,
    fps: float | None,
    kind: str,
    model: str | os.PathLike[str] | Model,
    strength: float,
    mask: Any,
    confidence: Any,
    joints: Sequence[str] | None,
    image_size: tuple[float, float] | None,
    order: str,
    hop: int | None,
    blend: str,
    backend: str,
) -> _Refined:
    strength = checked_strength(strength)
    one_of("blend", blend, ("auto", *BLENDS))
    fps = None if fps is None else _checked_fps(fps)
    tensor = is_tensor(track)
    backend = resolve_backend(backend, is_tensor=tensor)
    network = load_model(model)
    prepared = prepare(track, kind=kind, order=order, mask=mask, confidence=confidence)
    values = prepared.values
    if joints is not None and np.shape(joints) != (values.shape[1],):
        given = np.shape(joints)
        raise mismatch("joints", f"{values.shape[1]} names", given[0] if len(given) == 1 else one_line(joints, 80))
    hop = network.hop if hop is None else hop
    if not isinstance(hop, Integral) or not 1 <= hop <= network.window:
        raise mismatch("hop", f"a whole number of frames from 1 to the window, {network.window}", hop)
    blend = _own_blend(network) if blend == "auto" else blend
    pixels = None if image_size is None else _checked_image_size(image_size, kind, values.shape[2])
    device = str(track.device) if tensor and backend == "torch" else "cpu"
    run = network.engine(backend, device)
    how: dict[str, Any] = {"window": network.window, "hop": int(hop), "blend": blend}
    by_quaternions = False
    if network.body is None or network.first is None:
        frame = partial(_frame_of_reference, network=network, kind=kind, pixels=pixels)
        at_own_rate = _own_rate(network, backend, run, how)
        # Its windows are made for positions. Takes that other networks are made for have no noise to steady.
        by_quaternions = prepared.is_rotation and network.architecture == "vector_filter"
        if by_quaternions:
            at_own_rate = _steady(at_own_rate)
        at_once = max(1, _BLOCK_NUMBERS // max(1, len(values) * values.shape[2]))
    else:
        places = find_joints(network.body, network.name, kind, values.shape, joints)
        frame = common_frame
        first = network.first
        by_time = {"window": first.window, "hop": first.hop, "blend": _own_blend(first)}
        smooth = _own_rate(first, backend, first.engine(backend, device), by_time)
        at_own_rate = partial(refine_body, smooth=smooth, run=run, body=network.body, places=places, **how)
        at_once = max(1, values.shape[1])

    def in_own_frame(inner: Array, quality: Array) -> Array:
        if fps is None or network.fps is None or same_rate(fps, network.fps):
            return at_own_rate(inner, quality)
        return refine_at_rate(inner, quality, at_own_rate, fps=fps, model_fps=network.fps)

    new = values
    if len(values) > 1 and values.shape[1] and strength:
        quality = _quality(prepared.observed, prepared.confidence)
        new = empty_over_time(values.shape)
        for start in range(0, values.shape[1], at_once):
            part = slice(start, start + at_once)
            if by_quaternions:
                new[:, part] = _refined_rotations(values[:, part], quality[:, part], in_own_frame)
                continue
            scale, offset = frame(values[:, part])
            inner = in_own_frame((values[:, part] - offset) / scale, quality[:, part])
            new[:, part] = settled(inner * scale + offset, prepared.is_rotation)
    return _Refined(prepared.restore(new, strength), prepared, new, strength, network.name, backend)


def _own_blend(network: Model) -> str:
    return "uniform" if network.is_published else "taper"


def _checked_fps(fps: float) -> float:
    expected = "a positive number of frames a second"
    rate = number("fps", expected, fps)
    if not (math.isfinite(rate) and rate > 0):
        raise mismatch("fps", expected, fps)
    if not _SLOWEST_FPS <= rate <= FASTEST_FPS:
        raise mismatch("fps", f"{_SLOWEST_FPS:g} to {FASTEST_FPS:,} frames a second", fps)
    return rate


def _own_rate(network: Model, backend: str, run: Run, how: dict[str, Any]) -> Run64:
    """Return the function from a track (T, N, D) and its quality (T, N, 2) to the refined track, each joint alone."""
    if network.architecture == "vector_filter" and backend == "numpy":
        return partial(refine_track, network.tensors, **how)
    return _by_joint(_in_float32(run) if network.is_published else _centred(run), how)


def _by_joint(refined: Run64, how: dict[str, Any]) -> Run64:
    """Return the function from a track (T, N, D) and its quality (T, N, 2) to the refined track, each joint alone."""

    def by_joint(inner: Array, quality: Array) -> Array:
        return refine_windows(inner.transpose(1, 0, 2), quality.transpose(1, 0, 2), refined, **how).transpose(1, 0, 2)

    return by_joint


def _steady(refined: Run64) -> Run64:
    return lambda inner, quality: steadied(inner, refined(inner, quality))


def _in_float32(run: Run) -> Run64:
    def in_float32(windows: Array, quality: Array) -> Array:
        return run(windows.astype(np.float32), quality.astype(np.float32)).astype(np.float64)

    return in_float32


def _centred(run: Run) -> Run64:
    """Return our own network, for which neither offset nor scale matters, on float64 windows of any offset and scale.

    Each window is brought to its own middle and to size 1 before float32, which so keeps its seven digits for what
    happens within the window.
    """

    in_float32 = _in_float32(run)

    def centred(windows: Array, quality: Array) -> Array:
        middle = windows.mean(axis=1, keepdims=True)
        inner = windows - middle
        size = np.abs(inner).max(axis=(1, 2), keepdims=True)
        size[size == 0] = 1.0
        inner /= size
        return in_float32(inner, quality) * size + middle

    return centred


def _quality(observed: NDArray[np.bool_], confidence: Array | None) -> Array:
    """Return (T, N, 2): how far to trust each value (1 where the caller did not say), and whether it was observed."""
    trust = np.ones(observed.shape) if confidence is None else confidence
    return np.stack([np.where(observed, trust, 0.0), observed], axis=-1).astype(np.float64)


def _frame_of_reference(values: Array, network: Model, kind: str, pixels: Array | None) -> tuple[Array, Array]:
    """Return the scale and the offset, both (N, D), that a network's input is taken relative to."""
    count, size = values.shape[1:]
    if pixels is not None and network.is_published:
        return np.broadcast_to(pixels / 2, (count, size)), np.broadcast_to(pixels / 2, (count, size))
    offset = np.zeros((count, size))
    if not len(values):
        return np.ones((count, size)), offset
    # The published network was trained on metres near the origin and on rotations as they are; channels are the
    # caller's own affair.
    if kind == "position" or not network.is_published:
        # From the first frame, so that what never moves comes out bit for bit.
        offset = values[0] + (values - values[0]).mean(axis=0)
    peak = np.repeat(np.abs(values - offset).max(axis=(0, 2))[:, None], size, axis=1)
    if network.is_published:
        return np.maximum(peak / _LARGEST_INPUT, 1.0), offset
    # Our own network gives s * f(x) for s * x: at size 1 nothing overflows or vanishes, whatever the unit.
    return np.where(peak > 0, peak, 1.0), offset


def _refined_rotations(matrices: Array, quality: Array, refined: Run64) -> Array:
    """Refine rotations (T, N, 9) as unit quaternions where they may be: four numbers in place of nine.

    Turning the scene or a bone's roll is an orthogonal map of the four too, and a straight way between two quaternions
    keeps to the shortest turn for longer. Their sign is that which lies nearer to the frame before; where frames are so
    far apart that this says nothing of what is between them, the nine numbers of the matrices stand for themselves.
    """
    frames = len(matrices)
    new = empty_over_time(matrices.shape)
    quats = from_planes(planes.quat_of_matrix(to_planes(matrices)), frames)
    steps = (quats[1:] * quats[:-1]).sum(axis=2)
    calm = (np.abs(steps) > _FARTHEST).all(axis=0)
    for columns, by in ((calm, _refined_quats), (~calm, _refined_matrices)):
        if columns.all():
            return by(matrices, quats, steps, quality, refined)
        if columns.any():
            new[:, columns] = by(
                matrices[:, columns], quats[:, columns], steps[:, columns], quality[:, columns], refined
            )
    return new


def _refined_quats(matrices: Array, quats: Array, steps: Array, quality: Array, refined: Run64) -> Array:
    """Return (T, N, 9) of rotations given as matrices, as quaternions (T, N, 4), and by the products of neighbours."""
    signs = np.ones(quats.shape[:2])
    signs[1:] -= 2 * (np.cumsum(steps < 0, axis=0) % 2)
    quats *= signs[..., None]
    # From the first frame, so that what never turns comes out bit for bit.
    start = quats[0]
    inner = refined(quats - start, quality)
    new = from_planes(planes.matrix_of_quat(to_planes(inner + start)), len(matrices))
    still = ~inner.any(axis=(0, 2))
    if still.any():
        new[:, still] = matrices[:, still]
    return new


def _refined_matrices(matrices: Array, quats: Array, steps: Array, quality: Array, refined: Run64) -> Array:
    """Return the same by the nine numbers of the matrices."""
    start = matrices[0]
    return settled(refined(matrices - start, quality) + start, True)


def _checked_image_size(image_size: Any, kind: str, size: int) -> Array:
    expected = "(width, height) > 0 of 2D positions"
    try:
        pixels = np.asarray(image_size, dtype=np.float64)
    except (TypeError, ValueError):
        raise mismatch("image_size", expected, one_line(repr(image_size), 80)) from None
    if kind != "position" or size != 2 or pixels.shape != (2,) or not ((pixels > 0) & (pixels < math.inf)).all():
        raise mismatch("image_size", expected, f"{one_line(image_size, 80)} for {kind} of {size}")
    return pixels


def _distance(before: Array, after: Array, is_rotation: bool) -> Array:
    """Return (T, N) distances; radians between rotation matrices."""
    if not is_rotation:
        return np.linalg.norm(after - before, axis=-1)
    angles = np.empty(before.shape[1::-1]).T
    for part in parts(before.shape):
        between = planes.angle_between(to_planes(before[part]), to_planes(after[part]))
        angles[part] = between.reshape(angles[part].shape[::-1]).T
    return angles
