"""More pickles that would run something: by the names they call, and by the ways in which they come to call them."""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path

from tests.core.attacks import binary, named, shell, text, touch

# What is called, given the canary's path or a shell command; by the library whose name it is.
_CALLED = {
    "the interpreter": (
        *("builtins exec", "builtins eval", "builtins compile", "builtins __import__", "builtins open"),
        *("builtins getattr", "builtins setattr", "builtins globals", "builtins vars", "builtins map", "builtins type"),
        *("builtins breakpoint", "builtins input", "builtins memoryview", "__builtin__ execfile", "__builtin__ file"),
        *("__builtin__ apply", "__builtin__ reduce", "__main__ __builtins__", "sys modules", "sys settrace"),
        *("importlib import_module", "importlib._bootstrap _load", "importlib.machinery SourceFileLoader"),
        *("runpy run_path", "runpy _run_code", "code InteractiveInterpreter", "codeop compile_command", "imp load_source"),
        *("marshal loads", "types FunctionType", "types CodeType", "types SimpleNamespace", "ctypes CDLL", "ctypes cast"),
        *("pickle loads", "pickle load", "pickle Unpickler", "_pickle loads", "cPickle loads", "dill loads", "shelve open"),
        *("timeit timeit", "cProfile run", "profile run", "pdb run", "bdb Bdb", "trace Trace", "doctest debug_script"),
        *("logging.config _resolve", "zipimport zipimporter", "pkgutil resolve_name", "pydoc locate", "venv create"),
    ),
    "the system": (
        *("os system", "os popen", "os execve", "os spawnv", "os remove", "os symlink", "os putenv", "os _exit"),
        *("posix system", "posix execv", "nt system", "nt startfile", "pty spawn", "platform popen", "commands getoutput"),
        *("subprocess Popen", "subprocess run", "subprocess check_output", "_posixsubprocess fork_exec", "shutil rmtree"),
        *("multiprocessing.util spawnv_passfds", "asyncio.subprocess create_subprocess_shell", "webbrowser open"),
        *("socket create_connection", "urllib.request urlopen", "http.client HTTPConnection", "ssl get_server_certificate"),
        *("io open", "_io FileIO", "io FileIO", "codecs open", "pathlib Path", "pathlib PosixPath", "linecache getline"),
        *("tempfile NamedTemporaryFile", "gzip open", "sqlite3 connect", "mmap mmap", "signal raise_signal"),
        *("pip main", "ensurepip _run_pip", "distutils.file_util write_file", "setuptools.sandbox run_setup"),
    ),
    "chains": (
        *("functools partial", "functools reduce", "functools partialmethod", "operator attrgetter", "operator methodcaller"),
        *("operator itemgetter", "itertools starmap", "itertools accumulate", "weakref ref", "contextlib ExitStack"),
        *("concurrent.futures ThreadPoolExecutor", "threading Thread", "threading Timer", "atexit register"),
        *("collections UserDict", "collections Counter", "collections namedtuple", "collections ChainMap", "abc ABCMeta"),
        *("enum Enum", "dataclasses make_dataclass", "string Formatter", "copyreg __reduce_ex__", "copyreg pickle"),
        *("copyreg add_extension", "copyreg __newobj__", "copyreg constructor", "_codecs decode", "codecs decode"),
        *("uuid _get_command_stdout", "gc get_objects", "inspect getmembers", "unittest.mock Mock", "ast literal_eval"),
    ),
    "NumPy": (
        *("numpy load", "numpy save", "numpy fromfile", "numpy loadtxt", "numpy genfromtxt", "numpy DataSource"),
        *("numpy vectorize", "numpy frompyfunc", "numpy fromfunction", "numpy apply_along_axis", "numpy fromregex"),
        *("numpy.ctypeslib load_library", "numpy.f2py compile", "numpy.f2py.crackfortran getlincoef"),
        *("numpy.f2py.crackfortran _eval_length", "numpy.distutils.exec_command exec_command", "numpy.testing rundocs"),
        *("numpy.core.multiarray fromfile", "numpy.core.multiarray set_string_function", "numpy.lib.format open_memmap"),
        *("numpy.core._internal _ctypes", "numpy.lib.npyio NpzFile", "numpy.core.records fromfile", "numpy.ma.core _mareconstruct"),
        *("numpy._core._multiarray_umath from_dlpack", "numpy.random._pickle __randomstate_ctor", "numpy.core.memmap open_memmap"),
    ),
    "PyTorch": (
        *("torch load", "torch.serialization load", "torch.hub load", "torch.jit load", "torch.jit._script unpackage_script_module"),
        *("torch.ops load_library", "torch.classes load_library", "torch.package PackageImporter", "torch.utils.collect_env run"),
        *("torch._dynamo.guards GuardBuilder.get", "torch._inductor.codecache compile_file", "torch._C _load_for_mobile"),
        *("torch.fx.experimental.symbolic_shapes ShapeEnv.evaluate_guards_expression", "torch._tensor _rebuild_from_type_v2"),
        *("torch.utils._config_module ConfigModule.load_config", "torch.utils.bottleneck.__main__ run_cprofile"),
        *("torch._utils _rebuild_wrapper_subclass", "torch._utils _rebuild_device_tensor_from_numpy", "torch Tensor.tofile"),
        *("torch UntypedStorage.from_file", "torch.nn.modules.linear Linear", "torch.fx.graph_module reduce_graph_module"),
        *("torch.multiprocessing.reductions rebuild_storage_filename", "torch.storage TypedStorage._from_buffer"),
        *("torch.distributed.rpc.internal _run_function", "torch.utils.cpp_extension load_inline", "torch.onnx export"),
    ),
    "joblib, SciPy, pandas and others": (
        *("joblib load", "joblib.numpy_pickle load", "joblib.numpy_pickle NumpyUnpickler", "joblib.numpy_pickle ZNDArrayWrapper"),
        *("joblib.numpy_pickle_compat NDArrayWrapper", "joblib.numpy_pickle_compat ZNDArrayWrapper", "joblib.memory MemorizedFunc"),
        *("joblib.memory MemorizedResult", "joblib.func_inspect get_func_code", "joblib.externals.cloudpickle.cloudpickle _make_function"),
        *("joblib.externals.loky.backend.spawn get_command_line", "joblib.backports make_memmap", "cloudpickle loads"),
        *("scipy.io loadmat", "scipy.sparse load_npz", "scipy.sparse.linalg LinearOperator", "scipy.weave inline"),
        *("pandas read_pickle", "pandas eval", "pandas.io.common get_handle", "sklearn.externals.joblib load", "yaml unsafe_load"),
        *("chumpy.ch ChLambda", "chumpy.utils timer", "PIL.Image open", "smplx.body_models SMPL", "safetensors safe_open"),
        *("smoothnet_core.restricted_pickle load_pickle", "smpl_tools.formats read", "smoothnet_core._pickle_machine Machine"),
    ),
}
_CALLED["names with dots"] = (
    *("collections OrderedDict.__init__.__globals__", "collections abc.sys.modules", "collections _sys.modules"),
    *("numpy f2py.os.system", "numpy ctypeslib.os.system", "numpy ndarray.tofile", "numpy __builtins__", "numpy dtype.__reduce__"),
    *("builtins set.__class__", "builtins list.__subclasses__", "builtins object.__subclasses__", "_codecs encode.__self__"),
    *("copyreg _reconstructor.__globals__", "torch._utils _rebuild_tensor_v2.__globals__", "posixpath os.system"),
)


