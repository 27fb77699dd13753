"""Plain motions of SMPL poses, for tests of new files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from smpl_tools.contents import as_content
from smpl_tools.formats import FORMATS, detect, read
from smpl_tools.motion import Motion, Person, Track, Up
from smpl_tools.rotations import axis_angle_to_matrix
from smpl_tools.skeleton import SMPL


def plain_person(
    name: str = "0",
    *,
    frames=range(6),
    dtype: type = np.float64,
    joints: int = 23,
    translated: bool = True,
    betas: str = "one",
    up: Up = "y",
    metres: float = 1.0,
    seed: int = 0,
) -> Person:
    """Return a person in the plain form; ``betas``: ``one`` for the take, ``changing`` or ``none``."""
    rng = np.random.default_rng(seed)
    numbers = np.array(list(frames), np.int64)
    # Shorter than half a turn, so that matrices give the same vectors back.
    vectors = rng.uniform(-1.5, 1.5, size=(len(numbers), 1 + joints, 3)).astype(dtype)
    tracks = {
        "global_orient": Track(vectors[:, :1], "axis_angle", "root", SMPL.joints[:1], up=up),
        "body_pose": Track(vectors[:, 1:], "axis_angle", "body", SMPL.joints[1 : 1 + joints]),
    }
    if translated:
        places = rng.normal(size=(len(numbers), 1, 3)).astype(dtype)
        tracks["transl"] = Track(places, "position", "root", ("pelvis",), metres=metres, up=up)
    if betas == "changing":
        shapes = rng.normal(size=(len(numbers), 10)).astype(dtype)
        tracks["betas"] = Track(shapes, "channels", "shape", tuple(f"betas_{k}" for k in range(10)))
    one = rng.normal(size=10).astype(dtype) if betas == "one" else None
    return Person(name, tracks, numbers, one)


def plain_motion(*people: Person, fps: float | None = 30.0) -> Motion:
    return Motion("", people or (plain_person(),), fps)


def people(**fixed) -> st.SearchStrategy[Person]:
    """Draw people of few frames with gaps, of both precisions, with 21 or 23 joints."""
    drawn = {
        "frames": st.lists(st.integers(0, 40), min_size=2, max_size=6, unique=True).map(sorted),
        "dtype": st.sampled_from([np.float32, np.float64]),
        "joints": st.sampled_from([21, 23]),
        "translated": st.booleans(),
        "betas": st.sampled_from(["one", "changing", "none"]),
        "seed": st.integers(0, 2**16),
    }
    return st.builds(plain_person, **{**drawn, **{name: st.just(value) for name, value in fixed.items()}})


def made(name: str, motion: Motion, path: Path) -> tuple[Motion, Motion]:
    """Write a new file of a format; return what is read from it, and that in the plain form."""
    make = FORMATS[name].make
    assert make is not None
    make(motion, path)
    assert detect(path).name == name
    read_again = read(path)
    return read_again, as_content(read_again, "smpl")[0]


def assert_same_person(new: Person, old: Person, *, atol: float = 0.0, translation: bool = True) -> None:
    """Fail unless pose, shape, translation and, where there are any, frame numbers are those of ``old``."""
    kept = old.tracks["body_pose"].values.shape[1]
    count = min(kept, new.tracks["body_pose"].values.shape[1])
    for track, first, last in (("global_orient", 0, 1), ("body_pose", 0, count)):
        got, wanted = (p.tracks[track].values[:, first:last].astype(np.float64) for p in (new, old))
        np.testing.assert_allclose(axis_angle_to_matrix(got), axis_angle_to_matrix(wanted), rtol=0, atol=atol)
    np.testing.assert_array_equal(new.tracks["body_pose"].values[:, kept:], 0)
    if translation:
        wanted = old.tracks["transl"].values if "transl" in old.tracks else 0
        np.testing.assert_allclose(
            new.tracks["transl"].values, np.broadcast_to(wanted, (len(new.frames), 1, 3)), rtol=atol
        )
    if "betas" in old.tracks:
        np.testing.assert_allclose(new.tracks["betas"].values, old.tracks["betas"].values, rtol=atol)
    else:
        assert new.betas is not None
        np.testing.assert_allclose(new.betas, np.zeros(10) if old.betas is None else old.betas, rtol=atol)
