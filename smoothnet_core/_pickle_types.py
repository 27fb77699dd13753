"""What a pickle may name: plain containers, NumPy's arrays, data types and scalars, and joblib's inline arrays.

Each is rebuilt by a function of ours from its stated parts; none reaches NumPy's own ``__setstate__``.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._pickle_machine import Draft, Machine, Named, Types
from smoothnet_core._reading import Refusal, show
from smoothnet_core.limits import check_limit

Order = Literal["C", "F"]

_LAST_CHARACTER = 0x10FFFF

_DTYPE_CODE = re.compile(r"[<>=|]?(\?|b1|[iu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|[SUV]\d{1,9}|O[48]?)")
_FACTORIES: dict[str, Callable[[], Any]] = {
    "list": list,
    "dict": dict,
    "set": set,
    "tuple": tuple,
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
}


def checked_shape(shape: Any) -> tuple[int, ...]:
    """Return ``shape`` as a tuple of ``int``.

    Raises:
        ValueError: it is no tuple of up to 64 integers from 0 to 2**63 - 1, or that of an empty array which would be
            huge along its other axes.
    """
    if (
        not isinstance(shape, tuple)
        or len(shape) > 64
        or not all(isinstance(n, (int, np.integer)) and 0 <= n < 2**63 for n in shape)
    ):
        raise ValueError("an array shape that is no tuple of up to 64 integers >= 0")
    dims = tuple(int(n) for n in shape)
    if 0 in dims:
        # It takes no memory itself, but names of its joints or numbers of its frames would.
        check_limit("elements along the other axes of an empty array", "objects", math.prod(n for n in dims if n))
    return dims


def checked_text(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array if all of its text is text: numbers beyond Unicode's break whatever looks at them.

    Raises:
        ValueError: a character has a number that no character has.
    """
    if array.dtype.names is not None:
        for name in array.dtype.names:
            checked_text(array[name])
    elif array.dtype.kind == "U" and array.size and array.dtype.itemsize:
        codes = np.ascontiguousarray(array).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if codes.max() > _LAST_CHARACTER:
            raise ValueError("a text in an array has a character that does not exist")
    return array


def array_from_bytes(machine: Machine, data: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    """Return a new writable array of ``shape`` whose elements, in ``order`` C or F, are the bytes of ``data``.

    Raises:
        ValueError: ``data`` has another length than the shape and the type say.
    """
    dims, data = checked_shape(shape), _as_bytes(data)
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise ValueError("an array without a data type of numbers or text")
    if dtype.itemsize == 0 or math.prod(dims) * dtype.itemsize != len(data):
        raise ValueError(f"{len(data):,} bytes for an array of shape {dims} and type {dtype}")
    machine.allowance.spend(len(data))
    if order != "C" and order != "F":
        raise ValueError(f"array order {show(order)}, expected C or F")
    if not data:
        return np.empty(dims, dtype)
    return checked_text(np.frombuffer(bytearray(data), dtype).reshape(dims, order=order))


def _array_of_objects(machine: Machine, items: Any, shape: Any, order: Order) -> NDArray[Any]:
    dims = checked_shape(shape)
    if not isinstance(items, list) or len(items) != math.prod(dims):
        raise ValueError(f"the objects of an array of shape {dims} are not a list of that many")
    machine.allowance.spend(8 * len(items))
    flat = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):
        flat[i] = item
    return flat.reshape(dims, order=order)


def _as_bytes(data: Any) -> bytes | bytearray:
    if isinstance(data, str):
        # A Python 2 string, which the older protocols hold as Latin-1 text.
        return data.encode("latin-1")
    if not isinstance(data, (bytes, bytearray)):
        raise ValueError(f"the bytes of an array are a {type(data).__name__}")
    return data


def _reconstruct(machine: Machine, subtype: Any, shape: Any, typecode: Any) -> Draft:
    # The arguments describe an empty array; all that counts comes with the state.
    return Draft(_finish_array)


def _finish_array(machine: Machine, state: Any) -> NDArray[Any]:
    # (version, shape, dtype, in Fortran order?, data); the version is missing from the oldest files.
    shape, dtype, fortran, data = state[-4:]
    order: Order = "F" if fortran else "C"
    if _known_dtype(dtype) == np.dtype(object):
        return _array_of_objects(machine, data, shape, order)
    return array_from_bytes(machine, data, dtype, shape, order)


