"""A track through a network, each joint alone: in its frame of reference, at its frame rate, a few joints at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import _rotation_planes as planes
from smoothnet_core._body import common_frame, find_joints, refine_body
from smoothnet_core._rotations_refined import refine_axis_angles, refine_quats, refine_rotations
from smoothnet_core._steady_rotations import steadied
from smoothnet_core._vectors import empty_over_time, parts, to_planes
from smoothnet_core.inference.overlapping import Frame, UnfitTrackError, refine_overlapping
from smoothnet_core.inference.select import select_tracks
from smoothnet_core.inference.threads import each
from smoothnet_core.model import Model, Run
from smoothnet_core.rates import refine_at_rate, same_rate
from smoothnet_core.tracks import Given, Prepared, settled
from smoothnet_core.windows import refine_windows

Array = NDArray[np.float64]
Refine = Callable[[Array, Array], Array]
# What was filled (T, N), and how far values were moved (T, N).
Changes = tuple[NDArray[np.bool_], Array]

# The published network's float32 inputs stay below this; its offsets vanish beside numbers that are larger.
_LARGEST_INPUT = 1e20
# Joints refined at once: as many as make this many numbers, which stay in the cache.
_BLOCK_NUMBERS = 2**17
# Into so many pieces joints are parted, if there are as many.
_PIECES = 4


@dataclass(frozen=True, eq=False)
class How:
    """What runs a track.

    Attributes:
        network: the model.
        backend: ``numpy``, ``torch`` or ``triton``.
        device: of torch.
        hop: frames between the starts of windows.
        blend: ``uniform`` or ``taper``.
        fps: frames a second of the track, or None.
        pixels: (2,) size of the image that 2D positions lie in, or None.
    """

    network: Model
    backend: str
    device: str
    hop: int
    blend: str
    fps: float | None
    pixels: Array | None

    @property
    def at_own_rate(self) -> bool:
        """The track has the frame rate that the network was trained for."""
        return self.fps is None or self.network.fps is None or same_rate(self.fps, self.network.fps)


def refine_plain(given: Given, how: How, strength: float, target: NDArray[Any], changes: Changes | None) -> bool:
    """Refine a track that needs no preparation, straight from its memory to the target.

    Returns:
        Whether it was one: positions or channels without gaps, neither tiny nor huge, at the network's own frame rate,
        for a network that runs on NumPy and sees joints alone.
    """
    network = how.network.track_network(how.blend, how.hop) if how.backend == "numpy" else None
    plain = given.kind in ("position", "channels") and given.mask is None and given.confidence is None
    if network is None or not plain or not how.at_own_rate or not strength or not given.flat.size:
        return False
    track, out = ((array if given.kind == "position" else array[..., None]) for array in (given.flat, target))
    if len(track) < how.network.window:
        return False
    with np.errstate(invalid="ignore", over="ignore"):
        frame = None if network.centred else Frame(*_frame_of_reference(track, how, given.kind))
    if frame is not None and not (np.isfinite(frame.offset).all() and np.isfinite(frame.scale).all()):
        return False
    try:
        refine_overlapping(track, None, network, out, hop=how.hop, strength=strength, frame=frame, unfit="refuse")
    except UnfitTrackError:
        return False
    if changes is not None:
        for rows in _stretches(track):
            moved = out[rows].astype(np.float64) - track[rows]
            changes[1][rows] = np.linalg.norm(moved, axis=-1)
    return True


def refined_on_device(track: Any, kind: str, how: How, strength: float) -> Any | None:
    """Return a tensor refined where it lies; None for what only the way through NumPy can do, or does as fast."""
    if how.backend not in ("torch", "triton") or not how.at_own_rate:
        return None
    if how.backend == "torch" and how.device == "cpu":
        return None
    from smoothnet_core.inference.torch_on_device import refine_on_device

    return refine_on_device(
        track, how.network, kind=kind, backend=how.backend, hop=how.hop, blend=how.blend, strength=strength,
        image_size=None if how.pixels is None else (float(how.pixels[0]), float(how.pixels[1])),
    )  # fmt: skip


def refine_joints(
    given: Given,
    how: How,
    strength: float,
    joints: Sequence[str] | None,
    target: NDArray[Any],
    changes: Changes | None,
) -> None:
    """Refine any track, into the target.

    Args:
        given: the track.
        how: what runs it.
        strength: 0 to 1.
        joints: names of the joints, for networks that know a body.
        target: of the track's shape.
        changes: to be written to, or None.
    """
    frames, count = given.flat.shape[:2]
    body = how.network.body is not None
    size = 9 if given.is_rotation else given.flat[:1, :1].size or 1
    at_once = max(1, count)
    if not body:
        # Several pieces, for several threads, and of long tracks no more than stays in the cache.
        at_once = max(1, min(_BLOCK_NUMBERS // max(1, frames * size), -(-count // _PIECES)))
    refined = _by_body(given, how, joints) if body else _alone(given, how)

    straight = _straight(given, how) if strength == 1 and changes is None and frames > 1 else None

    def do(columns: slice) -> None:
        new = None if straight is None else straight(given.flat[:, columns].astype(np.float64, copy=False))
        if new is not None:
            target[:, columns] = new
            return
        prepared = given.part(columns)
        new = prepared.values
        if frames > 1 and new.shape[1] and strength:
            new = refined(prepared)
        target[:, columns] = prepared.restore(new, strength)
        if changes is not None:
            changes[0][:, columns] = ~prepared.observed
            changes[1][:, columns] = _distance(prepared.values, new, given.is_rotation) * strength

    pieces = [slice(start, start + at_once) for start in range(0, max(1, count), at_once)]
    # A network that sees a whole body comes with products large enough for BLAS' own threads.
    if how.backend == "numpy" and not body:
        each(do, pieces)
    else:
        for columns in pieces:
            do(columns)


def _by_body(given: Given, how: How, joints: Sequence[str] | None) -> Callable[[Prepared], Array]:
    """Return what refines all joints together, by a network that knows a body."""
    network, first = how.network, how.network.first
    assert network.body is not None
    assert first is not None
    shape = (*given.flat.shape[:2], 9 if given.is_rotation else given.flat.shape[2] if given.flat.ndim > 2 else 1)
    places = find_joints(network.body, network.name, given.kind, shape, joints)
    smooth = _own_rate(How(first, how.backend, how.device, first.hop, first.own_blend, None, None))
    run = network.engine(how.backend, how.device)
    at_own_rate = partial(refine_body, smooth=smooth, run=run, body=network.body, places=places, **_windows(how))

    def refined(prepared: Prepared) -> Array:
        values = prepared.values
        scale, offset = common_frame(values)
        inner = _at_rate(how, at_own_rate, (values - offset) / scale, _quality(prepared))
        return settled(inner * scale + offset, prepared.is_rotation)

    return refined


def _straight(given: Given, how: How) -> Callable[[Array], Array | None] | None:
    """Return what refines rotations without a trip through matrices; None for what needs one, and for gaps."""
    all_seen = given.mask is None and given.confidence is None
    by = {"quat_wxyz": refine_quats, "axis_angle": refine_axis_angles}.get(given.kind)
    if by is None or not given.flat.size or not all_seen or how.network.architecture != "vector_filter":
        return None
    steady = partial(_at_rate, how, partial(_steady, _own_rate(how)))
    return lambda values: by(values, steady)


def _alone(given: Given, how: How) -> Callable[[Prepared], Array]:
    """Return what refines each joint alone."""
    at_own_rate = _own_rate(how)
    # Its windows are made for positions. Takes that other networks are made for have no noise to steady.
    if given.is_rotation and how.network.architecture == "vector_filter":
        steady = partial(_at_rate, how, partial(_steady, at_own_rate))

        def rotations(prepared: Prepared) -> Array:
            return refine_rotations(prepared.values, _quality(prepared), steady)

        return rotations

    def refined(prepared: Prepared) -> Array:
        values = prepared.values
        offset, scale = _frame_of_reference(values, how, given.kind)
        inner = _at_rate(how, at_own_rate, (values - offset) / scale, _quality(prepared))
        return settled(inner * scale + offset, prepared.is_rotation)

    return refined


def _at_rate(how: How, refined: Refine, values: Array, quality: Array) -> Array:
    if how.at_own_rate:
        return refined(values, quality)
    assert how.fps is not None
    assert how.network.fps is not None
    return refine_at_rate(values, quality, refined, fps=how.fps, model_fps=how.network.fps)


def _steady(refined: Refine, values: Array, quality: Array) -> Array:
    return steadied(values, refined(values, quality))


def _windows(how: How) -> dict[str, Any]:
    return {"window": how.network.window, "hop": how.hop, "blend": how.blend}


def _own_rate(how: How) -> Refine:
    """Return the function from a track (T, N, D) and its quality (T, N, 2) to the refined track, each joint alone."""
    network = how.network
    fast = network.track_network(how.blend, how.hop) if how.backend == "numpy" else None
    if fast is not None:

        def overlapping(values: Array, quality: Array) -> Array:
            out = empty_over_time(values.shape)
            shape = values.shape[1:]
            frame = None if fast.centred else Frame(np.zeros(shape), np.ones(shape))
            refine_overlapping(values, quality, fast, out, hop=how.hop, frame=frame)
            return out

        return overlapping
    if how.backend == "triton":
        return select_tracks(network, how.device, hop=how.hop, blend=how.blend)
    run = network.engine(how.backend, how.device)
    by_windows = _in_float32(run) if network.is_published else _centred(run)

    def by_joint(values: Array, quality: Array) -> Array:
        values, quality = values.transpose(1, 0, 2), quality.transpose(1, 0, 2)
        return refine_windows(values, quality, by_windows, **_windows(how)).transpose(1, 0, 2)

    return by_joint


def _in_float32(run: Run) -> Refine:
    def in_float32(windows: Array, quality: Array) -> Array:
        return run(windows.astype(np.float32), quality.astype(np.float32)).astype(np.float64)

    return in_float32


def _centred(run: Run) -> Refine:
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


def _quality(prepared: Prepared) -> Array:
    """Return (T, N, 2): how far to trust each value (1 where the caller did not say), and whether it was observed."""
    observed = prepared.observed
    trust = np.ones(observed.shape) if prepared.confidence is None else prepared.confidence
    return np.stack([np.where(observed, trust, 0.0), observed], axis=-1).astype(np.float64)


def _frame_of_reference(values: NDArray[Any], how: How, kind: str) -> tuple[Array, Array]:
    """Return the offset and the scale, both (N, D), that a network's input (T, N, D) is taken relative to."""
    shape, published = values.shape[1:], how.network.is_published
    if how.pixels is not None and published:
        half = np.broadcast_to(how.pixels / 2, shape)
        return half, half
    offset = np.zeros(shape)
    if not len(values):
        return offset, np.ones(shape)
    # The published network was trained on metres near the origin and on rotations as they are; channels are the
    # caller's own affair.
    if kind == "position" or not published:
        # From the first frame, so that what never moves comes out bit for bit.
        first = values[0].astype(np.float64)
        for rows in _stretches(values):
            offset += np.subtract(values[rows], first, order="C").sum(axis=0)
        offset = first + offset / len(values)
    peak = np.zeros(shape[0])
    for rows in _stretches(values):
        np.maximum(peak, np.abs(values[rows] - offset).max(axis=(0, 2)), out=peak)
    size = np.repeat(peak[:, None], shape[1], axis=1)
    if published:
        return offset, np.maximum(size / _LARGEST_INPUT, 1.0)
    # Our own network gives s * f(x) for s * x: at size 1 nothing overflows or vanishes, whatever the unit.
    return offset, np.where(size > 0, size, 1.0)


def _stretches(values: NDArray[Any]) -> list[slice]:
    """Return slices of frames that cover a track, each of numbers that stay in the cache."""
    step = max(1, _BLOCK_NUMBERS // max(1, values[0].size))
    return [slice(start, start + step) for start in range(0, len(values), step)]


def _distance(before: Array, after: Array, is_rotation: bool) -> Array:
    """Return (T, N) distances; radians between rotation matrices."""
    if not is_rotation:
        return np.linalg.norm(after - before, axis=-1)
    angles = np.empty(before.shape[1::-1]).T
    for part in parts(before.shape):
        between = planes.angle_between(to_planes(before[part]), to_planes(after[part]))
        angles[part] = between.reshape(angles[part].shape[::-1]).T
    return angles
