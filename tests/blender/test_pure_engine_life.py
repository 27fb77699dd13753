"""Life and death of engines: what another Python lacks, cancelling, leaving nothing behind, and the choice of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import smoothnet_core
from blender_addon.engine import engine_external, engine_worker, engines
from blender_addon.engine.engine_process import safe_environment
from tests.blender.fake_pythons import fake, gone, take

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the fake Pythons are scripts with a shebang")


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    engines.close_all()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python without a package."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    return folder / "bin" / "python"


def why_not(python: object, **how: object) -> str:
    result, message = engines.run_with_fallback(engines.ExternalEngine(python, **how), take(), kind="quat_wxyz")
    np.testing.assert_array_equal(result, smoothnet_core.refine(take(), kind="quat_wxyz"))
    assert message.startswith("Computed with the built-in engine: ")
    return message.removeprefix("Computed with the built-in engine: ")


def test_python_without_packages_says_how_to_get_them(bare: Path) -> None:
    assert why_not(bare) == (
        f'{bare} has no numpy and no scipy and no safetensors: "{bare}" -m pip install numpy scipy safetensors torch'
    )


def test_python_without_torch_computes_and_says_how_to_get_it(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The packages of this Python but torch, in that one.
    own = bare.parent.parent / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    linked = []
    for package in ("numpy", "scipy", "safetensors"):
        found = Path(__import__(package).__file__).parent
        for path in (found, found.with_name(f"{package}.libs")):
            if path.is_dir():
                linked.append(own / path.name)
                linked[-1].symlink_to(path)
    try:
        engine = engines.ExternalEngine(bare)
        assert engine.start() == f"CPU, {os.cpu_count()} cores, SciPy"
        assert engine.hint == f'no torch there: "{bare}" -m pip install torch'
        expected = smoothnet_core.refine(take(), kind="quat_wxyz")
        np.testing.assert_allclose(engine.refine(take(), kind="quat_wxyz"), expected, atol=2e-5)
        engine.close()
        (own / "torch").mkdir()
        linked.append(own / "torch" / "__init__.py")
        linked[-1].write_text("raise OSError('libcudart.so.13 is not there')")
        assert engine.start() == f"CPU, {os.cpu_count()} cores, SciPy"
        assert engine.hint == "torch there does not load: OSError: libcudart.so.13 is not there"
    finally:
        for link in linked:
            link.unlink()


def test_an_older_python_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_worker, "OLDEST_PYTHON", (99, 0))
    own = ".".join(map(str, sys.version_info[:3]))
    with pytest.raises(engine_worker._Refused, match=f"is Python {own}: 99.0 or newer is needed"):
        engine_worker._prepared({"type": "start", "protocol": engine_worker.PROTOCOL})


def test_worker_of_another_version_refuses() -> None:
    with pytest.raises(engine_worker._Refused, match="was asked for protocol 7, this worker has 1"):
        engine_worker._prepared({"type": "start", "protocol": 7})


def test_what_is_no_python_is_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "remove_all"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    plain = tmp_path / "python_text"
    plain.write_text("no program")
    broken = fake(tmp_path, "")
    broken.write_bytes(b"\x7fELF not really")
    assert why_not("") == "no Python is chosen in the preferences"
    assert why_not(tmp_path / "python") == f"{tmp_path / 'python'} is no file"
    assert why_not("python3") == "python3 is no file"
    assert why_not(tmp_path) == f"{tmp_path} is a folder: choose the Python in it, such as {tmp_path}/bin/python3"
    assert why_not(program) == f"{program} is no Python: choose a program such as {tmp_path}/bin/python3"
    assert why_not(plain) == f"{plain} is no Python: choose a program such as {tmp_path}/bin/python3"
    assert why_not(f"{sys.executable}; touch {ran}") == f"{sys.executable}; touch {ran} is no file"
    assert why_not(broken).startswith(f"{broken} cannot be run: OSError: ")
    assert not ran.exists()


def test_model_that_cannot_be_passed_on() -> None:
    engine = engines.ExternalEngine(sys.executable)
    result, message = engines.run_with_fallback(
        engine, take(), kind="quat_wxyz", model=smoothnet_core.load_model("fast")
    )
    assert message.endswith("another Python takes the model by its name or file, and plain numbers")
    np.testing.assert_array_equal(result, smoothnet_core.refine(take(), kind="quat_wxyz", model="fast"))


def test_wrong_arguments_are_the_callers() -> None:
    with pytest.raises(ValueError, match="kind: expected one of"):
        engines.run_with_fallback(engines.ExternalEngine(sys.executable), take(), kind="quaternions")


class Stopped(Exception):
    pass


@pytest.mark.parametrize(
    "body", ["time.sleep(60)", "read(); write(READY); read(); time.sleep(60)"], ids=["start", "work"]
)
def test_tick_ends_it(body: str, tmp_path: Path) -> None:
    engine = engines.ExternalEngine(fake(tmp_path, body))
    pids, begun = set(), time.monotonic()

    def tick(share: float) -> None:
        pids.add(engine.pid)
        if engine.pid and time.monotonic() - begun > 1:
            raise Stopped

    with pytest.raises(Stopped):
        engines.run_with_fallback(engine, take(), tick=tick, kind="quat_wxyz")
    assert engine.pid is None
    assert all(gone(pid) for pid in pids - {None})


def test_cancelled_from_another_thread_and_usable_afterwards() -> None:
    engine = engines.ExternalEngine(sys.executable)
    engine.start()
    pid, ended = engine.pid, []
    big = np.tile(take(900, 52), (8, 1, 1))

    def work() -> None:
        try:
            engines.run_with_fallback(engine, big, kind="quat_wxyz", model="published-video", hop=1)
        except engines.Cancelled as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(1.0)
    assert thread.is_alive()
    engine.cancel()
    thread.join(10)
    assert not thread.is_alive()
    assert len(ended) == 1
    assert gone(pid)
    assert engine.refine(take(), kind="quat_wxyz").shape == take().shape


def test_threads_take_turns() -> None:
    engine, results = engines.ExternalEngine(sys.executable), {}
    takes = {n: take(60 + n, 2) for n in range(4)}
    threads = [
        threading.Thread(target=lambda n=n: results.update({n: engine.refine(takes[n], kind="quat_wxyz")}))
        for n in takes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for n, given in takes.items():
        np.testing.assert_allclose(results[n], smoothnet_core.refine(given, kind="quat_wxyz"), atol=2e-5)


def test_long_work_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_external, "_SILENCE", 2.0)
    engine, spent = engines.ExternalEngine(sys.executable), 0.0
    engine.start()
    repeats = 2
    while spent < 2.5:
        track, begun = np.tile(take(900, 52), (repeats, 1, 1)), time.monotonic()
        engine.refine(track, kind="quat_wxyz", model="published-video", hop=2)
        spent, repeats = time.monotonic() - begun, repeats * 2


def test_an_idle_process_ends_and_the_next_take_starts_another(tmp_path: Path) -> None:
    engine = engines.ExternalEngine(fake(tmp_path, "worker.IDLE = 0.5; worker.main()"))
    engine.start()
    pid = engine.pid
    assert pid is not None
    assert gone(pid)
    assert engine.pid is None
    expected = smoothnet_core.refine(take(), kind="quat_wxyz")
    np.testing.assert_allclose(engine.refine(take(), kind="quat_wxyz"), expected, atol=2e-5)


SCRIPT = """
import os, sys, threading, time
import numpy as np
from blender_addon.engine import engines
engine = engines.ExternalEngine(sys.executable)
engine.start()
print(engine.pid, flush=True)
big = np.tile(engines.measured_take(), (16, 1, 1))
how = {"kind": "quat_wxyz", "model": "published-video", "hop": 1}
work = threading.Thread(target=lambda: engine.refine(big, **how), daemon=True)
if sys.argv[1] != "idle":
    work.start()
    time.sleep(1.5)
