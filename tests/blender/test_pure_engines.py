"""Engines: what another Python computes is what the built-in engine computes, and whatever it does, a result comes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import smoothnet_core
from blender_addon.engine import engine_external, engines
from blender_addon.engine.engine_process import WORKER
from tests.blender.fake_pythons import fake, gone, take

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the fake Pythons are scripts with a shebang")


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    engines.close_all()


@pytest.fixture(scope="module")
def warm() -> Iterator[engines.ExternalEngine]:
    """An engine in the Python of the tests, started once."""
    engine = engines.ExternalEngine(sys.executable)
    yield engine
    engine.close()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"fps": np.float32(24.0), "kind": "quat_wxyz", "strength": 0.7},
        {"kind": "channels", "model": "fast", "hop": 4},
        {"kind": "quat_wxyz", "fps": 30.0, "confidence": np.linspace(0.2, 1, 120), "mask": np.arange(120) % 7 != 3},
    ],
    ids=["default", "rotations", "channels", "quality"],
)
def test_same_numbers_as_built_in(warm: engines.ExternalEngine, keywords: dict, dtype: type) -> None:
    track = take(dtype=dtype)[..., : None if keywords else 3]
    expected = smoothnet_core.refine(track, backend="numpy", **keywords)
    result = warm.refine(track, **keywords)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expected, atol=2e-5)
    assert np.abs(result - track).max() > 1e-3


def test_weights_from_a_file_whatever_the_current_folder(
    warm: engines.ExternalEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights = next(folder for folder in _weight_folders() if folder.is_dir()) / "fast.safetensors"
    (tmp_path / "mine.safetensors").write_bytes(weights.read_bytes())
    monkeypatch.chdir(tmp_path)
    expected = smoothnet_core.refine(take(), kind="quat_wxyz", model="fast")
    for model in (Path("mine.safetensors"), "mine.safetensors"):
        np.testing.assert_allclose(warm.refine(take(), kind="quat_wxyz", model=model), expected, atol=2e-5)


def _weight_folders() -> list[Path]:
    package = Path(smoothnet_core.__file__).parent
    return [package / "weights", package.parent / "assets" / "models"]


def test_one_process_serves_all_takes_and_a_dead_one_is_replaced(warm: engines.ExternalEngine) -> None:
    first = warm.refine(take(), kind="quat_wxyz")
    pid = warm.pid
    np.testing.assert_array_equal(warm.refine(take(), kind="quat_wxyz"), first)
    assert warm.pid == pid
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    np.testing.assert_array_equal(warm.refine(take(), kind="quat_wxyz"), first)
    assert warm.pid not in (pid, None)


def test_what_a_library_prints_is_no_answer(tmp_path: Path) -> None:
    # A Python that prints at its start, as environments' hooks do, and in the middle of a refinement.
    path = tmp_path / "python_loud"
    path.write_text(
        f"#!/bin/sh\necho 'environment activated'\nexec {sys.executable} -c '\n"
        "import runpy, sys, os\n"
        "import numpy as np\n"
        "old = np.ascontiguousarray\n"
        'def loud(*a, **k):\n    print("hello"); os.write(1, b"raw"); return old(*a, **k)\n'
        "np.ascontiguousarray = loud\n"
        f'runpy.run_path("{WORKER}", run_name="__main__")\n\'\n'
    )
    path.chmod(0o755)
    result, message = engines.run_with_fallback(engines.ExternalEngine(path), take(), kind="quat_wxyz")
    assert message == ""
    np.testing.assert_allclose(result, smoothnet_core.refine(take(), kind="quat_wxyz"), atol=2e-5)


def test_killed_while_it_computes(tmp_path: Path) -> None:
    path = fake(tmp_path, "read(); write(READY); read(); write({'type': 'alive', 'id': 2}); time.sleep(60)")
    engine = engines.ExternalEngine(path)
    engine.start()
    pid = engine.pid
    assert pid
    threading.Timer(0.5, os.kill, (pid, signal.SIGKILL)).start()
    result, message = engines.run_with_fallback(engine, take(), kind="quat_wxyz")
    assert message == f"Computed with the built-in engine: {path} was killed by signal 9"
    np.testing.assert_array_equal(result, smoothnet_core.refine(take(), kind="quat_wxyz"))
    assert gone(pid)


BAD = {
    "ends at once": ("sys.exit('no luck')", "ended with status 1: no luck"),
    "prints": ("print('Hello, I am a calculator ' * 9000)", "answered b'Hello, I am a calculator"),
    "says nothing": ("time.sleep(60)", "gave no answer in 1 s"),
    "old protocol": (
        "read(); write({**READY, 'protocol': 0})",
        "answered 'ready' of protocol 0, expected 'ready' of 1",
    ),
    "echo": ("write(read()[0])", "answered 'start' of protocol 1, expected 'ready' of 1"),
    "no JSON": (
        "sys.stdout.buffer.write(worker.MAGIC + b'\\2\\0\\0\\0[]')",
        "answered with a header that says nothing",
    ),
    "endless header": ("sys.stdout.buffer.write(worker.MAGIC + b'\\xff' * 9)", "answered with a header of 4294967295"),
    "cut off": ("sys.stdout.buffer.write(worker.MAGIC + b'\\2\\0')", "ended in the middle of an answer"),
    "hangs at work": ("read(); write(READY); read(); time.sleep(60)", "gave no sign of life for 1 s"),
    "beats for ever": (
        "read(); write(READY); read()\nwhile True: write({'type': 'alive', 'id': 2}); time.sleep(.1)",
        "gave no answer in 1 s",
    ),
    "does not read": ("read(); write(READY); time.sleep(60)", "gave no sign of life for 1 s"),
    "fails": (
        "read(); write(READY); read(); write({'type': 'failed', 'id': 2, 'message': 'out of memory'})",
        "failed: out of memory",
    ),
    "wrong shape": (
        "import numpy as np; read(); write(READY); read()\n"
        "write({'type': 'result', 'id': 2}, track=np.zeros((2, 3))); time.sleep(60)",
        "returned float64 (2, 3), expected float64 (120, 3, 4)",
    ),
    "not finite": (
        "import numpy as np; read(); write(READY); read()\n"
        "write({'type': 'result', 'id': 2}, track=np.full((120, 3, 4), np.nan)); time.sleep(60)",
        "returned numbers that are not finite",
    ),
    "too much": (
        "import numpy as np; read(); write(READY); read()\n"
        "write({'type': 'result', 'id': 2}, track=np.zeros((9999, 300))); time.sleep(60)",
        "answered with more than was asked for",
    ),
    "no track": ("read(); write(READY); read(); write({'type': 'result', 'id': 2})", "answered 'result' instead"),
    "another question": ("read(); write(READY); read(); write({'type': 'result', 'id': 1})", "answered another"),
}


@pytest.mark.parametrize("case", BAD)
def test_whatever_it_does_a_result_and_a_message_come(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine_external, "_SLOWEST", 1e9)
    body, expected = BAD[case]
    engine = engines.ExternalEngine(fake(tmp_path, body), timeout=30.0)
    if "read(); write(READY)" in body:
        engine.start()
    if "sign of life" in expected:
        monkeypatch.setattr(engine_external, "_SILENCE", 1.0)
    elif "1 s" in expected:
        engine.timeout = 1.0
    begun = time.monotonic()
    result, message = engines.run_with_fallback(engine, take(), kind="quat_wxyz")
    assert message.startswith("Computed with the built-in engine: ")
    assert expected in message
    assert "\n" not in message
    np.testing.assert_array_equal(result, smoothnet_core.refine(take(), kind="quat_wxyz"))
    assert time.monotonic() - begun < 15
    assert engine.pid is None or case in ("wrong shape", "not finite")
    assert capfd.readouterr() == ("", "")


def test_what_hung_is_not_waited_for_again_until_tested(tmp_path: Path) -> None:
    engine = engines.ExternalEngine(fake(tmp_path, "time.sleep(60)"), timeout=1.0)
    first = engines.run_with_fallback(engine, take(), kind="quat_wxyz")[1]
    begun = time.monotonic()
    assert engines.run_with_fallback(engine, take(), kind="quat_wxyz")[1] == first
    assert time.monotonic() - begun < 0.9
    fake(tmp_path, "read(); write({**READY, 'id': 2}); read(); time.sleep(9)")
    engine.timeout = 30.0
    assert engine.start() == "fake"


def test_more_numbers_may_take_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_external, "_SLOWEST", take().size / 20.0)
    body = "read(); write(READY); read(); time.sleep(1.5); write({'type': 'failed', 'id': 2, 'message': 'x'})"
    engine = engines.ExternalEngine(fake(tmp_path, body))
    engine.start()
    engine.timeout = 0.5
    assert engines.run_with_fallback(engine, take(), kind="quat_wxyz")[1].endswith("failed: x")


COUNTED = """
    log = os.path.join(os.path.dirname(sys.argv[0]), "log")
    with open(log, "a") as file: file.write("started;")
    header, _ = read(); write({**READY, "id": header["id"]}); header, _ = read()
"""


def test_a_process_that_died_before_it_was_asked_is_replaced_at_once(tmp_path: Path) -> None:
    body = (
        COUNTED
        + """
    if open(log).read() == "started;": sys.exit()
    write({"type": "failed", "id": header["id"], "message": "the second"})
    """
    )
    engine = engines.ExternalEngine(fake(tmp_path, body))
    engine.start()
    assert engines.run_with_fallback(engine, take(), kind="quat_wxyz")[1].endswith("failed: the second")


def test_who_dies_at_work_twice_is_not_started_a_third_time(tmp_path: Path) -> None:
    engine = engines.ExternalEngine(
        fake(tmp_path, COUNTED + "    write({'type': 'alive', 'id': header['id']}); sys.exit(7)")
    )
    messages = {engines.run_with_fallback(engine, take(), kind="quat_wxyz")[1] for _ in range(4)}
    assert messages == {f"Computed with the built-in engine: {engine.python} ended with status 7"}
    assert (tmp_path / "log").read_text() == "started;" * 2
