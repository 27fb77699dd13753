"""Pickles that come to run something in roundabout ways, each with what its refusal must say."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path

from tests.core.attacks import binary, named, shell, text, touch


def _short(raw: str) -> bytes:
    return b"\x8c" + struct.pack("B", len(raw)) + raw.encode()


def _extension(canary: Path) -> bytes:
    """A code of the registry of extensions, in which it stands for ``exec`` while the test runs."""
    return b"\x80\x02\x82\xf0" + text(touch(canary).arguments[0]) + b"\x85R."


def _array_state(items: bytes, kind: bytes = b"X\x02\x00\x00\x00|O") -> bytes:
    dtype = b"cnumpy\ndtype\n(" + kind + b"I0\nI1\ntR(I3\nX\x01\x00\x00\x00|NNNI-1\nI-1\nI63\ntb"
    begin = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntX\x01\x00\x00\x00btR"
    return begin + b"(I1\n(I1\nt" + dtype + b"I00\n" + items + b"tb."


def _joblib(state: bytes, rest: bytes = b"") -> bytes:
    return b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}" + state + b"b" + rest


_OBJECT_DTYPE = b"cnumpy\ndtype\n(X\x02\x00\x00\x00|OI0\nI1\ntR(I3\nX\x01\x00\x00\x00|NNNI-1\nI-1\nI63\ntb"
_NOT_A_WAY = "which is not a way to make data; nothing was run"
# By a title: from the path of the canary to a pickle, and what the refusal must say.
WAYS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "a chain of getattr and __import__": (
        lambda c: (
            b"cbuiltins\ngetattr\ncbuiltins\n__import__\n"
            + text("os")
            + b"\x85R"
            + text("system")
            + b"\x86R"
            + text(shell(c))
            + b"\x85R."
        ),
        r"asks for builtins\.getattr,",
    ),
    "an allowed call around one that is not": (
        lambda c: b"ccollections\nOrderedDict\n]" + b"cos\nsystem\n" + text(shell(c)) + b"\x85Ra\x85R.",
        r"asks for os\.system,",
    ),
    "the module by way of the memo": (
        lambda c: (
            b"\x80\x04"
            + _short("collections")
            + b"\x940"
            + _short("os")
            + b"q\x000h\x00"
            + _short("system")
            + b"\x93"
            + text(shell(c))
            + b"\x85R."
        ),
        r"asks for os\.system,",
    ),
    "a memo that is written twice": (
        lambda c: (
            b"\x80\x02"
            + text("OrderedDict")
            + b"q\x050"
            + text("system")
            + b"q\x050"
            + text("os")
            + b"h\x05\x93"
            + text(shell(c))
            + b"\x85R."
        ),
        r"asks for os\.system,",
    ),
    "a name of Python 2's bytes": (
        lambda c: b"\x80\x02U\x02osU\x06system\x93" + text(shell(c)) + b"\x85R.",
        r"asks for os\.system,",
    ),
    "a name that ends in a blank": (lambda c: b"\x80\x04" + named("os ", "system") + b".", r"asks for os \.system,"),
    "a name with zeros": (
        lambda c: b"\x80\x04" + named("collections\0", "OrderedDict") + b".",
        r"asks for collections\\x00\.OrderedDict,",
    ),
    "a name in letters that look alike": (lambda c: b"\x80\x04" + named("numpy", "dtyре") + b".", "asks for numpy.dty"),
    "an endless name": (
        lambda c: b"\x80\x04" + named("a" * 10**6, "b" * 10**6) + b".",
        r"asks for a{120}\.\.\., which",
    ),
    "a name that is a number": (lambda c: b"\x80\x04K\x01K\x02\x93.", "a global is named by something other than text"),
    "a name that is a name": (
        lambda c: b"\x80\x04ccollections\nOrderedDict\n" + text("x") + b"\x93.",
        "named by something other than text",
    ),
    "a method of an allowed class": (
        lambda c: b"\x80\x04" + named("numpy", "ndarray.dumps") + b".",
        r"asks for numpy\.ndarray\.dumps,",
    ),
    "an allowed name that is only a name": (
        lambda c: b"\x80\x02cnumpy\nndarray\n" + text(str(c)) + b"\x85R.",
        rf"calls numpy\.ndarray, {_NOT_A_WAY}",
    ),
    "a memory map of a file": (
        lambda c: (
            b"\x80\x02cnumpy.core.memmap\nmemmap\n(" + text(str(c)) + text("float32") + text("w+") + b"K\x00K\x08tR."
        ),
        rf"calls numpy\.core\.memmap\.memmap, {_NOT_A_WAY}",
    ),
    "a class made by OBJ": (
        lambda c: b"(cnumpy\nmemmap\n" + text(str(c)) + b"o.",
        rf"calls numpy\.memmap, {_NOT_A_WAY}",
    ),
    "OBJ of a list": (lambda c: b"(]" + text(shell(c)) + b"o.", f"calls a list, {_NOT_A_WAY}"),
    "OBJ of nothing": (lambda c: b"(o.", "not enough values to unpack"),
    "INST of an allowed name": (
        lambda c: b"(" + text(str(c)) + b"icollections\ndefaultdict\n.",
        "the file makes a defaultdict with '",
    ),
    "NEWOBJ of a number": (lambda c: b"\x80\x02K\x01)\x81.", f"calls a int, {_NOT_A_WAY}"),
    "NEWOBJ_EX with names": (
        lambda c: b"\x80\x04ccollections\nOrderedDict\n)}" + text("a") + b"K\x01s\x92.",
        "makes an object with named arguments",
    ),
    "arguments that are no tuple": (
        lambda c: b"\x80\x02ccollections\nOrderedDict\n]R.",
        "arguments of collections.OrderedDict are a list",
    ),
    "BUILD sets the state of a dictionary": (
        lambda c: b"\x80\x02}}" + text("__class__") + b"cos\nsystem\nsb.",
        r"asks for os\.system,",
    ),
    "BUILD on a set": (lambda c: b"\x80\x04\x8f}b.", "sets the state of a set; nothing was run"),
    "BUILD on a number": (lambda c: b"\x80\x02K\x01}b.", "sets the state of a int; nothing was run"),
    "BUILD gives a defaultdict another factory": (
        lambda c: b"\x80\x02ccollections\ndefaultdict\n)R}" + text("default_factory") + b"cnumpy\nndarray\nsb.",
        "sets the state of a defaultdict; nothing was run",
    ),
    "BUILD with slots": (
        lambda c: b"\x80\x02ccollections\nOrderedDict\n)RN}" + text("move_to_end") + b"K\x01s\x86b.",
        "sets the state of a OrderedDict; nothing was run",
    ),
    "BUILD with __setstate__": (
        lambda c: b"\x80\x02}" + text("__setstate__") + b"cos\nsystem\ns}b.",
        r"asks for os\.system,",
    ),
    "BUILD on a name": (lambda c: b"\x80\x02cnumpy\nndarray\n}b.", "sets the state of a Named; nothing was run"),
    "BUILD twice": (lambda c: _array_state(b"](K\x01e")[:-1] + b"}b.", "sets the state of a ndarray; nothing was run"),
    "an extension code of one byte": (_extension, "asks for extension code 240, which is not on the list"),
    "an extension code of two bytes": (lambda c: b"\x80\x02\x83\xf0\x00.", "asks for extension code 240, which"),
    "an extension code of four bytes": (
        lambda c: b"\x80\x02\x84\xf0\x00\x00\x00.",
        "asks for extension code 240, which",
    ),
    "a persistent id that is a path": (
        lambda c: b"P../../../../etc/passwd\n.",
        "the file refers to an object outside itself",
    ),
    "a persistent id of a storage": (
        lambda c: b"\x80\x02(" + text("storage") + b"cos\nsystem\n" + text("0") + text("cpu") + b"K\x01tQ.",
        r"asks for os\.system,",
    ),
    "a pickle in bytes in a pickle": (
        lambda c: b"cpickle\nloads\n" + binary(pickle.dumps(touch(c))) + b"\x85R.",
        r"asks for pickle\.loads,",
    ),
    "a storage in a storage": (
        lambda c: (
            b"ctorch.storage\n_load_from_bytes\n"
            + binary(b"ctorch.storage\n_load_from_bytes\n" + binary(pickle.dumps(touch(c))) + b"\x85R.")
            + b"\x85R."
        ),
        r"asks for torch\.storage\._load_from_bytes,",
    ),
    "an object in an array": (
        lambda c: _array_state(b"](" + pickle.dumps(touch(c), 2)[2:-1] + b"e"),
        r"asks for __builtin__\.exec,",
    ),
    "addresses in an array of objects": (
        lambda c: _array_state(b"B\x08\x00\x00\x00ABCDEFGH"),
        "the objects of an array of shape",
    ),
    "addresses in a scalar object": (
        lambda c: b"cnumpy.core.multiarray\nscalar\n(" + _OBJECT_DTYPE + b"B\x08\x00\x00\x00ABCDEFGHtR.",
        "an array without a data type of numbers or text",
    ),
    "addresses in a buffer of objects": (
        lambda c: (
            b"cnumpy.core.numeric\n_frombuffer\n(B\x08\x00\x00\x00ABCDEFGH"
            + _OBJECT_DTYPE
            + b"K\x01\x85X\x01\x00\x00\x00CtR."
        ),
        "an array without a data type of numbers or text",
    ),
    "joblib's wrapper of objects": (
        lambda c: _joblib(
            text("dtype") + _OBJECT_DTYPE + b"s" + text("shape") + b"K\x01\x85s" + text("order") + text("C") + b"s",
            pickle.dumps(touch(c), 2) + b".",
        ),
        r"asks for __builtin__\.exec,",
    ),
    "joblib's wrapper of a class": (
        lambda c: _joblib(text("subclass") + b"cos\nsystem\ns"),
        r"asks for os\.system,",
    ),
    "joblib's wrapper of a file": (
        lambda c: b"cjoblib.numpy_pickle_compat\nZNDArrayWrapper\n)\x81}" + text("filename") + text(str(c)) + b"sb.",
        r"asks for joblib\.numpy_pickle_compat\.ZNDArrayWrapper,",
    ),
    "an out-of-band buffer": (lambda c: b"\x80\x05\x97\x98.", "refers to a buffer outside itself; nothing was run"),
    "a codec that inflates": (
        lambda c: b"c_codecs\nencode\n" + text("x") + text("zlib") + b"\x86R.",
        "encodes 'x' as 'zlib', expected text as latin1",
    ),
    "a factory that is a chain": (
        lambda c: b"ccollections\ndefaultdict\ncfunctools\npartial\n\x85R.",
        r"asks for functools\.partial,",
    ),
}
