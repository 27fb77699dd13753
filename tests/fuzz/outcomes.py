"""What may come of a file: a motion that is whole, or a ``ValueError`` of one line. Anything else is a finding."""

from __future__ import annotations

import math
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from smoothnet_core.checkpoints import read_weights
from smoothnet_core.restricted_pickle import load_npy, load_npz, load_pickle
from smoothnet_core.torch_files import load_torch
from smpl_tools.bodies.model_files import load_body_model
from smpl_tools.formats import FORMATS, read, write
from smpl_tools.live.texts import CsvReader, JsonReader
from smpl_tools.motion import VALUE_SHAPES, Motion

FOLDERS = {"openpose": ".json", "easymocap": ".json", "smplifyx": ".pkl"}


SECONDS_EACH = 5.0


class Finding(AssertionError):
    """A file came to something it may not come to."""


class Late(BaseException):
    """A file took longer than it may; no reader catches this."""


def _late(*_: object) -> None:
    raise Late


@contextmanager
def in_time() -> Iterator[None]:
    """Stop the block after ``SECONDS_EACH`` of the processor's time: a machine may be busy with other things."""
    signal.signal(signal.SIGPROF, _late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS_EACH)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def outcome(name: str, data: bytes, folder: Path, rng: Random, good: bytes = b"") -> str:
    """Read bytes as a file of a format, or by one of the readers below the formats; return what came of it.

    Args:
        name: a format, or a key of ``READERS``.
        data: the file.
        folder: an empty folder to work in; it is empty again afterwards.
        rng: decides how the file is read.
        good: a good file, which stands beside it where the format is a folder.

    Raises:
        Finding: neither a whole motion nor a refusal in one line.
    """
    try:
        with in_time():
            if name in READERS:
                return _refused_or(lambda: READERS[name](_placed(folder / "file", data)))
            return _of_format(name, data, folder, rng, good)
    finally:
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _placed(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _refused_or(call: Callable[[], Any]) -> str:
    try:
        call()
    except ValueError as error:
        _check_message(error)
        return "refused"
    return "value"


def _check_message(error: ValueError) -> None:
    if "\n" in str(error) or len(str(error)) > 4000:
        raise Finding(f"a message of several lines or without end: {str(error)[:500]!r}") from error


def _live(make: Callable[[str], Any]) -> Callable[[Path], Any]:
    def feed(path: Path) -> Any:
        reader = make("position")
        return [reader.read(line) for line in path.read_bytes().splitlines()]

    return feed


READERS: dict[str, Callable[[Path], Any]] = {
    "pickle": load_pickle,
    "npy": load_npy,
    "npz": load_npz,
    "torch": load_torch,
    "weights": read_weights,
    "body-model": load_body_model,
    "live-json": _live(JsonReader),
    "live-csv": _live(CsvReader),
}


def _of_format(name: str, data: bytes, folder: Path, rng: Random, good: bytes) -> str:
    options: dict[str, Any] = {}
    if rng.random() < 0.5:
        options["format"] = name
    if rng.random() < 0.1:
        options["kind"] = rng.choice(list(VALUE_SHAPES))
    if name in FOLDERS:
        path = folder / "take"
        _placed(path / f"frame_000001{FOLDERS[name]}", data)
        if rng.random() < 0.5:
            _placed(path / f"frame_000002{FOLDERS[name]}", good)
    else:
        path = _placed(folder / f"take{rng.choice(FORMATS[name].suffixes)}", data)
    try:
        motion = read(path, **options)
    except ValueError as error:
        _check_message(error)
        return "refused"
    check_whole(motion)
    again = folder / "again" / path.name
    again.parent.mkdir()
    try:
        write(motion, again)
    except ValueError as error:
        if "feature vectors" in str(error):
            return "motion"
        raise Finding(f"what was read cannot be written: {error}") from error
    try:
        back = read(again, **{**options, "format": motion.format})
    except ValueError as error:
        raise Finding(f"what was written cannot be read: {error}") from error
    check_same(back, motion)
    return "motion"


def check_whole(motion: Motion) -> None:
    """Raise ``Finding`` where a motion says of itself what cannot be."""
    if motion.fps is not None and not (math.isfinite(motion.fps) and motion.fps > 0):
        raise Finding(f"frame rate {motion.fps}")
    if len({person.id for person in motion.people}) < len(motion.people):
        raise Finding("two people of one id")
    for person in motion.people:
        if person.frames.dtype != np.int64 or person.frames.ndim != 1:
            raise Finding(f"frames {person.frames.dtype} {person.frames.shape}")
        for name, track in person.tracks.items():
            if not isinstance(track.values, np.ndarray) or track.values.dtype.kind != "f":
                raise Finding(f"values of {name}")
            if not all(type(joint) is str for joint in track.joints):
                raise Finding(f"joint names of {name}")
            if track.confidence is not None:
                trust = track.confidence
                if not (np.isfinite(trust).all() and ((trust >= 0) & (trust <= 1)).all()):
                    raise Finding(f"confidence of {name} out of range")
            if track.metres is not None and not (math.isfinite(track.metres) and track.metres > 0):
                raise Finding(f"unit of {name}: {track.metres} m")
        if person.betas is not None and not np.isfinite(person.betas).all():
            raise Finding("betas")
    if motion.skeleton is not None:
        parents = np.asarray(motion.skeleton.parents)
        if not (parents < np.arange(len(parents))).all():
            raise Finding("a parent behind its child")


def check_same(back: Motion, motion: Motion) -> None:
    """Raise ``Finding`` where a motion that was written and read again is another."""
    if [p.id for p in back.people] != [p.id for p in motion.people]:
        raise Finding(f"people {[p.id for p in motion.people]} came back as {[p.id for p in back.people]}")
    if back.fps != motion.fps:
        raise Finding(f"frame rate {motion.fps} came back as {back.fps}")
    for new, old in zip(back.people, motion.people, strict=True):
        if not np.array_equal(new.frames, old.frames):
            raise Finding("frame numbers changed")
        if list(new.tracks) != list(old.tracks):
            raise Finding(f"tracks {list(old.tracks)} came back as {list(new.tracks)}")
        for name, track in old.tracks.items():
            other = new.tracks[name]
            if other.joints != track.joints or not np.array_equal(other.values, track.values, equal_nan=True):
                raise Finding(f"track {name} changed")


def quiet() -> None:
    """Let NumPy's remarks on numbers out of range pass, as the program does; any other warning is a finding."""
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    warnings.filterwarnings("ignore", category=UserWarning, message="Duplicate name")
