"""What runs in the other Python: a script that refines what comes over stdin, and answers over stdout.

A frame is ``MAGIC``, the length of a header (4 bytes, little-endian), the header (JSON, UTF-8), then the arrays that
the header's ``arrays`` lists as name: [dtype, shape], one after the other, C order, little-endian. ``type`` says what
a frame is, ``id`` which request it belongs to:

    to the worker     start (protocol, package: folder of ``smoothnet_core``), refine (keywords; array track, ...)
    from the worker   ready (protocol, device, hint) or refused (message); result (array track) or failed (message);
                      alive, twice a second while it works

The worker ends when its stdin does, also in the middle of work, and when nothing was asked for ten minutes. Nothing
but the standard library is imported before it has looked at the Python that runs it, and this file parses on Python
3.7, so that an older one is told what it lacks.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import queue
import struct
import sys
import threading
from pathlib import Path

PROTOCOL = 1
MAGIC = b"smooth\x00\x01"
OLDEST_PYTHON = (3, 11)
# What ``smoothnet_core`` needs; torch is welcome.
NEEDED = ("numpy", "scipy", "safetensors")
BEAT, IDLE = 0.5, 600.0
LARGEST_HEADER = 1 << 20
SIZES = {"|b1": 1, "|u1": 1, "|i1": 1, "<i2": 2, "<i4": 4, "<i8": 8, "<f2": 2, "<f4": 4, "<f8": 8}


class ProtocolError(ValueError):
    """What came is no frame."""


def write_frame(stream, header, arrays=None) -> None:
    """Write a frame.

    Args:
        stream: binary.
        header: a dictionary of what JSON can say; NumPy's numbers too.
        arrays: NumPy arrays by name, C-ordered, of the types in ``SIZES``.
    """
    arrays = arrays or {}
    listed = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    text = json.dumps({**header, "arrays": listed}, default=lambda value: value.item()).encode()
    stream.write(MAGIC + struct.pack("<I", len(text)) + text)
    for array in arrays.values():
        # A flat view of bytes: memoryview casts no array that has no numbers.
        if array.size:
            stream.write(memoryview(array).cast("B"))
    stream.flush()


def read_frame(stream, largest, skipped=0):
    """Read a frame.

    Args:
        stream: binary.
        largest: function that returns how many bytes its arrays may have together, asked when a frame has come.
        skipped: bytes that may come before it, for what a Python says before the worker has the stream.

    Returns:
        The header, and by name (dtype, shape, bytes) of the arrays; None at the end of the stream.

    Raises:
        ProtocolError: it is none, or larger.
    """
    start = stream.read(len(MAGIC))
    while start and not start.endswith(MAGIC):
        if len(start) >= skipped + len(MAGIC):
            raise ProtocolError(f"answered {start[:40]!r}")
        more = stream.read(1)
        if not more:
            raise ProtocolError(f"answered {start[:40]!r} and ended")
        start += more
    if not start:
        return None
    (length,) = struct.unpack("<I", _exactly(stream, 4))
    if length > LARGEST_HEADER:
        raise ProtocolError(f"answered with a header of {length} bytes")
    try:
        header = json.loads(_exactly(stream, length).decode())
        listed = {str(name): _described(*entry) for name, entry in header["arrays"].items()}
        header["type"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ProtocolError("answered with a header that says nothing") from None
    if sum(size for _, _, size in listed.values()) > largest():
        raise ProtocolError("answered with more than was asked for")
    return header, {name: (dtype, shape, _exactly(stream, size)) for name, (dtype, shape, size) in listed.items()}


def _described(dtype, shape):
    if dtype not in SIZES or not all(type(length) is int and length >= 0 for length in shape):
        raise ProtocolError
    return dtype, tuple(shape), SIZES[dtype] * math.prod(shape)


def _exactly(stream, size):
    content = bytearray(size)
    view, done = memoryview(content), 0
    while done < size:
        count = stream.readinto(view[done:])
        if not count:
            raise ProtocolError("ended in the middle of an answer")
        done += count
    return content


class TorchDevice:
    """The best device that this Python's torch has, and how to refine on it.

    Attributes:
        name: of the device and torch's version.
        hint: why it is no GPU; empty where it is one.
    """

    def __init__(self) -> None:
        torch = importlib.import_module("torch")
        self._torch, self._device, self.hint = torch, "cpu", ""
        name = f"CPU, {torch.get_num_threads()} threads"
        if not torch.cuda.is_available():
            built = torch.version.cuda or torch.version.hip
            self.hint = "torch sees no GPU" if built else "this torch was built without CUDA"
        else:
            try:
                # The first use shows whether driver and torch get on.
                torch.zeros(1, device="cuda").add_(1).cpu()
                self._device, name = "cuda", torch.cuda.get_device_name()
            except RuntimeError as error:
                self.hint = f"torch cannot use the GPU: {one_line(error)}"
        self.name = f"{name}, torch {torch.__version__}"

    def refine(self, track, **keywords):
        """Refine a NumPy array as ``smoothnet_core.refine`` does; the result is a NumPy array."""
        torch = self._torch
        refine = importlib.import_module("smoothnet_core").refine
        tensor = torch.as_tensor(track, device=self._device)
        result = refine(tensor, backend="torch", **keywords).cpu().numpy()
        if self._device == "cuda":
            # Memory that is kept for the next take is missed by a render meanwhile.
            torch.cuda.empty_cache()
        return result


class _NumPy:
    def __init__(self, hint) -> None:
        self.name, self.hint = f"CPU, {os.cpu_count()} cores, SciPy", hint
        self.refine = importlib.import_module("smoothnet_core").refine


def one_line(error, limit=300) -> str:
    """Return what an exception says, on one line of at most ``limit`` characters."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def shown_command(python, *names) -> str:
    """Return the command that installs packages into a Python."""
    return f'"{python}" -m pip install {" ".join(names)}'


