"""A reader of pickle streams that runs nothing they name.

Python's own unpickler imports what the stream names and calls it. This one has no import, no ``getattr`` and no
``setattr``: a global is only a :class:`Named` key into a table of our own constructors, and the operations that
call, instantiate or set a state go through that table alone. The opcodes and the layout of their arguments are
those of :mod:`pickletools`, protocols 0 to 5.
"""

from __future__ import annotations

import io
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from smoothnet_core._reading import Refusal, one_line
from smoothnet_core.limits import LimitError, exceeded, limit

_KEY_TYPES = (str, int, bool, float, complex, bytes, type(None))
# Keys whose hashes nobody can choose to be the same, beside whole numbers of 64 bits and floats.
_SCATTERED = (str, bytes, bool, float, type(None))
# Of others, whose hashes can be made the same: so many that comparing each with each takes no time.
_OTHER_KEYS = 5_000
# However small a file, so many operations may be in what it unpacks to; and so many for each of its bytes.
_FREE_OPERATIONS, _OPERATIONS_A_BYTE = 2**20, 8


@dataclass(frozen=True, slots=True)
class Named:
    """A global that a stream names. It stays this name: the thing itself is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


# Called as constructor(machine, *arguments); None stands for a name that may be mentioned but not called.
Types = Mapping[Named, Callable[..., Any] | None]


class Draft:
    """A value that is complete only with the state that follows; ``finish(machine, state)`` returns it."""

    __slots__ = ("finish", "memo_keys")

    def __init__(self, finish: Callable[[Machine, Any], Any]) -> None:
        self.finish = finish
        self.memo_keys: list[int] = []


class Allowance:
    """What a file may still make, shared by its nested streams.

    Args:
        amount: bytes that may be allocated for what it declares.
        packed: bytes of the file as it is stored, which bound the operations it may hold.

    Attributes:
        operations: that may still be read.
        other_keys: keys that may still be used whose hashes may all be the same.
    """

    def __init__(self, amount: int, packed: int) -> None:
        self._left = amount
        self._most = min(limit("objects"), _FREE_OPERATIONS + _OPERATIONS_A_BYTE * packed)
        self.operations = self._most
        self.other_keys = _OTHER_KEYS

    def no_operation_left(self) -> LimitError:
        """Return the error of a stream that goes on."""
        return exceeded("operations of the pickle", "objects", self._most, "more")

    def add(self, amount: int) -> None:
        """Allow ``amount`` bytes more."""
        self._left += amount

    def spend(self, amount: int) -> None:
        """Take ``amount`` bytes.

        Raises:
            Refusal: fewer are left.
        """
        self._left -= amount
        if self._left < 0:
            raise Refusal("it declares more data than it holds")


class Machine:
    """Reads one pickle from ``stream``, from its current position to just behind the STOP.

    Attributes:
        stream: the bytes; a constructor may read on from it, as joblib's inline arrays require.
        types: what the stream may name.
        allowance: bounds what constructors allocate.
    """

    def __init__(
        self,
        stream: io.BytesIO,
        types: Types,
        allowance: Allowance,
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self.stream = stream
        self.types = types
        self.allowance = allowance
        self._persistent = persistent
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._open_drafts = 0

    def load(self) -> Any:
        """Return the value of the stream.

        Raises:
            Refusal: it asks for anything that is not in ``types``.
            Exception: of almost any kind, from a damaged stream.
        """
        allowance = self.allowance
        while True:
            code = self.stream.read(1)
            if not code:
                raise EOFError("it ends before the pickle does")
            if code == b".":
                break
            if code not in _OPERATIONS:
                raise ValueError(f"byte {code!r} at offset {self.stream.tell() - 1} is no pickle operation")
            allowance.operations -= 1
            if allowance.operations < 0:
                raise allowance.no_operation_left()
            read_argument, operation = _OPERATIONS[code]
            operation(self, None if read_argument is None else read_argument(self.stream))
        value = self._pop()
        if self._open_drafts or isinstance(value, Draft):
            raise Refusal("an array or data type in it is never given its contents")
        return value

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack:
            raise ValueError("an operation finds no value to work on")
        return self._stack.pop()

    def _top(self, kind: type) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise ValueError(f"an operation finds no {kind.__name__} to add to")
        return self._stack[-1]

    def _mark(self, _: None) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def _pop_mark(self) -> list[Any]:
        if not self._outer:
            raise ValueError("an operation finds no mark")
        items = self._stack
        self._stack = self._outer.pop()
        return items

    def _drop_mark(self, _: None) -> None:
        self._pop_mark()

    def _discard(self, _: None) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._pop_mark()

    def _duplicate(self, _: None) -> None:
        self._push(_complete(self._top(object)))

    def _tuple(self, size: int) -> None:
        items = [self._pop() for _ in range(size)]
        self._push(tuple(reversed(items)))

    def _append(self, _: None) -> None:
        value = self._pop()
        self._top(list).append(value)

    def _appends(self, _: None) -> None:
        items = self._pop_mark()
        self._top(list).extend(items)

    def _set_item(self, _: None) -> None:
        value, key = self._pop(), self._pop()
        self._top(dict)[self.key(key)] = value

    def _set_items(self, _: None) -> None:
        items = self._pop_mark()
        self._top(dict).update(self._pairs(items))

    def _add_items(self, _: None) -> None:
        items = self._pop_mark()
        self._top(set).update(map(self.key, items))

    def _pairs(self, items: list[Any]) -> dict[Any, Any]:
        return {self.key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}

    def key(self, value: Any) -> Any:
        """Return ``value`` if it may be a key of a dict or a member of a set: a scalar, or a flat tuple of scalars.

        Deeper tuples are refused because hashing one that repeats itself takes exponential time; many keys of kinds
        whose hashes can be chosen, because looking one up among others of its hash takes as long as there are others.
        """
        if type(value) in _SCATTERED or (type(value) is int and -(2**63) <= value < 2**64):
            return value
        self.allowance.other_keys -= 1
        if self.allowance.other_keys < 0:
            raise Refusal(f"more than {_OTHER_KEYS:,} keys are neither text nor numbers of 64 bits")
        parts: Any = value if type(value) in (tuple, frozenset) else (value,)
        self.allowance.spend(len(parts))
        if not all(type(part) in _KEY_TYPES or isinstance(part, np.generic) for part in parts):
            raise ValueError(f"a {type(value).__name__} is used as a key, expected numbers, text or a tuple of them")
        return value

    def _get(self, index: int) -> None:
        self._push(_complete(self._memo[index]))

    def _put(self, index: int) -> None:
        value = self._top(object)
        self._memo[index] = value
        if isinstance(value, Draft):
            value.memo_keys.append(index)

    def _global(self, pair: str) -> None:
        module, _, name = pair.partition(" ")
        self._push(self._admit(module, name))

    def _stack_global(self, _: None) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a global is named by something other than text")
        self._push(self._admit(module, name))

    def _admit(self, module: str, name: str) -> Named:
        named = Named(module, name)
        if named not in self.types:
            raise Refusal(
                f"the file asks for {one_line(named, 120)}, which is not on the list of data types; nothing was run"
            )
        return named

    def _call(self, callee: Any, arguments: Any) -> Any:
        constructor = self.types.get(callee) if isinstance(callee, Named) else None
        if constructor is None:
            what = callee if isinstance(callee, Named) else f"a {type(callee).__name__}"
            raise Refusal(f"the file calls {what}, which is not a way to make data; nothing was run")
        if type(arguments) is not tuple:
            raise ValueError(f"arguments of {callee} are a {type(arguments).__name__}, expected a tuple")
        value = constructor(self, *arguments)
        self._open_drafts += isinstance(value, Draft)
        return value

    def _reduce(self, _: None) -> None:
        arguments, callee = self._pop(), self._pop()
        self._push(self._call(callee, arguments))

    def _new_object_with_names(self, _: None) -> None:
        names, arguments, callee = self._pop(), self._pop(), self._pop()
        if type(names) is not dict or names:
            raise Refusal("the file makes an object with named arguments; nothing was run")
        self._push(self._call(callee, arguments))

    def _old_instance(self, pair: str) -> None:
        arguments = tuple(self._pop_mark())
        module, _, name = pair.partition(" ")
        self._push(self._call(self._admit(module, name), arguments))

    def _old_object(self, _: None) -> None:
        callee, *arguments = self._pop_mark()
        self._push(self._call(callee, tuple(arguments)))

    def _build(self, _: None) -> None:
        state = self._pop()
        target = self._top(object)
        if isinstance(target, Draft):
            value = target.finish(self, state)
            self._stack[-1] = value
            self._memo.update(dict.fromkeys(target.memo_keys, value))
            self._open_drafts -= 1
        elif type(target) is not OrderedDict or not isinstance(state, dict):
            raise Refusal(f"the file sets the state of a {type(target).__name__}; nothing was run")
        # Attributes on an OrderedDict, as PyTorch's state dicts have in `_metadata`, hold no data: left out.

    def _persistent_id(self, identity: Any) -> None:
        if self._persistent is None:
            raise Refusal("the file refers to an object outside itself (a persistent id); nothing was run")
        self._push(self._persistent(identity))

    def _extension(self, code: int) -> None:
        raise Refusal(
            f"the file asks for extension code {code}, which is not on the list of data types; nothing was run"
        )

    def _out_of_band(self, _: None) -> None:
        raise Refusal("the file refers to a buffer outside itself; nothing was run")

    def _protocol(self, version: int) -> None:
        if version > 5:
            raise ValueError(f"pickle protocol {version}, expected 0 to 5")


def _complete(value: Any) -> Any:
    if isinstance(value, Draft):
        raise Refusal("an array or data type in it refers to itself")
    return value


def _read_quoted(stream: io.BytesIO) -> str:
    """Read Python 2's quoted text of protocol 0; bytes above 127 become Latin-1 text, as in later protocols."""
    line = stream.readline().strip()
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise ValueError("a text of protocol 0 has no quotes")
    return line[1:-1].decode("unicode_escape")


