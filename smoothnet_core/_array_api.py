"""The few differences between NumPy and torch that code written once for both has to know about.

torch is never imported here: a value can only be a tensor if the caller has imported torch already.
"""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np

from smoothnet_core._checks import mismatch

Array: TypeAlias = Any  # a NumPy array or a torch tensor; what comes out is of the kind that went in


def is_tensor(value: object) -> bool:
    """Return whether ``value`` is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def as_arrays(*values: Any) -> tuple[Any, ...]:
    """Return the namespace (``numpy`` or ``torch``) followed by the values as floating arrays of it.

    With a tensor among the values all become tensors on its device, else all become NumPy arrays. Floating dtypes
    are kept, integers become float64.
    """
    tensor = next((v for v in values if is_tensor(v)), None)
    if tensor is None:
        arrays = [np.asarray(v) for v in values]
        return (np, *(a if np.issubdtype(a.dtype, np.floating) else a.astype(np.float64) for a in arrays))
    torch = sys.modules["torch"]
    tensors = [v if is_tensor(v) else torch.as_tensor(np.asarray(v), dtype=tensor.dtype) for v in values]
    return (torch, *((t if t.is_floating_point() else t.double()).to(tensor.device) for t in tensors))


def check_trailing(what: str, array: Array, *trailing: int) -> None:
    """Raise ``ValueError`` unless the last axes of ``array`` are ``trailing``."""
    if tuple(array.shape[-len(trailing) :]) != trailing:
        raise mismatch(f"shape of {what}", f"(..., {', '.join(map(str, trailing))})", tuple(array.shape))


def cast(array: Array, like: Array) -> Array:
    """Return numbers or an array as an array of the kind, dtype and device of ``like``."""
    if is_tensor(like):
        return sys.modules["torch"].as_tensor(array, dtype=like.dtype, device=like.device)
    return np.asarray(array, dtype=like.dtype)


def identity_like(matrix: Array) -> Array:
    """Return the (3, 3) identity in the dtype and on the device of ``matrix``."""
    if is_tensor(matrix):
        return sys.modules["torch"].eye(3, dtype=matrix.dtype, device=matrix.device)
    return np.eye(3, dtype=matrix.dtype)


def take_along(array: Array, index: Array, axis: int) -> Array:
    """Return ``numpy.take_along_axis(array, index, axis)`` for either kind."""
    if is_tensor(array):
        return sys.modules["torch"].take_along_dim(array, index, axis)
    return np.take_along_axis(array, index, axis)


def to_numpy(array: Array) -> np.ndarray:
    """Return the values as a NumPy array, outside any gradient."""
    if not is_tensor(array):
        return np.asarray(array)
    array = array.detach().cpu()
    # NumPy has no bfloat16.
    return (array.float() if array.dtype == sys.modules["torch"].bfloat16 else array).numpy()


def fill_along_time(array: np.ndarray) -> np.ndarray:
    """Return (T, ..., D) with every row that holds a NaN replaced by the last good row, or by the first one to come.

    Where no row over time is good, nothing is replaced.
    """
    if not len(array):
        return array
    good = np.isfinite(array).all(-1)
    if good.all():
        return array
    steps = np.arange(len(array)).reshape(-1, *[1] * (good.ndim - 1))
    last = np.maximum.accumulate(np.where(good, steps, -1), axis=0)
    source = np.where(last < 0, good.argmax(0), last)
    return np.take_along_axis(array, source[..., None], 0)
