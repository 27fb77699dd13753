"""Pickles that would run something by the names that they call: those of many libraries, in three ways of naming."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.core.attacks import named, shell, text

# What is called, given the canary's path or a shell command; by the library whose name it is.
_CALLED = {
    "the interpreter": (
        *("builtins exec", "builtins eval", "builtins compile", "builtins __import__", "builtins open"),
        *("builtins getattr", "builtins setattr", "builtins globals", "builtins vars", "builtins map", "builtins type"),
        *("builtins breakpoint", "builtins input", "builtins memoryview", "__builtin__ execfile", "__builtin__ file"),
        *("__builtin__ apply", "__builtin__ reduce", "__main__ __builtins__", "sys modules", "sys settrace"),
        *("importlib import_module", "importlib._bootstrap _load", "importlib.machinery SourceFileLoader"),
        *(
            "runpy run_path",
            "runpy _run_code",
            "code InteractiveInterpreter",
            "codeop compile_command",
            "imp load_source",
        ),
        *(
            "marshal loads",
            "types FunctionType",
            "types CodeType",
            "types SimpleNamespace",
            "ctypes CDLL",
            "ctypes cast",
        ),
        *(
            "pickle loads",
            "pickle load",
            "pickle Unpickler",
            "_pickle loads",
            "cPickle loads",
            "dill loads",
            "shelve open",
        ),
        *("timeit timeit", "cProfile run", "profile run", "pdb run", "bdb Bdb", "trace Trace", "doctest debug_script"),
        *("logging.config _resolve", "zipimport zipimporter", "pkgutil resolve_name", "pydoc locate", "venv create"),
    ),
    "the system": (
        *("os system", "os popen", "os execve", "os spawnv", "os remove", "os symlink", "os putenv", "os _exit"),
        *(
            "posix system",
            "posix execv",
            "nt system",
            "nt startfile",
            "pty spawn",
            "platform popen",
            "commands getoutput",
        ),
        *(
            "subprocess Popen",
            "subprocess run",
            "subprocess check_output",
            "_posixsubprocess fork_exec",
            "shutil rmtree",
        ),
        *("multiprocessing.util spawnv_passfds", "asyncio.subprocess create_subprocess_shell", "webbrowser open"),
        *(
            "socket create_connection",
            "urllib.request urlopen",
            "http.client HTTPConnection",
            "ssl get_server_certificate",
        ),
        *(
            "io open",
            "_io FileIO",
            "io FileIO",
            "codecs open",
            "pathlib Path",
            "pathlib PosixPath",
            "linecache getline",
        ),
        *("tempfile NamedTemporaryFile", "gzip open", "sqlite3 connect", "mmap mmap", "signal raise_signal"),
        *("pip main", "ensurepip _run_pip", "distutils.file_util write_file", "setuptools.sandbox run_setup"),
    ),
    "chains": (
        *(
            "functools partial",
            "functools reduce",
            "functools partialmethod",
            "operator attrgetter",
            "operator methodcaller",
        ),
        *("operator itemgetter", "itertools starmap", "itertools accumulate", "weakref ref", "contextlib ExitStack"),
        *("concurrent.futures ThreadPoolExecutor", "threading Thread", "threading Timer", "atexit register"),
        *(
            "collections UserDict",
            "collections Counter",
            "collections namedtuple",
            "collections ChainMap",
            "abc ABCMeta",
        ),
        *("enum Enum", "dataclasses make_dataclass", "string Formatter", "copyreg __reduce_ex__", "copyreg pickle"),
        *("copyreg add_extension", "copyreg __newobj__", "copyreg constructor", "_codecs decode", "codecs decode"),
        *("uuid _get_command_stdout", "gc get_objects", "inspect getmembers", "unittest.mock Mock", "ast literal_eval"),
    ),
    "NumPy": (
        *("numpy load", "numpy save", "numpy fromfile", "numpy loadtxt", "numpy genfromtxt", "numpy DataSource"),
        *("numpy vectorize", "numpy frompyfunc", "numpy fromfunction", "numpy apply_along_axis", "numpy fromregex"),
        *("numpy.ctypeslib load_library", "numpy.f2py compile", "numpy.f2py.crackfortran getlincoef"),
        *("numpy.f2py.crackfortran _eval_length", "numpy.distutils.exec_command exec_command", "numpy.testing rundocs"),
        *(
            "numpy.core.multiarray fromfile",
            "numpy.core.multiarray set_string_function",
            "numpy.lib.format open_memmap",
        ),
        *(
            "numpy.core._internal _ctypes",
            "numpy.lib.npyio NpzFile",
            "numpy.core.records fromfile",
            "numpy.ma.core _mareconstruct",
        ),
        *(
            "numpy._core._multiarray_umath from_dlpack",
            "numpy.random._pickle __randomstate_ctor",
            "numpy.core.memmap open_memmap",
        ),
    ),
    "PyTorch": (
        *(
            "torch load",
            "torch.serialization load",
            "torch.hub load",
            "torch.jit load",
            "torch.jit._script unpackage_script_module",
        ),
        *(
            "torch.ops load_library",
            "torch.classes load_library",
            "torch.package PackageImporter",
            "torch.utils.collect_env run",
        ),
        *(
            "torch._dynamo.guards GuardBuilder.get",
            "torch._inductor.codecache compile_file",
            "torch._C _load_for_mobile",
        ),
        *(
            "torch.fx.experimental.symbolic_shapes ShapeEnv.evaluate_guards_expression",
            "torch._tensor _rebuild_from_type_v2",
        ),
        *("torch.utils._config_module ConfigModule.load_config", "torch.utils.bottleneck.__main__ run_cprofile"),
        *(
            "torch._utils _rebuild_wrapper_subclass",
            "torch._utils _rebuild_device_tensor_from_numpy",
            "torch Tensor.tofile",
        ),
        *(
            "torch UntypedStorage.from_file",
            "torch.nn.modules.linear Linear",
            "torch.fx.graph_module reduce_graph_module",
        ),
        *("torch.multiprocessing.reductions rebuild_storage_filename", "torch.storage TypedStorage._from_buffer"),
        *("torch.distributed.rpc.internal _run_function", "torch.utils.cpp_extension load_inline", "torch.onnx export"),
    ),
    "joblib, SciPy, pandas and others": (
        *(
            "joblib load",
            "joblib.numpy_pickle load",
            "joblib.numpy_pickle NumpyUnpickler",
            "joblib.numpy_pickle ZNDArrayWrapper",
        ),
        *(
            "joblib.numpy_pickle_compat NDArrayWrapper",
            "joblib.numpy_pickle_compat ZNDArrayWrapper",
            "joblib.memory MemorizedFunc",
        ),
        *(
            "joblib.memory MemorizedResult",
            "joblib.func_inspect get_func_code",
            "joblib.externals.cloudpickle.cloudpickle _make_function",
        ),
        *("joblib.externals.loky.backend.spawn get_command_line", "joblib.backports make_memmap", "cloudpickle loads"),
        *("scipy.io loadmat", "scipy.sparse load_npz", "scipy.sparse.linalg LinearOperator", "scipy.weave inline"),
        *(
            "pandas read_pickle",
            "pandas eval",
            "pandas.io.common get_handle",
            "sklearn.externals.joblib load",
            "yaml unsafe_load",
        ),
        *(
            "chumpy.ch ChLambda",
            "chumpy.utils timer",
            "PIL.Image open",
            "smplx.body_models SMPL",
            "safetensors safe_open",
        ),
        *(
            "smoothnet_core.restricted_pickle load_pickle",
            "smpl_tools.formats read",
            "smoothnet_core._pickle_machine Machine",
        ),
    ),
}
_CALLED["names with dots"] = (
    *("collections OrderedDict.__init__.__globals__", "collections abc.sys.modules", "collections _sys.modules"),
    *(
        "numpy f2py.os.system",
        "numpy ctypeslib.os.system",
        "numpy ndarray.tofile",
        "numpy __builtins__",
        "numpy dtype.__reduce__",
    ),
    *(
        "builtins set.__class__",
        "builtins list.__subclasses__",
        "builtins object.__subclasses__",
        "_codecs encode.__self__",
    ),
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