# By opcode name: what is done with the argument that pickletools reads for it.
_BY_NAME: dict[str, Callable[[Machine, Any], None]] = {
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT"), Machine._push),
    **dict.fromkeys(("BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE"), Machine._push),
    **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), Machine._push),
    "BYTEARRAY8": Machine._push,
    "NONE": lambda m, _: m._push(None),
    "NEWTRUE": lambda m, _: m._push(True),
    "NEWFALSE": lambda m, _: m._push(False),
    "EMPTY_LIST": lambda m, _: m._push([]),
    "EMPTY_DICT": lambda m, _: m._push({}),
    "EMPTY_SET": lambda m, _: m._push(set()),
    "EMPTY_TUPLE": lambda m, _: m._push(()),
    "TUPLE1": lambda m, _: m._tuple(1),
    "TUPLE2": lambda m, _: m._tuple(2),
    "TUPLE3": lambda m, _: m._tuple(3),
    "TUPLE": lambda m, _: m._push(tuple(m._pop_mark())),
    "LIST": lambda m, _: m._push(m._pop_mark()),
    "DICT": lambda m, _: m._push(m._pairs(m._pop_mark())),
    "FROZENSET": lambda m, _: m._push(frozenset(map(m.key, m._pop_mark()))),
    "APPEND": Machine._append,
    "APPENDS": Machine._appends,
    "SETITEM": Machine._set_item,
    "SETITEMS": Machine._set_items,
    "ADDITEMS": Machine._add_items,
    "MARK": Machine._mark,
    "POP": Machine._discard,
    "POP_MARK": Machine._drop_mark,
    "DUP": Machine._duplicate,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine._get),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine._put),
    "MEMOIZE": lambda m, _: m._put(len(m._memo)),
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), Machine._reduce),
    "NEWOBJ_EX": Machine._new_object_with_names,
    "INST": Machine._old_instance,
    "OBJ": Machine._old_object,
    "BUILD": Machine._build,
    "PERSID": Machine._persistent_id,
    "BINPERSID": lambda m, _: m._persistent_id(m._pop()),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), Machine._extension),
    **dict.fromkeys(("NEXT_BUFFER", "READONLY_BUFFER"), Machine._out_of_band),
    "PROTO": Machine._protocol,
    "FRAME": lambda m, _: None,
}
_READERS: dict[str, Callable[[io.BytesIO], Any] | None] = {
    **{op.name: op.arg.reader if op.arg else None for op in pickletools.opcodes},
    "STRING": _read_quoted,
}
_OPERATIONS = {
    op.code.encode("latin-1"): (_READERS[op.name], _BY_NAME[op.name])
    for op in pickletools.opcodes
    if op.name in _BY_NAME
}
