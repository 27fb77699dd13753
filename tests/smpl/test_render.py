"""``smoothnet render``: the files it writes, and what it refuses."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import REPOSITORY
from tests.smpl.cli_helpers import Program, amass, body, saved

pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed (the extra 'render')")
pytest.importorskip("PIL.Image", reason="Pillow is not installed (the extra 'render')")

import imageio_ffmpeg
from PIL import Image

from smpl_tools.pictures import film, video

SMALL = ("--size", "160x90")
# The rows of such a picture under its labels and over the time.
BELOW = slice(50, 70)
TAKES = REPOSITORY / "assets" / "takes"


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    values = body(30)
    smooth = (np.roll(values, 1, 0) + values + np.roll(values, -1, 0)) / 3
    return saved(tmp_path / "before.npy", values), saved(tmp_path / "after.npy", smooth)


def read(path: Path, width: int = 160, height: int = 90) -> tuple[str, np.ndarray]:
    """Return what ffmpeg says of a video, and its frames (T, H, W, 3)."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    ran = subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    frames = np.frombuffer(ran.stdout, np.uint8).reshape(-1, height, width, 3)
    return ran.stderr.decode(), frames.astype(int)


def test_an_mp4_that_every_player_plays(program: Program, pair: tuple[Path, Path], tmp_path: Path):
    out = tmp_path / "out.mp4"
    ran = program("render", *pair, "-o", out, *SMALL, "--from-fps", "30")
    assert (ran.status, ran.err) == (0, "")
    assert "30 frames of 160x90, 30 fps, 1.0 s" in ran.out
    about, frames = read(out)
    assert re.search(r"Duration: 00:00:01\.00", about)
    assert re.search(r"Video: h264 .*yuv420p\(tv, bt709.* 160x90.* 30 fps", about)
    assert frames.shape == (30, 90, 160, 3)
    # The index stands in front of the pictures.
    data = out.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    # People move, and the halves show different motions.
    assert np.abs(frames[0] - frames[20]).max() > 60
    assert np.abs(frames[:, BELOW, :80] - frames[:, BELOW, 80:]).max() > 60


@pytest.mark.parametrize("suffix", [".gif", ".WEBP"])
def test_animations_that_a_page_shows(program: Program, pair: tuple[Path, Path], tmp_path: Path, suffix: str):
    out = tmp_path / f"out{suffix}"
    ran = program("render", *pair, "-o", out, *SMALL, "--from-fps", "60", "--speed", "0.25")
    assert (ran.status, ran.err) == (0, "")
    with Image.open(out) as moving:
        assert moving.size == (160, 90)
        assert moving.info["loop"] == 0
        shown, frames = 0.0, []
        for k in range(moving.n_frames):
            moving.seek(k)
            frames.append(np.asarray(moving.convert("RGB"), int))
            shown += moving.info["duration"]
    # Half a second of motion at a quarter of its speed; a GIF knows hundredths of a second.
    assert shown == pytest.approx(2000, abs=11)
    assert np.abs(frames[0] - frames[-1]).max() > 60


def test_frames_are_shown_as_they_were_captured(pair: tuple[Path, Path]):
    from smpl_tools import formats

    motions = [formats.read(path, fps=24) for path in pair]
    shown = film.Film(motions, film.Choices(size=(64, 64), fps=30, start=0.25, end=1.0, speed=0.5))
    assert shown.frame_count == 45
    assert [shown.shown(n) for n in range(6)] == [6, 6, 6, 7, 7, 8]
    assert shown.shown(44) == 23
    plain = film.Film(motions, film.Choices(size=(64, 64)))
    assert [plain.shown(n) for n in range(plain.frame_count)] == list(range(30))
    fast = film.Film([formats.read(path, fps=120) for path in pair], film.Choices(size=(64, 64)))
    assert (fast.fps, fast.frame_count, fast.shown(1)) == (60, 15, 2)


def test_three_pictures_with_the_truth_and_one_of_all(program: Program, pair: tuple[Path, Path], tmp_path: Path):
    out = tmp_path / "out.mp4"
    assert program("render", *pair, pair[1], "-o", out, "--size", "540x180").status == 0
    frames = read(out, 540, 180)[1]
    before, after, truth = (frames[:, 60:140, k + 4 : k + 176] for k in (0, 180, 360))
    assert (np.abs(before - after) > 60).sum() > 10 * (np.abs(after - truth) > 60).sum()
    assert (np.abs(before - after) > 60).any()
    over = program("render", *pair, "-o", tmp_path / "over.mp4", *SMALL, "--overlay", "--background", "dark")
    assert over.status == 0
    assert read(tmp_path / "over.mp4")[1].mean() < 80