class _Refused(Exception):
    pass


def _prepared(start):
    """Look at this Python and load ``smoothnet_core``; return what refines."""
    python = sys.executable
    if start.get("type") != "start" or start.get("protocol") != PROTOCOL:
        raise _Refused(f"{python} was asked for protocol {start.get('protocol')}, this worker has {PROTOCOL}")
    if sys.version_info < OLDEST_PYTHON:
        oldest, own = ".".join(map(str, OLDEST_PYTHON)), ".".join(map(str, sys.version_info[:3]))
        raise _Refused(f"{python} is Python {own}: {oldest} or newer is needed")
    torch_missing = _is_missing("torch")
    missing = [name for name in NEEDED if _is_missing(name)]
    if missing:
        wanted = [*missing, "torch"] if torch_missing else missing
        raise _Refused(f"{python} has no {' and no '.join(missing)}: {shown_command(python, *wanted)}")
    try:
        _load_package(Path(start["package"]))
        # What is imported at the first use is imported now.
        _ = importlib.import_module("smoothnet_core").refine
    except Exception as error:
        raise _Refused(f"{python} cannot load smoothnet_core: {one_line(error)}") from None
    if torch_missing:
        return _NumPy(f"no torch there: {shown_command(python, 'torch')}")
    try:
        return TorchDevice()
    except Exception as error:
        return _NumPy(f"torch there does not load: {one_line(error)}")


def _is_missing(name) -> bool:
    return importlib.util.find_spec(name) is None


def _load_package(folder) -> None:
    """Import the package from its folder alone: what lies beside it was built for another Python."""
    spec = importlib.util.spec_from_file_location(
        "smoothnet_core", str(folder / "__init__.py"), submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no package in {folder}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["smoothnet_core"] = module
    spec.loader.exec_module(module)


class _Line:
    """The two streams, taken away from everybody else, and the sign of life."""

    def __init__(self) -> None:
        self._stdin, self._stdout = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        # What a library prints goes to stderr. On Windows, loading a library would also wait for ever on a standard
        # stream that another thread reads.
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self.requests: queue.Queue = queue.Queue()
        self._lock = threading.Lock()
        self._busy = None
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def work_on(self, number) -> None:
        self._busy = number
        self._send({"type": "alive", "id": number})

    def answer(self, header, arrays=None) -> None:
        number, self._busy = self._busy, None
        self._send({**header, "id": number}, arrays)

    def _send(self, header, arrays=None) -> None:
        try:
            with self._lock:
                write_frame(self._stdout, header, arrays)
        except OSError:
            os._exit(0)

    def _read(self) -> None:
        try:
            while (frame := read_frame(self._stdin, lambda: sys.maxsize)) is not None:
                self.requests.put(frame)
        finally:
            # Whoever asked is gone, or says what nobody understands; work in progress is for nobody.
            os._exit(0)

    def _beat(self) -> None:
        pause = threading.Event()
        while not pause.wait(BEAT):
            number = self._busy
            if number is not None:
                self._send({"type": "alive", "id": number})


def main() -> None:
    """Answer requests until there are no more."""
    line = _Line()
    start, _ = line.requests.get()
    line.work_on(start.get("id"))
    try:
        device = _prepared(start)
    except _Refused as refusal:
        line.answer({"type": "refused", "protocol": PROTOCOL, "message": str(refusal)})
        return
    line.answer({"type": "ready", "protocol": PROTOCOL, "device": device.name, "hint": device.hint})
    import numpy as np

    while True:
        try:
            header, given = line.requests.get(timeout=IDLE)
        except queue.Empty:
            return
        line.work_on(header.get("id"))
        try:
            arrays = {
                name: np.frombuffer(content, dtype).reshape(shape) for name, (dtype, shape, content) in given.items()
            }
            result = device.refine(arrays.pop("track"), **header["keywords"], **arrays)
        except Exception as error:
            line.answer({"type": "failed", "message": one_line(error)})
        else:
            line.answer({"type": "result"}, {"track": np.ascontiguousarray(result)})


if __name__ == "__main__":
    main()
