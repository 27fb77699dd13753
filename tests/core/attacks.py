"""Pickles that would run something, each with the name that its refusal must state."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Call:
    """An object whose pickle calls ``callee`` with ``arguments``."""

    def __init__(self, callee: Any, *arguments: Any) -> None:
        self.callee, self.arguments = callee, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.callee, self.arguments


def touch(canary: Path) -> Call:
    """An object whose pickle creates the file ``canary``."""
    return Call(exec, f"open({str(canary)!r}, 'w').close()")


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def shell(canary: Path) -> str:
    return f"touch {canary}"


# By a title: from the path of the canary to a pickle, and what the refusal must say.
ATTACKS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    **{
        f"exec, protocol {protocol}": (
            lambda canary, protocol=protocol: pickle.dumps([1, {"a": touch(canary)}], protocol),
            "the file asks for (__builtin__|builtins).exec, which is not on the list of data types; nothing was run",
        )
        for protocol in range(6)
    },
    "os.system": (lambda c: b"cos\nsystem\n(" + text(shell(c)) + b"tR.", r"asks for os\.system,"),
    "posix.system": (lambda c: b"cposix\nsystem\n(" + text(shell(c)) + b"tR.", r"asks for posix\.system,"),
    "eval": (lambda c: b"cbuiltins\neval\n(" + text(f"open({str(c)!r},'w')") + b"tR.", r"asks for builtins\.eval,"),
    "INST": (lambda c: b"(" + text(shell(c)) + b"ios\nsystem\n.", r"asks for os\.system,"),
    "OBJ": (lambda c: b"(cos\nsystem\n" + text(shell(c)) + b"o.", r"asks for os\.system,"),
    "NEWOBJ": (
        lambda c: b"\x80\x02csubprocess\nPopen\n" + text(shell(c)) + b"\x85\x81.",
        r"asks for subprocess\.Popen,",
    ),
    "NEWOBJ_EX": (
        lambda c: b"\x80\x04" + named("subprocess", "Popen") + text(shell(c)) + b"\x85}\x92.",
        r"asks for subprocess\.Popen,",
    ),
    "dotted": (
        lambda c: b"\x80\x04" + named("collections", "OrderedDict.__init__.__globals__") + b".",
        r"asks for collections\.OrderedDict\.__init__\.__globals__,",
    ),
    "dotted through numpy": (
        lambda c: b"\x80\x04" + named("numpy", "ndarray.tofile") + b".",
        r"asks for numpy\.ndarray\.tofile,",
    ),
    "getattr": (lambda c: b"\x80\x04" + named("builtins", "getattr") + b".", r"asks for builtins\.getattr,"),
    "a line break in a name": (
        lambda c: b"\x80\x04" + named("os\nsystem", "a\x1b[2J") + b".",
        r"asks for os system\.a\\x1b\[2J,",
    ),
    "call a name": (
        lambda c: b"cnumpy\nmemmap\n(" + text(str(c)) + b"tR.",
        r"the file calls numpy\.memmap, which is not a way to make data; nothing was run",
    ),
    "call a text": (lambda c: text("os.system") + text(shell(c)) + b"\x85R.", "the file calls a str, which is not"),
    "factory": (
        lambda c: b"ccollections\ndefaultdict\ncnumpy\nndarray\n\x85R.",
        r"makes a defaultdict with numpy\.ndarray; nothing was run",
    ),
    "factory that is no name": (
        lambda c: b"ccollections\ndefaultdict\n]\x85R.",
        "makes a defaultdict with a list; nothing was run",
    ),
    "state of a name": (
        lambda c: b"ccollections\nOrderedDict\n}" + text("x") + b"K\x01sb.",
        "the file sets the state of a Named; nothing was run",
    ),
    "state of a list": (lambda c: b"]}b.", "the file sets the state of a list; nothing was run"),
    "persistent id": (lambda c: b"P1\n.", r"an object outside itself \(a persistent id\); nothing was run"),
    "binary persistent id": (lambda c: b"K\x01Q.", r"an object outside itself \(a persistent id\); nothing was run"),
    "extension code": (lambda c: b"\x80\x02\x82\x07.", "asks for extension code 7, which is not on the list"),
    "out-of-band buffer": (lambda c: b"\x80\x05\x97.", "a buffer outside itself; nothing was run"),
    "codec": (
        lambda c: b"c_codecs\nencode\n" + text("x") + text("rot13") + b"\x86R.",
        "encodes 'x' as 'rot13', expected text as latin1",
    ),
    "numpy runstring": (
        lambda c: b"cnumpy.testing._private.utils\nrunstring\n(" + text(f"open({str(c)!r},'w')") + b"}tR.",
        r"asks for numpy\.testing\._private\.utils\.runstring,",
    ),
    "numpy f2py": (lambda c: b"cnumpy.f2py.diagnose\nrun_command\n.", r"asks for numpy\.f2py\.diagnose\.run_command,"),
    "numpy load": (lambda c: b"cnumpy\nload\n(" + text(str(c)) + b"tR.", r"asks for numpy\.load,"),
    "joblib load": (lambda c: b"cjoblib\nload\n(" + text(str(c)) + b"tR.", r"asks for joblib\.load,"),
    "joblib companion file": (
        lambda c: b"cjoblib.numpy_pickle_compat\nNDArrayWrapper\n.",
        r"asks for joblib\.numpy_pickle_compat\.NDArrayWrapper,",
    ),
    "torch load": (lambda c: b"ctorch\nload\n(" + text(str(c)) + b"tR.", r"asks for torch\.load,"),
    "torch jit": (lambda c: b"ctorch.jit._script\nunpackage_script_module\n.", r"asks for torch\.jit\._script\.un"),
    "payload in a tensor's storage": (
        lambda c: b"ctorch.storage\n_load_from_bytes\n" + binary(pickle.dumps(touch(c))) + b"\x85R.",
        r"asks for builtins\.exec,",
    ),
    "a formula in Chumpy": (lambda c: b"cchumpy.ch\nChLambda\n.", r"asks for chumpy\.ch\.ChLambda,"),
    "code in Chumpy": (lambda c: b"cchumpy.utils\ntimer\n.", r"asks for chumpy\.utils\.timer,"),
    "SciPy's other classes": (
        lambda c: b"cscipy.sparse.linalg\nLinearOperator\n.",
        r"asks for scipy\.sparse\.linalg\.LinearOperator,",
    ),
    "SciPy's reader": (lambda c: b"cscipy.io\nloadmat\n(" + text(str(c)) + b"tR.", r"asks for scipy\.io\.loadmat,"),
}
# The same through the names that only plain pickles may mention.
OBJECT_ATTACKS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "reconstructor": (
        lambda c: b"ccopyreg\n_reconstructor\n(cos\nsystem\ncbuiltins\nobject\nNtR.",
        r"asks for os\.system,",
    ),
    "reconstructor of another class": (
        lambda c: b"ccopy_reg\n_reconstructor\n(cnumpy\nmemmap\nc__builtin__\nobject\nNtR.",
        r"makes an object of numpy\.memmap in a way that is not on the list; nothing was run",
    ),
    "reconstructor with another base": (
        lambda c: b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nlist\nNtR.",
        r"makes an object of chumpy\.ch\.Ch in a way that is not on the list",
    ),
    "reconstructor with a state": (
        lambda c: b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\n]tR.",
        r"makes an object of chumpy\.ch\.Ch in a way that is not on the list",
    ),
    "reconstructor of a text": (
        lambda c: b"ccopyreg\n_reconstructor\n(" + text("os") + b"cbuiltins\nobject\nNtR.",
        r"makes an object of 'os' in a way that is not",
    ),
    "object": (lambda c: b"cbuiltins\nobject\n)R.", r"calls builtins\.object, which is not a way to make data"),
    "a function in the state of a Chumpy array": (
        lambda c: b"\x80\x02cchumpy.ch\nCh\n)\x81}" + text("x") + b"cos\nsystem\nsb.",
        r"asks for os\.system,",
    ),
    "a call in the state of a Chumpy array": (
        lambda c: b"\x80\x02cchumpy.ch\nCh\n)\x81}" + text("x") + b"cos\nsystem\n(" + text(shell(c)) + b"tRsb.",
        r"asks for os\.system,",
    ),
}


def binary(raw: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(raw)) + raw


def assert_value_or_one_line(load: Callable[[Path], Any], path: Path) -> None:
    """Read a file that may be damaged: only a ``ValueError`` of one line that names it may come out."""
    message = f"{path}: "
    try:
        load(path)
    except ValueError as error:
        message = str(error)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message


def runs(attack: bytes) -> None:
    """Run a pickle as Python does: the proof that the attacks are attacks."""
    pickle.loads(attack)