def test_a_body_in_place_of_the_skeleton(program: Program, tmp_path: Path):
    pytest.importorskip("embreex", reason="Embree is not installed (the extra 'render')")
    take = TAKES / "dance_smplh.npz"
    base = ("render", take, TAKES / "dance_smplh_truth.npz", *SMALL, "--end", "0.1")
    for name, options in (("bones", ()), ("body", ("--body", "free"))):
        assert program(*base, *options, "-o", tmp_path / f"{name}.mp4").status == 0
    bones, skin = (read(tmp_path / f"{name}.mp4")[1] for name in ("bones", "body"))
    assert bones.shape == skin.shape == (3, 90, 160, 3)
    assert np.abs(bones - skin).max() > 60
    points = saved(tmp_path / "points.npy", body(30))
    error = program.refused("render", points, points, "-o", tmp_path / "x.mp4", "--body", "free", *SMALL)
    assert error.startswith(f"{points}: ")
    assert "poses" in error


def test_refusals(program: Program, pair: tuple[Path, Path], tmp_path: Path):
    out, before = tmp_path / "out.mp4", pair[0]

    def refused(*options: object, files: tuple[Path, ...] = pair) -> str:
        return program.refused("render", *files, "-o", out, *options)

    assert refused("--size", "161x90") == f"{before}: size: expected even numbers from 64 to 4096, received 161x90"
    assert refused("--size", "8x90") == f"{before}: size: expected even numbers from 64 to 4096, received 8x90"
    assert refused("--speed", "0") == f"{before}: speed: expected a number from 0.01 to 100, received 0"
    assert refused("--fps", "500") == f"{before}: fps: expected a number from 1 to 240, received 500"
    views = "front, side, three-quarter, top, or degrees from -360 to 360"
    assert refused("--view", "back") == f"{before}: view: expected one of {views}, received 'back'"
    assert refused("--start", "5", "--from-fps", "30") == (
        f"{before}: start and end: expected seconds in order, between 0 and 1, received 5 and 1"
    )
    assert refused("--trail", "hand").startswith(f"{before}: joint: expected one of joint_0, joint_1, ")
    assert refused("--person", "7") == f"{before}: person: expected one of 0, received '7'"
    flat = saved(tmp_path / "flat.npy", body(30, size=2))
    assert refused(files=(before, flat)) == f"joints of {flat}: expected 3D as before, received 2D"
    slow = amass(tmp_path / "slow.npz", fps=20.0)
    fast = amass(tmp_path / "fast.npz", fps=30.0)
    assert refused(files=(slow, fast)) == f"frame rate of {fast}: expected 20 as before, received 30"
    nothing = saved(tmp_path / "nan.npy", np.full((9, 2, 3), np.nan))
    assert "at least one observed joint" in refused(files=(nothing, nothing))
    numbers = saved(tmp_path / "numbers.npy", np.ones((9, 6)))
    assert refused("--kind", "channels", files=(numbers, numbers)) == (
        f"{numbers}: tracks of person 0: expected positions or rotations of joints, received motion"
    )
    assert not out.exists()
    out.write_bytes(b"mine")
    assert refused() == f"{out}: exists already; add --force to replace it"


@pytest.mark.parametrize(
    ("module", "options", "extra"),
    [
        ("imageio_ffmpeg", (), "imageio_ffmpeg"),
        ("PIL.ImageFont", (), "PIL"),
        ("embreex", ("--body", "free"), "embreex"),
    ],
)
def test_a_missing_extra_is_named(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, options: tuple[str, ...], extra: str
):
    monkeypatch.setitem(sys.modules, module, None)
    take = amass(tmp_path / "a.npz")
    error = program.refused("render", take, take, "-o", tmp_path / "x.mp4", *options, *SMALL)
    assert error == f"{extra} is not installed; add it with: pip install 'smoothnet[render]'"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz"]


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), ValueError("broken")])
def test_no_half_file_stays(
    program: Program,
    pair: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
):
    draw = film.Film.draw

    def fails(self: film.Film, number: int) -> np.ndarray:
        if number == 5:
            raise raised
        return draw(self, number)

    monkeypatch.setattr(film.Film, "draw", fails)
    before = sorted(tmp_path.iterdir())
    ran = program("render", *pair, "-o", tmp_path / "out.mp4", *SMALL)
    interrupted = isinstance(raised, KeyboardInterrupt)
    assert (ran.status, ran.err) == ((130, "error: interrupted\n") if interrupted else (1, "error: broken\n"))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.name == "nt", reason="a script stands in for ffmpeg")
def test_what_ffmpeg_complains_of_is_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = tmp_path / "ffmpeg"
    script.write_text("#!/bin/sh\necho first >&2\necho 'No space left' >&2\nexit 1\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(script))
    out = tmp_path / "out.mp4"
    with pytest.raises(ValueError, match=r"out\.mp4: cannot be written: No space left$"):
        video.write_video(out, lambda _: np.zeros((720, 1280, 3), np.uint8), 20, 30.0)
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]
