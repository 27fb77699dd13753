"""What a pickle may name of Chumpy and of SciPy's sparse matrices: objects that are arrays with a wrapping.

Body models are published as pickles of Python 2 with such objects in them. Neither library is asked to rebuild one: an
object's state is a dictionary, and what it stands for is computed here from the entries that define it. The entries and
what they mean are those of Chumpy's ``Ch.__getstate__`` (``chumpy/ch.py``), of ``Select``, ``Reshape`` and
``transpose`` (``chumpy/reordering.py``), and the attributes of SciPy's compressed sparse matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._pickle_machine import Draft, Machine, Named, Types
from smoothnet_core._pickle_types import checked_shape
from smoothnet_core._reading import Refusal, show

State = dict[Any, Any]


def _held(machine: Machine, state: State) -> NDArray[Any]:
    return _numbers(state, "x", "a Chumpy array")


def _selected(machine: Machine, state: State) -> NDArray[Any]:
    """Return ``a.ravel()[idxs]`` in the shape ``preferred_shape``, where there is one."""
    array, places = _numbers(state, "a", "a Chumpy selection"), _integers(state, "idxs", "a Chumpy selection")
    _check_range("idxs of a Chumpy selection", places, array.size)
    # The same places may be selected again and again.
    machine.allowance.spend(places.size * array.itemsize)
    chosen = array.flat[places]
    shape = state.get("preferred_shape")
    return chosen if shape is None else chosen.reshape(checked_shape(shape))


def _reshaped(machine: Machine, state: State) -> NDArray[Any]:
    shape = state.get("newshape")
    lengths: tuple[Any, ...] = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    # One length may be -1, as in NumPy.
    checked_shape(tuple(0 if type(n) is int and n == -1 else n for n in lengths))
    return _numbers(state, "a", "a Chumpy reshaping").reshape(lengths)


def _transposed(machine: Machine, state: State) -> NDArray[Any]:
    axes = state.get("axes")
    array = _numbers(state, "a", "a Chumpy transpose")
    return array.T if axes is None or axes == () else array.transpose(checked_shape(tuple(axes)))


def _compressed(kind: str) -> Callable[[Machine, State], Any]:
    def finish(machine: Machine, state: State) -> Any:
        from scipy import sparse

        what = f"a sparse matrix ({kind})"
        shape = checked_shape(state.get("_shape", state.get("shape")))
        if len(shape) != 2:
            raise ValueError(f"{what} of {len(shape)} dimensions")
        data = _numbers(state, "data", what)
        indices, starts = _integers(state, "indices", what), _integers(state, "indptr", what)
        major, minor = shape if kind == "csr" else shape[::-1]
        # What a matrix declares costs as its rows and columns do; its empty places take no memory.
        machine.allowance.spend(major + minor)
        if data.ndim != 1 or len(data) != len(indices) or len(starts) != major + 1:
            raise ValueError(
                f"{what} of shape {shape} with {data.shape} values, {len(indices)} indices and {len(starts)} starts"
            )
        if starts[0] != 0 or (np.diff(starts) < 0).any() or starts[-1] > len(data):
            raise ValueError(f"the starts of {what} do not rise from 0 to at most {len(data)}")
        used = int(starts[-1])
        _check_range(f"indices of {what}", indices[:used], minor)
        machine.allowance.spend(data.nbytes + indices.nbytes + starts.nbytes)
        make = sparse.csr_matrix if kind == "csr" else sparse.csc_matrix
        return make((data[:used], indices[:used], starts), shape=shape, copy=True)

    return finish


def _numbers(state: State, key: str, what: str) -> NDArray[Any]:
    value = state.get(key)
    if type(value) in (int, float):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufc":
        received = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else show(value)
        raise ValueError(f"{key} of {what} is {received}, expected an array of numbers")
    return value


def _integers(state: State, key: str, what: str) -> NDArray[Any]:
    value = _numbers(state, key, what)
    if value.ndim != 1 or value.dtype.kind not in "iu":
        raise ValueError(f"{key} of {what} is an array {value.shape} of {value.dtype}, expected integers (N,)")
    # Differences of unsigned numbers would wrap; those above int64 become negative and are out of any range.
    return value.astype(np.int64)


def _check_range(what: str, indices: NDArray[np.int64], length: int) -> None:
    if indices.size and not 0 <= indices.min() <= indices.max() < length:
        raise ValueError(f"{what} reach from {indices.min()} to {indices.max()}, expected 0 to {length - 1}")


def _maker(finish: Callable[[Machine, State], Any]) -> Callable[[Machine], Draft]:
    def finish_checked(machine: Machine, state: Any) -> Any:
        if not isinstance(state, dict):
            raise ValueError(f"the state of an object is {show(state)}, expected a dictionary")
        return finish(machine, state)

    return lambda machine: Draft(finish_checked)


_CHUMPY: Types = {
    Named("chumpy.ch", "Ch"): _maker(_held),
    Named("chumpy.reordering", "Select"): _maker(_selected),
    Named("chumpy.reordering", "Reshape"): _maker(_reshaped),
    Named("chumpy.reordering", "transpose"): _maker(_transposed),
}
# SciPy's modules by their names before and since 1.8; its arrays had another from 1.8 to 1.10.
_SPARSE: Types = {
    Named(f"scipy.sparse.{private}{kind}", f"{kind}_{form}"): _maker(_compressed(kind))
    for kind in ("csc", "csr")
    for private in ("", "_")
    for form in ("matrix", "array")
} | {Named("scipy.sparse._arrays", f"{kind}_array"): _maker(_compressed(kind)) for kind in ("csc", "csr")}
_OBJECTS: Types = {**_CHUMPY, **_SPARSE}
_BASES = (Named("__builtin__", "object"), Named("builtins", "object"))


def _reconstructor(machine: Machine, callee: Any, base: Any, state: Any) -> Any:
    """Make an object as protocols 0 and 1 do: by class, base class and the base's state."""
    make = _OBJECTS.get(callee) if isinstance(callee, Named) else None
    if make is None or base not in _BASES or state is not None:
        what = callee if isinstance(callee, Named) else show(callee)
        raise Refusal(f"the file makes an object of {what} in a way that is not on the list; nothing was run")
    return make(machine)


OBJECT_TYPES: Types = {
    **_OBJECTS,
    Named("copy_reg", "_reconstructor"): _reconstructor,
    Named("copyreg", "_reconstructor"): _reconstructor,
    **dict.fromkeys(_BASES),
}
