"""One call that refines a track: prepare, run at the weights' frame rate, blend, restore."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._array_api import is_tensor
from smoothnet_core._checks import mismatch, one_of
from smoothnet_core._joint_tracks import How, refine_joints, refine_plain, refined_on_device
from smoothnet_core._reading import one_line
from smoothnet_core.inference.select import device_for, resolve_backend
from smoothnet_core.model import Model, load_model
from smoothnet_core.tracks import FASTEST_FPS, checked_strength, like, look, number
from smoothnet_core.windows import BLENDS

Array = NDArray[np.float64]

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
    out: Any = None,
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
        backend: ``numpy``, ``torch``, ``triton``, or ``auto``: torch for a tensor (on a CUDA device triton, where
            it is installed and has a kernel for the weights), else NumPy. Another than ``auto``
            runs or raises.
        out: array to write to, of the track's shape and dtype, such as a memory map; it must not share memory with the
            track. A plain track (positions or channels without gaps, at the model's frame rate) is then read and
            written a stretch at a time, so that it may be larger than the memory.

    Returns:
        The refined track, with the type, dtype, device and shape of ``track``; always finite. ``out`` if it was given.

    ``OMP_NUM_THREADS`` says how many threads compute; without it, there is one for each core.

    Raises:
        ValueError: an argument is not as above; the message says what was expected and received.
        MissingExtraError: the backend is not installed.
    """
    return _refined(
        track, fps, kind, model, strength, mask, confidence, joints, image_size, order, hop, blend, backend, out=out
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
        track, fps, kind, model, strength, mask, confidence, joints, image_size, order, hop, blend, backend, report=True
    )
    assert refined.changes is not None
    filled, changed = refined.changes
    return refined.output, RefineReport(filled, changed, refined.never_observed, refined.model, refined.backend)


class _Refined(NamedTuple):
    output: Any
    never_observed: NDArray[np.bool_]
    changes: tuple[NDArray[np.bool_], Array] | None
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
    *,
    out: Any = None,
    report: bool = False,
) -> _Refined:
    strength = checked_strength(strength)
    one_of("blend", blend, ("auto", *BLENDS))
    fps = None if fps is None else _checked_fps(fps)
    tensor = is_tensor(track)
    network = load_model(model)
    home = str(track.device) if tensor else None
    backend = resolve_backend(
        backend, is_tensor=tensor, device=home or "cpu", architecture=network.architecture, window=network.window
    )
    hop = network.hop if hop is None else hop
    if not isinstance(hop, Integral) or not 1 <= hop <= network.window:
        raise mismatch("hop", f"a whole number of frames from 1 to the window, {network.window}", hop)
    blend = network.own_blend if blend == "auto" else blend
    how = How(network, backend, device_for(backend, home), int(hop), blend, fps, None)
    alone = mask is None and confidence is None and joints is None and out is None and not report
    if tensor and alone and kind in ("position", "channels"):
        if image_size is not None:
            axes = tuple(track.shape[-1:]) if kind == "position" else ()
            how = replace(how, pixels=_checked_image_size(image_size, kind, axes))
        refined = refined_on_device(track, kind, how, strength)
        if refined is not None:
            return _Refined(refined, np.zeros(0, bool), None, network.name, backend)
    given = look(track, kind=kind, order=order, mask=mask, confidence=confidence)
    count = given.flat.shape[1]
    if joints is not None and np.shape(joints) != (count,):
        names = np.shape(joints)
        raise mismatch("joints", f"{count} names", names[0] if len(names) == 1 else one_line(joints, 80))
    if image_size is not None:
        how = replace(how, pixels=_checked_image_size(image_size, kind, given.flat.shape[2:]))
    room = None if out is None else _checked_out(out, track)
    # A view, but for memory that cannot be seen in that shape.
    target = None if room is None else room.reshape(given.flat.shape)
    if target is None or room is None or not np.shares_memory(target, room):
        target = np.empty(given.flat.shape, given.flat.dtype)
    changes = (np.zeros(target.shape[:2], bool), np.zeros(target.shape[:2])) if report else None
    if not refine_plain(given, how, strength, target, changes):
        refine_joints(given, how, strength, joints, target, changes)
    if room is None:
        output = like(target.reshape(tuple(track.shape)), track)
    else:
        if not np.shares_memory(target, room):
            room[...] = target.reshape(room.shape)
        output = out
    return _Refined(output, given.never_observed, changes, network.name, backend)


def _checked_fps(fps: float) -> float:
    expected = "a positive number of frames a second"
    rate = number("fps", expected, fps)
    if not (math.isfinite(rate) and rate > 0):
        raise mismatch("fps", expected, fps)
    if not _SLOWEST_FPS <= rate <= FASTEST_FPS:
        raise mismatch("fps", f"{_SLOWEST_FPS:g} to {FASTEST_FPS:,} frames a second", fps)
    return rate


def _checked_image_size(image_size: Any, kind: str, axes: tuple[int, ...]) -> Array:
    expected = "(width, height) > 0 of 2D positions"
    try:
        pixels = np.asarray(image_size, dtype=np.float64)
    except (TypeError, ValueError):
        raise mismatch("image_size", expected, one_line(repr(image_size), 80)) from None
    if kind != "position" or axes != (2,) or pixels.shape != (2,) or not ((pixels > 0) & (pixels < math.inf)).all():
        raise mismatch("image_size", expected, f"{one_line(image_size, 80)} for {kind} of {axes[0] if axes else 1}")
    return pixels


def _checked_out(out: Any, track: Any) -> NDArray[Any]:
    """Return ``out`` as an array that can be written to."""

    def said(value: Any) -> str:
        return f"{tuple(value.shape)} {value.dtype}" if hasattr(value, "shape") else f"a {type(value).__name__}"

    if is_tensor(track) != is_tensor(out) or said(out) != said(track) or not hasattr(out, "shape"):
        raise mismatch("out", f"what the track is, {said(track)}", said(out))
    if is_tensor(out):
        if str(out.device) != "cpu":
            raise mismatch("out", "a tensor on the CPU", f"one on {out.device}")
        room, source = out.numpy(), track.detach().cpu().numpy()
    else:
        room, source = out, track
    if not room.flags.writeable:
        raise mismatch("out", "an array that can be written to", "one that can only be read")
    if np.may_share_memory(room, source):
        raise mismatch("out", "memory of its own", "an array in the track's memory")
    return room