def _from_buffer(machine: Machine, data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> NDArray[Any]:
    if order == "K" and axes is not None:
        return array_from_bytes(machine, data, dtype, shape, "C").transpose(checked_shape(axes))
    return array_from_bytes(machine, data, dtype, shape, order)


def _scalar(machine: Machine, dtype: Any, data: Any) -> Any:
    return array_from_bytes(machine, data, dtype, (1,), "C")[0]


def _dtype(machine: Machine, code: Any, *flags: Any) -> Draft:
    text = code.decode("latin-1") if isinstance(code, bytes) else code
    if not isinstance(text, str) or not _DTYPE_CODE.fullmatch(text):
        raise ValueError(f"array data type {show(code)}, expected numbers, text or objects")
    return Draft(lambda _, state: _finish_dtype(np.dtype(text), state))


def _finish_dtype(base: np.dtype[Any], state: Any) -> np.dtype[Any]:
    _, order, subarray, names, fields, itemsize = state[:6]
    if subarray is not None:
        element, shape = subarray
        return np.dtype((_plain_dtype(element), checked_shape(shape)))
    if names is not None:
        if not all(isinstance(name, str) for name in names):
            raise ValueError("the fields of a data type are not named by text")
        return np.dtype(
            {
                "names": list(names),
                "formats": [_plain_dtype(fields[name][0]) for name in names],
                "offsets": [fields[name][1] for name in names],
                "itemsize": itemsize,
            }
        )
    order = order.decode("latin-1") if isinstance(order, bytes) else order
    return base.newbyteorder(order) if order in ("<", ">") else base


def _known_dtype(value: Any) -> np.dtype[Any]:
    if not isinstance(value, np.dtype):
        raise ValueError(f"a data type is a {type(value).__name__}")
    return value


def _plain_dtype(value: Any) -> np.dtype[Any]:
    # Records within records, all at one offset, could take exponential time to compare or print.
    if _known_dtype(value).base.names is not None:
        raise ValueError("a data type has records within records")
    return value


def _inline_array(machine: Machine, *_: Any) -> Draft:
    return Draft(_read_inline_array)


def _read_inline_array(machine: Machine, state: Any) -> NDArray[Any]:
    """Read the array that joblib writes behind its ``NumpyArrayWrapper`` into the same stream.

    Since joblib 1.2 a byte with the number of padding bytes, and these, come first. An array of objects is a
    complete pickle of its own.
    """
    dtype, shape = _known_dtype(state["dtype"]), checked_shape(state["shape"])
    length = math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        # Plain types only: an inline array inside would nest without end.
        nested = Machine(machine.stream, _without_inline_arrays(machine.types), machine.allowance).load()
        if not isinstance(nested, np.ndarray):
            raise ValueError(f"the objects of an array are a {type(nested).__name__}")
        return nested
    if state.get("numpy_array_alignment_bytes") is not None:
        machine.stream.read(int.from_bytes(machine.stream.read(1), "little"))
    return array_from_bytes(machine, machine.stream.read(length), dtype, shape, state["order"])


def _without_inline_arrays(types: Types) -> Types:
    return {named: make for named, make in types.items() if make is not _inline_array}


def _ordered_dict(machine: Machine, pairs: Any = ()) -> OrderedDict[Any, Any]:
    return OrderedDict((machine.key(key), value) for key, value in _listed(machine, pairs))


def _default_dict(machine: Machine, factory: Any = None, pairs: Any = ()) -> defaultdict[Any, Any]:
    if factory is not None and (not isinstance(factory, Named) or factory.name not in _FACTORIES):
        what = factory if isinstance(factory, Named) else show(factory)
        raise Refusal(f"the file makes a defaultdict with {what}; nothing was run")
    made = defaultdict(_FACTORIES[factory.name] if factory else None)
    made.update((machine.key(key), value) for key, value in _listed(machine, pairs))
    return made


def _listed(machine: Machine, items: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(items, (list, tuple)):
        raise ValueError(f"a container is made from a {type(items).__name__}, expected a list")
    machine.allowance.spend(8 * len(items))
    return items


def _set(machine: Machine, items: Any = ()) -> set[Any]:
    return {machine.key(item) for item in _listed(machine, items)}


def _frozenset(machine: Machine, items: Any = ()) -> frozenset[Any]:
    return frozenset(_set(machine, items))


def _bytearray(machine: Machine, data: Any = b"", encoding: str = "latin-1") -> bytearray:
    # A number here would ask for that many zeros.
    copied = _as_bytes(data)
    machine.allowance.spend(len(copied))
    return bytearray(copied)


def _encode(machine: Machine, text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refusal(f"the file encodes {show(text)} as {show(encoding)}, expected text as latin1")
    machine.allowance.spend(len(text))
    return text.encode("latin-1")


def _complex(machine: Machine, real: Any, imaginary: Any) -> complex:
    if not all(isinstance(part, (int, float)) for part in (real, imaginary)):
        raise ValueError("the parts of a complex number are not numbers")
    return complex(real, imaginary)


def _slice(machine: Machine, *bounds: Any) -> slice:
    return slice(*_bounds(bounds))


def _range(machine: Machine, *bounds: Any) -> range:
    return range(*_bounds(bounds))


def _bounds(bounds: tuple[Any, ...]) -> tuple[Any, ...]:
    if not all(bound is None or type(bound) is int for bound in bounds):
        raise ValueError("the bounds of a range or slice are not integers")
    return bounds


def _empty_bytes(machine: Machine) -> bytes:
    return b""


_PLAIN: dict[str, Callable[..., Any] | None] = {
    "set": _set,
    "frozenset": _frozenset,
    "bytearray": _bytearray,
    "bytes": _empty_bytes,
    "complex": _complex,
    "slice": _slice,
    "range": _range,
    "xrange": _range,
} | {name: None for name in _FACTORIES if name != "set"}

PLAIN_TYPES: Types = {
    Named("collections", "OrderedDict"): _ordered_dict,
    Named("collections", "defaultdict"): _default_dict,
    Named("_codecs", "encode"): _encode,
    **{Named(module, name): make for module in ("builtins", "__builtin__") for name, make in _PLAIN.items()},
    Named("numpy", "dtype"): _dtype,
    Named("numpy", "ndarray"): None,
    Named("numpy", "matrix"): None,
    Named("numpy", "memmap"): None,
    Named("numpy.matrixlib.defmatrix", "matrix"): None,
    Named("numpy.core.memmap", "memmap"): None,
    **{
        Named(f"numpy.{core}.{module}", name): make
        for core in ("core", "_core")
        for module, name, make in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}
JOBLIB_TYPES: Types = {
    Named("joblib.numpy_pickle", "NumpyArrayWrapper"): _inline_array,
    Named("sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper"): _inline_array,
}
