"""A take through a network that knows a body: which joints are which, smoothing, windows, and what follows along."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core._limbs import even_limbs
from smoothnet_core.windows import refine_windows

Array = NDArray[np.float64]
Refine = Callable[[Array, Array], Array]
# Standard deviation in frames.
_ROUGHNESS_SIGMA = 5.0
Run = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Body:
    """What body-aware weights state about the body they know.

    Attributes:
        joints: J names in the network's order.
        root: indices of the joints whose mean is the root.
    """

    joints: tuple[str, ...]
    root: tuple[int, ...]


def body_of(metadata: Mapping[str, Any]) -> Body | None:
    """Return the body of weights' metadata; None where they are not body-aware."""
    if metadata["architecture"] != "body_aware":
        return None
    return Body(tuple(metadata["joints"]), tuple(metadata["root"]))


def find_joints(body: Body, model: str, kind: str, shape: tuple[int, ...], names: Sequence[str] | None) -> list[int]:
    """Return where in a track (T, N, D) the body's joints are.

    Args:
        body: of the model.
        model: its name, for messages.
        kind: of the track.
        shape: (T, N, D).
        names: of the N joints; None where they are the body's own, in its order.

    Raises:
        ValueError: the track is not of positions in 3D, or lacks a joint.
    """
    if kind != "position" or shape[2] != 3:
        received = f"positions in {shape[2]}D" if kind == "position" else kind
        raise mismatch(f"track for the model {model}", "positions in 3D", received)
    if names is None:
        if shape[1] != len(body.joints):
            expected = f"{len(body.joints)} in its order ({', '.join(body.joints)}), or their names in joints"
            raise mismatch(f"joints for the model {model}", expected, f"{shape[1]} without names")
        return list(range(shape[1]))
    given = list(names)
    if missing := [name for name in body.joints if name not in given]:
        raise mismatch(f"joints for the model {model}", "also " + ", ".join(missing), f"{len(given)} names without")
    if twice := [name for name in body.joints if given.count(name) > 1]:
        raise mismatch(f"joints for the model {model}", "each once", ", ".join(twice) + " more than once")
    return [given.index(name) for name in body.joints]


def common_frame(values: Array) -> tuple[Array, Array]:
    """Return scale and offset, both (N, D), that bring a take (T, N, D) as a whole to the origin and to size 1."""
    count, size = values.shape[1:]
    offset = values.mean(axis=(0, 1)) if values.size else np.zeros(size)
    peak = np.abs(values - offset).max(initial=0.0)
    return np.full((count, size), peak if peak > 0 else 1.0), np.broadcast_to(offset, (count, size))


def roughness(values: NDArray[np.floating], smoothed: NDArray[np.floating]) -> Array:
    """Return the distance (T, N) between two tracks (T, N, 3), averaged over about half a second at 30 frames."""
    apart = np.linalg.norm(np.asarray(values, np.float64) - smoothed, axis=2)
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(apart, _ROUGHNESS_SIGMA, axis=0, mode="nearest")


def refine_body(
    values: Array,
    quality: Array,
    smooth: Refine,
    run: Run,
    body: Body,
    places: Sequence[int],
    *,
    window: int,
    hop: int,
    blend: str,
) -> Array:
    """Smooth a take, correct the body and even the lengths of its limbs.

    Joints beyond the set go along with the nearest one of the set.

    Nearest is the joint that is so on average over the smoothed take.

    Args:
        values: (T, N, 3) positions at the network's frame rate, without gaps.
        quality: (T, N, 2) confidence and whether the frame was observed.
        smooth: refines a track (T, N, 3) of that quality joint by joint.
        run: the engine, from float32 windows (M, W, 3 J) and quality (M, W, 3 J) to refined windows.
        body: of the model.
        places: indices of the body's joints among the N.
        window: frames W; a shorter take is one window as it is.
        hop: frames between windows.
        blend: of overlapping windows.

    Returns:
        (T, N, 3).
    """
    smoothed = smooth(values, quality)
    trust = np.concatenate([quality, roughness(values, smoothed)[..., None]], axis=2)
    frames = len(values)
    window = min(window, frames)
    inner = smoothed[:, places].reshape(1, frames, -1)
    refined = refine_windows(
        inner,
        trust[:, places].reshape(1, frames, -1),
        _rooted(run, body),
        window=window,
        hop=min(hop, window),
        blend=blend,
    )
    correction = even_limbs(refined.reshape(frames, -1, 3), body.joints) - smoothed[:, places]
    nearest = np.empty(values.shape[1], np.int64)
    nearest[places] = np.arange(len(places))
    for other in set(range(values.shape[1])) - set(places):
        apart = np.linalg.norm(smoothed[:, places] - smoothed[:, other, None], axis=2).mean(axis=0)
        nearest[other] = apart.argmin()
    return smoothed + correction[:, nearest]


def _rooted(run: Run, body: Body) -> Refine:
    """Return the engine on float64 windows, each brought to its root and to size 1 before float32.

    The network is indifferent to both; float32 so keeps its seven digits for the body.
    """

    def rooted(windows: Array, quality: Array) -> Array:
        joints = windows.reshape(*windows.shape[:2], -1, 3)
        relative = joints - joints[:, :, list(body.root)].mean(axis=2, keepdims=True)
        size = np.abs(relative).max(axis=(1, 2, 3), keepdims=True)
        size[size == 0] = 1.0
        inner = (relative / size).reshape(windows.shape).astype(np.float32)
        trust = quality.reshape(*quality.shape[:2], -1, 3) / np.concatenate([np.ones_like(size)] * 2 + [size], axis=3)
        refined = run(inner, trust.reshape(quality.shape).astype(np.float32)).astype(np.float64)
        return windows + (refined - inner) * size[:, :, 0]

    return rooted