print("ready", flush=True)
if sys.argv[2] == "killed":
    time.sleep(60)
"""


@pytest.mark.parametrize("how", ["killed", "quit"])
@pytest.mark.parametrize("when", ["idle", "busy"])
def test_nothing_is_left_when_the_program_ends(when: str, how: str) -> None:
    command = [sys.executable, "-c", SCRIPT, when, how]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert program.stdout is not None
    with program.stdout as said:
        pid = int(said.readline())
        assert said.readline() == "ready\n"
        assert Path(f"/proc/{pid}").exists() or not Path("/proc").is_dir() or how == "quit"
        if how == "killed":
            program.send_signal(signal.SIGKILL)
        assert program.wait(20) == (-signal.SIGKILL if how == "killed" else 0)
    assert gone(pid)


def test_environment_of_another_python() -> None:
    own = {
        "PATH": "/bin",
        "PYTHONHOME": "/blender",
        "PYTHONPATH": "/x",
        "LD_LIBRARY_PATH": "/y",
        "__PYVENV_LAUNCHER__": "z",
    }
    cleaned = safe_environment(own)
    assert {name: cleaned.get(name) for name in own} == {
        "PATH": "/bin", "PYTHONHOME": None, "PYTHONPATH": None, "LD_LIBRARY_PATH": "/y", "__PYVENV_LAUNCHER__": None,
    }  # fmt: skip
    assert cleaned["PYTHONSAFEPATH"] == "1"


def test_neither_folders_of_this_python_nor_of_the_extension_reach_another(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # If they did, that Python would find the NumPy of this one.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    assert "has no numpy" in why_not(bare)


def test_choice_keeps_the_process_of_one_python(tmp_path: Path) -> None:
    path = fake(tmp_path, "read(); write(READY); read()")
    first = engines.choose("EXTERNAL", python=path)
    assert isinstance(first, engines.ExternalEngine)
    first.start()
    pid = first.pid
    assert engines.choose("EXTERNAL", python=str(path), timeout=7.0) is first
    assert (first.timeout, first.pid) == (7.0, pid)
    assert engines.choose("EXTERNAL", python=sys.executable) is not first
    assert pid is not None
    assert gone(pid)
    assert engines.choose("BUILT_IN").describe() == f"CPU, {os.cpu_count()} cores, SciPy"
    assert engines.choose("TORCH") is engines.torch_engine()
    with pytest.raises(ValueError, match=r"^engine: expected one of BUILT_IN, TORCH, EXTERNAL, received 'CUDA'$"):
        engines.choose("CUDA")


def test_torch_in_this_python() -> None:
    engine, track = engines.choose("TORCH"), take(dtype=np.float32)
    expected = smoothnet_core.refine(track, kind="quat_wxyz")
    result, message = engines.run_with_fallback(engine, track, kind="quat_wxyz", mask=np.arange(120) % 7 != 3)
    if not engines.has_torch():
        assert message == "Computed with the built-in engine: this Python has no torch"
        return
    assert message == ""
    assert isinstance(result, np.ndarray)
    assert result.dtype == np.float32
    expected = smoothnet_core.refine(track, kind="quat_wxyz", mask=np.arange(120) % 7 != 3)
    np.testing.assert_allclose(result, expected, atol=2e-5)
    assert "torch" in engine.describe()


def test_measurement_of_an_engine_and_one_that_answers_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_TEST_FRAMES", 300)
    measured = engines.measure(engines.ExternalEngine(sys.executable))
    assert measured.frames_per_second > 100
    assert measured.built_in > 100
    assert "CPU" in measured.device or "NVIDIA" in measured.device
    body = """
        import numpy as np
        read(); write(READY)
        while True:
            header, arrays = read()
            dtype, shape, content = arrays["track"]
            write({"type": "result", "id": header["id"]}, track=np.frombuffer(content, dtype).reshape(shape))
    """
    with pytest.raises(engines.EngineError, match=r"^fake differs from the built-in engine by 0\.\d+, expected 0.002$"):
        engines.measure(engines.ExternalEngine(fake(tmp_path, body)))
