"""``smoothnet report``, ``smoothnet view`` and ``smoothnet refine --report``: what they write, serve and refuse."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smpl_tools.report.packing import parted, unpacked
from tests.helpers import REPOSITORY
from tests.smpl.browser import chromium, opened, wait_for
from tests.smpl.cli_helpers import Program, amass, body, saved

TAKES = REPOSITORY / "assets" / "takes"


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


def data(html: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what a page holds."""
    found = re.search(r'data-part="data">([^<]*)<', html)
    assert found is not None
    return parted(unpacked(found[1]))


def test_a_report_of_two_files_and_of_three(program: Program, tmp_path: Path):
    one, two, truth = (saved(tmp_path / f"{n}.npy", body(seed=s)) for n, s in (("a", 0), ("b", 1), ("c", 2)))
    out = tmp_path / "x.html"
    ran = program("report", one, two, "-o", out, "--unit", "m")
    assert (ran.status, ran.err) == (0, "")
    assert re.fullmatch(rf"{re.escape(str(out))}: 40 frames, 1\.\d MB\n", ran.out)
    document, arrays = data(out.read_text(encoding="utf-8"))
    assert [take["file"] for take in document["takes"]] == ["a.npy", "b.npy"]
    np.testing.assert_allclose(arrays["positions.after"], body(seed=1), rtol=1e-6)
    first = out.read_bytes()
    assert program.refused("report", one, two, "-o", out) == f"{out}: exists already; add --force to replace it"
    assert program("report", one, two, "-o", out, "--force", "--unit", "m").status == 0
    assert out.read_bytes() == first, "the same motions give the same page"
    assert program("report", one, two, truth, "-o", out, "--force").status == 0
    assert [t["key"] for t in data(out.read_text(encoding="utf-8"))[0]["takes"]] == ["before", "after", "truth"]


def test_what_a_report_refuses(program: Program, tmp_path: Path):
    one, short = saved(tmp_path / "a.npy", body()), saved(tmp_path / "b.npy", body(30))
    out = tmp_path / "x.html"
    text = program.refused("report", one, one, "-o", tmp_path / "x.pdf", status=2)
    assert "expected a name ending in .html, received 'x.pdf'" in text
    assert program.refused("report", one, short, "-o", out) == (
        f"{one}: frames after: expected the 40 frames before, received 30 frames"
    )
    assert program.refused("report", one, one, "--person", "7", "-o", out) == (
        f"{one}: person: expected one of 0, received '7'"
    )
    assert "expected SMPL poses" in program.refused("report", one, one, "--body", "-o", out)
    poses = amass(tmp_path / "p.npz")
    text = program.refused("report", poses, poses, "--body-model", tmp_path / "SMPL_NEUTRAL.npz", "-o", out)
    assert "whose licence forbids most people to pass it on (--body draws one that anybody may)" in text
    few = saved(tmp_path / "r.npy", np.random.default_rng(0).normal(size=(20, 5, 3)))
    assert "joints of person 0" in program.refused("report", few, few, "--kind", "axis_angle", "-o", out)
    assert "cannot be written" in program.refused("report", one, one, "-o", tmp_path / "none" / "x.html")
    assert not out.exists()


def test_refine_shows_what_it_did(program: Program, tmp_path: Path):
    source, target, page = amass(tmp_path / "a.npz"), tmp_path / "b.npz", tmp_path / "r.html"
    ran = program("refine", source, "-o", target, "--report", page, "--method", "median")
    assert ran.status == 0
    assert f"  report: {page}\n" in ran.out
    document, arrays = data(page.read_text(encoding="utf-8"))
    assert [take["file"] for take in document["takes"]] == ["a.npz", "b.npz"]
    assert np.abs(arrays["positions.before"] - arrays["positions.after"]).max() > 1e-3
    # It is refused before the work.
    again = tmp_path / "c.npz"
    assert program.refused("refine", source, "-o", again, "--report", page).startswith(f"{page}: exists already")
    text = program.refused("refine", source, target, "-o", tmp_path / "d", "--report", page, status=2)
    assert "--report shows one motion: expected one input, received 2" in text
    assert "is the motion" in program.refused(
        "refine", source, "-o", tmp_path / "e.html", "--report", tmp_path / "e.html", status=2
    )
    assert not again.exists()
    ran = program("refine", source, "-o", target, "--force", "--report", page, "--json", "--method", "median")
    assert json.loads(ran.out)["refined"][0]["page"] == str(page)


