"""Single frames of a stream: read from whatever the caller has, and written the same way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import rotations
from smoothnet_core._array_api import is_tensor, to_numpy
from smoothnet_core._checks import mismatch
from smoothnet_core.tracks import VALUE_SHAPES

Array = NDArray[np.float64]


def read_frame(frame: Any, kind: str, first: tuple[int, ...] | None) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Return a frame's numbers, and the axes before those that hold one value.

    Args:
        frame: the caller's.
        kind: of its values.
        first: shape of the stream's first frame; None if this is it.

    Raises:
        ValueError: it is no array of floats, or has another shape.
    """
    known = isinstance(frame, (np.ndarray, np.floating)) and not isinstance(frame, np.ma.MaskedArray)
    if not known and not is_tensor(frame):
        raise mismatch("frame", "a NumPy array or a torch tensor", f"a {type(frame).__name__}")
    values = to_numpy(frame)
    if values.dtype.kind != "f":
        raise mismatch("frame", "an array of floats", f"shape {values.shape}, dtype {values.dtype}")
    choices = VALUE_SHAPES[kind]
    axes = len(choices[0])
    if values.ndim < axes or values.shape[values.ndim - axes :] not in choices:
        wanted = " or ".join(f"(..., {', '.join(map(str, c))})" if c else "(...)" for c in choices)
        raise mismatch(f"shape of a {kind} frame", wanted, values.shape)
    if first is not None and values.shape != first:
        raise mismatch("shape of the frame", f"that of the first, {first}", values.shape)
    return values, values.shape[: values.ndim - axes]


def read_mask(mask: Any, shape: tuple[int, ...], lead: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return (N,) which values of a frame a mask lets through.

    Raises:
        ValueError: its shape does not go with the frame's, or it holds other numbers than 0 and 1.
    """
    return _spread("mask", mask, shape, lead, bool, np.logical_and.reduce)


def read_confidence(confidence: Any, shape: tuple[int, ...], lead: tuple[int, ...]) -> Array:
    """Return (N,) the confidence in the values of a frame; NaN is 0.

    Raises:
        ValueError: its shape does not go with the frame's, or it is not within [0, 1].
    """
    if confidence is None:
        return np.ones(int(np.prod(lead, dtype=np.int64)))
    trust = np.nan_to_num(_spread("confidence", confidence, shape, lead, float, np.minimum.reduce), nan=0.0)
    if trust.size and (trust.min() < 0 or trust.max() > 1):
        raise mismatch("confidence", "values in [0, 1]", f"{trust.min():g} to {trust.max():g}")
    return trust


def unknown(kind: str, order: str, count: int, shape: tuple[int, ...]) -> Array:
    """Return (1, N, *shape) what is written for values of which nothing is known."""
    one = np.zeros(shape)
    if kind == "quat_wxyz":
        one[0] = 1.0
    elif kind == "rotation_matrix":
        one = np.eye(3)
    elif kind == "rotation_6d":
        one = rotations.matrix_to_rotation_6d(np.eye(3), order)
    return np.tile(one, (1, count, *[1] * len(shape)))


def written_as(like: Any) -> Callable[[Array], Any]:
    """Return what makes of float64 numbers a frame of the type, dtype and device of ``like``."""
    if is_tensor(like):
        dtype, device = like.dtype, like.device

        def as_tensor(result: Array) -> Any:
            import torch

            limit = torch.finfo(dtype).max
            return torch.from_numpy(np.ascontiguousarray(np.clip(result, -limit, limit))).to(dtype).to(device)

        return as_tensor
    own = like.dtype
    limit = float(np.finfo(own).max) if own.itemsize < 8 else np.inf
    return lambda result: np.clip(result, -limit, limit).astype(own)


def _spread(
    what: str, given: Any, shape: tuple[int, ...], lead: tuple[int, ...], dtype: type, merge: Callable[..., Any]
) -> NDArray[Any]:
    """Bring a mask or confidence to (N,); a value's own components are merged into one."""
    count = int(np.prod(lead, dtype=np.int64))
    if given is None:
        return np.ones(count, dtype)
    array = np.asarray(to_numpy(given))
    if array.dtype.kind not in "fbiu":
        raise mismatch(what, "an array of numbers", f"dtype {array.dtype}")
    if dtype is bool and array.dtype != bool and not np.isin(array, (0, 1)).all():
        raise mismatch(what, "True or False", f"other numbers, dtype {array.dtype}")
    if array.ndim > len(shape) or array.shape != shape[: array.ndim]:
        raise mismatch(f"shape of {what}", f"(), (J,) or the frame's {shape}", array.shape)
    array = array.astype(dtype)
    if array.ndim > len(lead):
        array = merge(array, axis=tuple(range(len(lead), array.ndim)))
    array = array.reshape(array.shape + (1,) * (len(lead) - array.ndim))
    return np.broadcast_to(array, lead).reshape(count).copy()
