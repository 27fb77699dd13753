"""Hard numbers through whole motions and the program: finite results or one line, and the same bytes each time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from smoothnet_core.inference import blas_threads
from smpl_tools.contacts.keep_motion import keep_contacts_motion
from smpl_tools.formats import read
from smpl_tools.formats.bvh_text import parse
from smpl_tools.motion import Motion
from smpl_tools.refine_motion import refine_motion
from tests.helpers import REPOSITORY
from tests.smpl.cli_helpers import Program
from tests.smpl.plain_motions import base, points_person, smpl_parts, smpl_person, with_track

BVH = REPOSITORY / "assets" / "takes" / "reactidle_000.bvh"
METHODS = ("smoothnet", "repair", "one-euro", "savgol", "gaussian", "butterworth", "median", "kalman")


def with_values(motion: Motion, change) -> Motion:
    people = [
        person.with_tracks({name: track.replace(values=change(track)) for name, track in person.tracks.items()})
        for person in motion.people
    ]
    return motion.with_people(tuple(people))


def sprinkled(track, value):
    values = track.values.copy()
    values.reshape(-1)[:: max(1, values.size // 17)] = value
    return values


def half_turns(track):
    values = track.values.copy()
    if track.kind == "axis_angle":
        values[1::2] = np.pi * np.array([0.6, 0.8, 0])
    elif track.kind == "rotation_matrix":
        values[1::2] = np.diag([-1.0, -1.0, 1.0])
    return values


CHANGES = {
    "half turns": half_turns,
    "zeros": lambda track: np.zeros_like(track.values),
    "constant": lambda track: np.repeat(track.values[:1], len(track.values), axis=0),
    **{
        f"{value} here and there": lambda track, value=value: sprinkled(track, value)
        for value in (np.nan, np.inf, -np.inf, 1e30, -1e30, 5e-324, 1e-310, 1e300)
    },
}


def finite_where_finite(refined: Motion, motion: Motion) -> None:
    for new, old in zip(refined.people, motion.people, strict=True):
        for name, track in old.tracks.items():
            seen = np.isfinite(track.values).reshape(*track.values.shape[:2], -1).all(axis=-1)
            # Beyond this no position or angle is meant.
            seen &= (np.abs(track.values) < 1e100).reshape(*track.values.shape[:2], -1).all(axis=-1)
            assert np.isfinite(new.tracks[name].values[seen]).all(), name


@pytest.mark.parametrize("title", CHANGES)
@pytest.mark.parametrize("method", METHODS)
def test_poses_of_hard_numbers(title, method):
    person = with_track(smpl_person(frames=40), transl=smpl_parts(40)["transl"])
    motion = with_values(base("smpl", person, fps=30.0), CHANGES[title])
    refined, report = refine_motion(motion, method=method)
    finite_where_finite(refined, motion)
    json.dumps(report.as_dict())
    if method == "smoothnet":
        # What NumPy remarks on numbers out of range is no news here.
        with np.errstate(all="ignore"):
            finite_where_finite(refine_motion(motion, judge="joints")[0], motion)
            with contextlib.suppress(ValueError):
                finite_where_finite(keep_contacts_motion(refined)[0], motion)


@pytest.mark.parametrize("title", CHANGES)
@pytest.mark.parametrize("size", [2, 3])
def test_joints_of_hard_numbers(title, size):
    motion = with_values(base("joints", points_person(frames=20, size=size), fps=30.0), CHANGES[title])
    for method in METHODS:
        finite_where_finite(refine_motion(motion, method=method)[0], motion)


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_next_to_no_frames(frames):
    for motion in (base("smpl", smpl_person(frames=frames)), base("joints", points_person(frames=frames))):
        for method in METHODS:
            refined, _ = refine_motion(motion, method=method)
            for new, old in zip(refined.people, motion.people, strict=True):
                for name, track in old.tracks.items():
                    assert new.tracks[name].values.shape == track.values.shape
                    if frames == 1:
                        np.testing.assert_array_equal(new.tracks[name].values, track.values)


def test_nobody_comes_back():
    refined, report = refine_motion(Motion("x", (), 30.0))
    assert refined.people == ()
    assert report.tracks == ()


def short_take(path, value: str | None = None):
    """Write the first 60 frames of a captured take, with a value put into some of them."""
    lines = BVH.read_text(encoding="utf-8").splitlines(keepends=True)
    start = next(k for k, line in enumerate(lines) if line.startswith("Frame Time")) + 1
    lines[start - 2] = "Frames: 60\n"
    del lines[start + 60 :]
    for row in range(start, start + 60, 7) if value is not None else ():
        cells = lines[row].split()
        cells[row % len(cells)] = value
        lines[row] = " ".join(cells) + "\n"
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("value", ["nan", "inf", "1e30", "5e-324", "1e300"])
def test_a_file_of_hard_numbers_by_the_program(tmp_path, capsys, value):
    path, out = short_take(tmp_path / "take.bvh", value), tmp_path / "out.bvh"
    ran = Program(capsys)("refine", path, "-o", out, "--json")
    assert ran.status == 0, ran
    json.loads(ran.out, parse_constant=lambda constant: pytest.fail(constant))
    before, after = parse(path).values, parse(out).values
    assert np.isfinite(after[np.isfinite(before)]).all()
    assert len(read(out).people[0].frames) == 60


def _refined(folder, inputs, threads: int, method: str) -> dict[str, bytes]:
    # Of an older SciPy the number of BLAS' own threads cannot be set while it runs.
    own = threads if blas_threads._functions() else 1
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(own)}
    folder.mkdir()
    command = [sys.executable, "-c", "from smpl_tools.cli.main import run; run()", "refine", *map(str, inputs)]
    command += ["-o", str(folder), "--method", method]
    subprocess.run(command, check=True, cwd=REPOSITORY, env=environment, capture_output=True)
    return {path.name: (folder / path.name).read_bytes() for path in inputs}


@pytest.mark.parametrize("method", ["smoothnet", "repair"])
def test_one_thread_or_two_alone_or_among_others_give_the_same_bytes(tmp_path, method):
    take, other = short_take(tmp_path / "take.bvh"), short_take(tmp_path / "other.bvh", "nan")
    points = tmp_path / "points.npy"
    np.save(points, np.random.default_rng(0).normal(size=(60, 5, 3)).astype(np.float32))
    np.save(tmp_path / "more.npy", np.random.default_rng(1).normal(size=(50, 2, 3)))
    # A take of many joints is repaired in a minute.
    inputs = [points, tmp_path / "more.npy"] if method == "repair" else [points, other, take]
    together = _refined(tmp_path / "together", inputs, 2, method)
    for name in together:
        assert _refined(tmp_path / f"alone {name}", [tmp_path / name], 1, method) == {name: together[name]}