class Viewer:
    """``smoothnet view`` in a process of its own."""

    def __init__(self, *arguments: object) -> None:
        script = "from smpl_tools.cli.main import run; run()"
        command = [sys.executable, "-c", script, "view", *map(str, arguments), "--no-browser", "--port", "0"]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        found = re.match(r"http://127\.0\.0\.1:(\d+)/", self.process.stdout.readline())
        assert found is not None
        self.port = int(found[1])
        self.address = found[0]

    def ask(self, path: str, host: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path, headers={} if host is None else {"Host": host})
        answer = connection.getresponse()
        result = answer.status, answer.read()
        connection.close()
        return result

    def state(self) -> dict[str, str]:
        return json.loads(self.ask("/state")[1])

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@pytest.fixture
def viewed(tmp_path: Path) -> Iterator[tuple[Viewer, Path]]:
    path = saved(tmp_path / "a.npy", body())
    viewer = Viewer(path, "--unit", "m")
    try:
        yield viewer, path
    finally:
        viewer.process.kill()
        viewer.process.communicate()


def changed(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    # A file system may count time in steps.
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 1000))


def test_a_view_shows_its_file_and_goes_along_with_it(viewed: tuple[Viewer, Path], tmp_path: Path):
    viewer, path = viewed
    first = viewer.state()
    status, content = viewer.ask("/")
    assert status == 200
    assert data(content.decode())[0]["frames"] == 40
    assert viewer.state() == first
    whole = saved(tmp_path / "other.npy", body(55)).read_bytes()
    changed(path, whole[: len(whole) // 2])
    half = viewer.state()
    assert half["version"] == first["version"]
    assert str(path) in half["error"]
    assert data(viewer.ask("/")[1].decode())[0]["frames"] == 40, "the page before it stays"
    path.unlink()
    assert viewer.state()["error"]
    changed(path, whole)
    assert viewer.state()["version"] != first["version"]
    assert viewer.state()["error"] == ""
    assert data(viewer.ask("/")[1].decode())[0]["frames"] == 55
    assert viewer.end() == (0, "")


def test_a_view_answers_this_machine_under_its_own_name_only(viewed: tuple[Viewer, Path]):
    viewer, _ = viewed
    assert viewer.ask("/", "evil.example")[0] == 403
    assert viewer.ask("/state", f"evil.example:{viewer.port}")[0] == 403
    assert viewer.ask("/", f"localhost:{viewer.port}")[0] == 200
    assert viewer.ask("/../../etc/passwd")[0] == 404


def test_what_a_view_refuses(program: Program, tmp_path: Path, viewed: tuple[Viewer, Path]):
    viewer, path = viewed
    text = program.refused("view", path, "--port", viewer.port, "--no-browser")
    assert text.startswith(f"port {viewer.port}: cannot be used: ")
    assert "--port names another" in text
    missing = tmp_path / "none.npy"
    assert str(missing) in program.refused("view", missing, "--no-browser")


def test_a_view_keeps_its_moment_when_the_file_changes(viewed: tuple[Viewer, Path], tmp_path: Path):
    viewer, path = viewed
    with chromium() as browser:
        page, said, _ = opened(browser.new_context(viewport={"width": 1000, "height": 700}), viewer.address)
        page.evaluate("() => { const s = smoothnetReport.state; s.go(17); s.set({ joint: 2, trail: true }); }")
        # Drawn first: the camera follows to that frame.
        page.evaluate("() => { const p = smoothnetReport.player; p.draw(); p.camera.position.set(1, 2, 7); }")
        page.evaluate("() => { globalThis.old = true; }")
        changed(path, saved(tmp_path / "other.npy", body(55)).read_bytes())
        wait_for(page, "!globalThis.old && globalThis.smoothnetReport?.ready", 30)
        assert page.evaluate("smoothnetReport.report.frames") == 55
        told = page.evaluate("['frame', 'joint', 'trail'].map(name => smoothnetReport.state.get(name))")
        assert told == [17, 2, True]
        np.testing.assert_allclose(page.evaluate("smoothnetReport.player.view().camera"), [1, 2, 7], atol=0.05)
        changed(path, b"half")
        wait_for(page, "!document.getElementById('banner').hidden", 30)
        assert "cannot be shown" in page.locator("#banner").inner_text()
        assert said == []
        # It says so when its server has ended.
        viewer.end()
        wait_for(page, "document.getElementById('banner').textContent.includes('has ended')", 30)