def _globals(module: str, name: str, canary: Path) -> dict[str, bytes]:
    argument = text(shell(canary)) + b"\x85"
    line = f"{module}\n{name}\n".encode()
    # A third way for each: INST, which names and calls at once.
    return {
        "GLOBAL": b"\x80\x02c" + line + argument + b"R.",
        "STACK_GLOBAL": b"\x80\x04" + named(module, name) + argument + b"R.",
        "INST": b"(" + text(shell(canary)) + b"i" + line + b".",
    }


def by_name() -> dict[str, tuple[Callable[[Path], bytes], str]]:
    """Return for every name and way of naming how to make the pickle, and what its refusal must say."""
    found: dict[str, tuple[Callable[[Path], bytes], str]] = {}
    for kind, names in _CALLED.items():
        for each in names:
            module, name = each.split(" ", 1)
            for way in ("GLOBAL", "STACK_GLOBAL", "INST"):

                def make(canary: Path, module: str = module, name: str = name, way: str = way) -> bytes:
                    return _globals(module, name, canary)[way]

                asked = rf"the file asks for {re.escape(f'{module}.{name}')}, which is not on the list of data types"
                found[f"{kind}: {module}.{name}, {way}"] = (make, asked)
    return found


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
        lambda c: b"cbuiltins\ngetattr\ncbuiltins\n__import__\n" + text("os") + b"\x85R" + text("system") + b"\x86R" + text(shell(c)) + b"\x85R.",
        r"asks for builtins\.getattr,",
    ),
    "an allowed call around one that is not": (
        lambda c: b"ccollections\nOrderedDict\n]" + b"cos\nsystem\n" + text(shell(c)) + b"\x85Ra\x85R.",
        r"asks for os\.system,",
    ),
    "the module by way of the memo": (
        lambda c: b"\x80\x04" + _short("collections") + b"\x940" + _short("os") + b"q\x000h\x00" + _short("system") + b"\x93" + text(shell(c)) + b"\x85R.",
        r"asks for os\.system,",
    ),
    "a memo that is written twice": (
        lambda c: b"\x80\x02" + text("OrderedDict") + b"q\x050" + text("system") + b"q\x050" + text("os") + b"h\x05\x93" + text(shell(c)) + b"\x85R.",
        r"asks for os\.system,",
    ),
    "a name of Python 2's bytes": (
        lambda c: b"\x80\x02U\x02osU\x06system\x93" + text(shell(c)) + b"\x85R.",
        r"asks for os\.system,",
    ),
    "a name that ends in a blank": (lambda c: b"\x80\x04" + named("os ", "system") + b".", r"asks for os \.system,"),
    "a name with zeros": (lambda c: b"\x80\x04" + named("collections\0", "OrderedDict") + b".", r"asks for collections\\x00\.OrderedDict,"),
    "a name in letters that look alike": (lambda c: b"\x80\x04" + named("numpy", "dtyре") + b".", "asks for numpy.dty"),
    "an endless name": (lambda c: b"\x80\x04" + named("a" * 10**6, "b" * 10**6) + b".", r"asks for a{120}\.\.\., which"),
    "a name that is a number": (lambda c: b"\x80\x04K\x01K\x02\x93.", "a global is named by something other than text"),
    "a name that is a name": (lambda c: b"\x80\x04ccollections\nOrderedDict\n" + text("x") + b"\x93.", "named by something other than text"),
    "a method of an allowed class": (lambda c: b"\x80\x04" + named("numpy", "ndarray.dumps") + b".", r"asks for numpy\.ndarray\.dumps,"),
    "an allowed name that is only a name": (lambda c: b"\x80\x02cnumpy\nndarray\n" + text(str(c)) + b"\x85R.", rf"calls numpy\.ndarray, {_NOT_A_WAY}"),
    "a memory map of a file": (
        lambda c: b"\x80\x02cnumpy.core.memmap\nmemmap\n(" + text(str(c)) + text("float32") + text("w+") + b"K\x00K\x08tR.",
        rf"calls numpy\.core\.memmap\.memmap, {_NOT_A_WAY}",
    ),
    "a class made by OBJ": (lambda c: b"(cnumpy\nmemmap\n" + text(str(c)) + b"o.", rf"calls numpy\.memmap, {_NOT_A_WAY}"),
    "OBJ of a list": (lambda c: b"(]" + text(shell(c)) + b"o.", f"calls a list, {_NOT_A_WAY}"),
    "OBJ of nothing": (lambda c: b"(o.", "not enough values to unpack"),
    "INST of an allowed name": (lambda c: b"(" + text(str(c)) + b"icollections\ndefaultdict\n.", "the file makes a defaultdict with '"),
    "NEWOBJ of a number": (lambda c: b"\x80\x02K\x01)\x81.", f"calls a int, {_NOT_A_WAY}"),
    "NEWOBJ_EX with names": (lambda c: b"\x80\x04ccollections\nOrderedDict\n)}" + text("a") + b"K\x01s\x92.", "makes an object with named arguments"),
    "arguments that are no tuple": (lambda c: b"\x80\x02ccollections\nOrderedDict\n]R.", "arguments of collections.OrderedDict are a list"),
    "BUILD sets the state of a dictionary": (lambda c: b"\x80\x02}}" + text("__class__") + b"cos\nsystem\nsb.", r"asks for os\.system,"),
    "BUILD on a set": (lambda c: b"\x80\x04\x8f}b.", "sets the state of a set; nothing was run"),
    "BUILD on a number": (lambda c: b"\x80\x02K\x01}b.", "sets the state of a int; nothing was run"),
    "BUILD gives a defaultdict another factory": (
        lambda c: b"\x80\x02ccollections\ndefaultdict\n)R}" + text("default_factory") + b"cnumpy\nndarray\nsb.",
        "sets the state of a defaultdict; nothing was run",
    ),
    "BUILD with slots": (lambda c: b"\x80\x02ccollections\nOrderedDict\n)RN}" + text("move_to_end") + b"K\x01s\x86b.", "sets the state of a OrderedDict; nothing was run"),
    "BUILD with __setstate__": (lambda c: b"\x80\x02}" + text("__setstate__") + b"cos\nsystem\ns}b.", r"asks for os\.system,"),
    "BUILD on a name": (lambda c: b"\x80\x02cnumpy\nndarray\n}b.", "sets the state of a Named; nothing was run"),
    "BUILD twice": (lambda c: _array_state(b"](K\x01e")[:-1] + b"}b.", "sets the state of a ndarray; nothing was run"),
    "an extension code of one byte": (_extension, "asks for extension code 240, which is not on the list"),
    "an extension code of two bytes": (lambda c: b"\x80\x02\x83\xf0\x00.", "asks for extension code 240, which"),
    "an extension code of four bytes": (lambda c: b"\x80\x02\x84\xf0\x00\x00\x00.", "asks for extension code 240, which"),
    "a persistent id that is a path": (lambda c: b"P../../../../etc/passwd\n.", "the file refers to an object outside itself"),
    "a persistent id of a storage": (
        lambda c: b"\x80\x02(" + text("storage") + b"cos\nsystem\n" + text("0") + text("cpu") + b"K\x01tQ.",
        r"asks for os\.system,",
    ),
    "a pickle in bytes in a pickle": (
        lambda c: b"cpickle\nloads\n" + binary(pickle.dumps(touch(c))) + b"\x85R.",
        r"asks for pickle\.loads,",
    ),
    "a storage in a storage": (
        lambda c: b"ctorch.storage\n_load_from_bytes\n" + binary(b"ctorch.storage\n_load_from_bytes\n" + binary(pickle.dumps(touch(c))) + b"\x85R.") + b"\x85R.",
        r"asks for torch\.storage\._load_from_bytes,",
    ),
    "an object in an array": (lambda c: _array_state(b"](" + pickle.dumps(touch(c), 2)[2:-1] + b"e"), r"asks for __builtin__\.exec,"),
    "addresses in an array of objects": (lambda c: _array_state(b"B\x08\x00\x00\x00ABCDEFGH"), "the objects of an array of shape"),
    "addresses in a scalar object": (
        lambda c: b"cnumpy.core.multiarray\nscalar\n(" + _OBJECT_DTYPE + b"B\x08\x00\x00\x00ABCDEFGHtR.",
        "an array without a data type of numbers or text",
    ),
    "addresses in a buffer of objects": (
        lambda c: b"cnumpy.core.numeric\n_frombuffer\n(B\x08\x00\x00\x00ABCDEFGH" + _OBJECT_DTYPE + b"K\x01\x85X\x01\x00\x00\x00CtR.",
        "an array without a data type of numbers or text",
    ),
    "joblib's wrapper of objects": (
        lambda c: _joblib(text("dtype") + _OBJECT_DTYPE + b"s" + text("shape") + b"K\x01\x85s" + text("order") + text("C") + b"s", pickle.dumps(touch(c), 2) + b"."),
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
    "a codec that inflates": (lambda c: b"c_codecs\nencode\n" + text("x") + text("zlib") + b"\x86R.", "encodes 'x' as 'zlib', expected text as latin1"),
    "a factory that is a chain": (lambda c: b"ccollections\ndefaultdict\ncfunctools\npartial\n\x85R.", r"asks for functools\.partial,"),
}
