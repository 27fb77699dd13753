"""One call that refines a track: prepare, run at the weights' frame rate, blend, restore."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import rotations
from smoothnet_core._array_api import is_tensor
from smoothnet_core._checks import mismatch, one_of
from smoothnet_core.inference.select import resolve_backend
from smoothnet_core.model import Model, load_model
from smoothnet_core.rates import refine_at_rate, same_rate
from smoothnet_core.tracks import checked_strength, prepare
from smoothnet_core.windows import BLENDS, refine_windows

Array = NDArray[np.float64]


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
    negative one), and turning the scene, or a bone's roll, turns the result.

    Args:
        track: (T, ...) NumPy array or torch tensor of floats. NaN is not observed.
        fps: frames a second of the track; None means the weights' own rate.
        kind: ``position`` (last axis 2 or 3), ``rotation_6d``, ``rotation_matrix``, ``quat_wxyz``, ``axis_angle``
            (radians), or ``channels``: anything, each number by itself.
        model: a shipped name, a file of weights, or a loaded :class:`Model`.
        strength: 0 leaves the track as it is, 1 is the network's answer; between them straight, for rotations geodesic.
        mask: True = observed; (T,), (T, J) or the track's shape.
        confidence: in [0, 1]; (T,), (T, J) or the track's shape. The published network does not use it.
        joints: names of the J joints, for models that know a body. The models of this version are not of that kind:
            the names are checked against the track, and change nothing.
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
    return refine_with_report(
        track,
        fps=fps,
        kind=kind,
        model=model,
        strength=strength,
        mask=mask,
        confidence=confidence,
        joints=joints,
        image_size=image_size,
        order=order,
        hop=hop,
        blend=blend,
        backend=backend,
    )[0]


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
    strength = checked_strength(strength)
    one_of("blend", blend, ("auto", *BLENDS))
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise mismatch("fps", "a positive number of frames a second", fps)
    tensor = is_tensor(track)
    backend = resolve_backend(backend, is_tensor=tensor)
    network = load_model(model)
    prepared = prepare(track, kind=kind, order=order, mask=mask, confidence=confidence)
    values = prepared.values
    if joints is not None and len(joints) != values.shape[1]:
        raise mismatch("joints", f"{values.shape[1]} names", f"{len(joints)}")
    hop = network.hop if hop is None else hop
    if not 1 <= hop <= network.window:
        raise mismatch("hop", f"a whole number of frames from 1 to the window, {network.window}", hop)
    blend = _own_blend(network) if blend == "auto" else blend
    scale, offset = _frame_of_reference(values, network, kind, image_size)
    run = network.engine(backend, str(track.device) if tensor and backend == "torch" else "cpu")

    def at_own_rate(inner: Array, quality: Array) -> Array:
        # The offset goes before the cast: float32 holds metres from here, not from the end of the world.
        flat = ((inner - offset) / scale).transpose(1, 0, 2).astype(np.float32)
        marks = np.ascontiguousarray(quality.transpose(1, 0, 2), np.float32)
        out = refine_windows(flat, marks, run, window=network.window, hop=hop, blend=blend)
        return out.transpose(1, 0, 2) * scale + offset

    new = values
    if len(values) > 1 and values.shape[1] and strength:
        quality = _quality(prepared.observed, prepared.confidence)
        if fps is None or network.fps is None or same_rate(fps, network.fps):
            new = at_own_rate(values, quality)
        else:
            new = refine_at_rate(values, quality, at_own_rate, fps=fps, model_fps=network.fps)
    output = prepared.restore(new, strength)
    changed = _distance(values, new, prepared.is_rotation) * strength
    return output, RefineReport(~prepared.observed, changed, prepared.never_observed, network.name, backend)


def _own_blend(network: Model) -> str:
    return "uniform" if network.is_published else "taper"


def _quality(observed: NDArray[np.bool_], confidence: Array | None) -> Array:
    """Return (T, N, 2): how far to trust each value (1 where the caller did not say), and whether it was observed."""
    trust = np.ones(observed.shape) if confidence is None else confidence
    return np.stack([np.where(observed, trust, 0.0), observed], axis=-1).astype(np.float64)


def _frame_of_reference(
    values: Array, network: Model, kind: str, image_size: tuple[float, float] | None
) -> tuple[Array, Array]:
    """Return the scale and offset (..., N, D) that a network's input is taken relative to."""
    size = values.shape[-1]
    one, nothing = np.ones(size), np.zeros(values.shape[1:])
    if image_size is not None:
        pixels = np.asarray(image_size, dtype=np.float64)
        if kind != "position" or size != 2 or pixels.shape != (2,) or not (pixels > 0).all():
            raise mismatch("image_size", "(width, height) > 0 of 2D positions", f"{image_size} for {kind} of {size}")
        if network.is_published:
            return pixels / 2, np.broadcast_to(pixels / 2, nothing.shape)
    if not len(values):
        return one, nothing
    if network.is_published:
        # It was trained on metres near the origin and on rotations as they are; channels are the caller's own affair.
        return one, values.mean(axis=0) if kind == "position" else nothing
    offset = values.mean(axis=0)
    spread = np.sqrt(np.square(values - offset).sum(axis=2).mean(axis=0))[:, None]
    # Our own network gives s * f(x) for s * x; unit spread keeps float32 far from its limits, whatever the unit.
    return np.where(spread > 0, spread, 1.0), offset


def _distance(before: Array, after: Array, is_rotation: bool) -> Array:
    """Return (T, N) distances; radians between rotation matrices."""
    if not is_rotation:
        return np.linalg.norm(after - before, axis=-1)
    shape = (*before.shape[:2], 3, 3)
    return rotations.geodesic_angle(before.reshape(shape), rotations.project_to_so3(after.reshape(shape)))
