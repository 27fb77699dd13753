"""WHAM's ``wham_output.pkl``: people in the world and as the camera sees them.

Layout (WHAM, ``demo.py``; ``lib/vis/run_vis.py`` reads it): a dictionary of people, each a dictionary of arrays over
that person's frames: ``pose`` (T, 72) axis-angle and ``trans`` (T, 3) as the camera sees them, ``pose_world`` and
``trans_world`` in a world with Y up, metres, ``betas`` (T, 10), ``verts`` (T, 6890, 3), ``frame_ids`` (T,).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from smpl_tools.formats._format import Format, Options
from smpl_tools.formats._person_records import (
    ASSUMED_FPS,
    is_records,
    knows_cameras_alone,
    read_records,
    record_keys,
    write_records,
)
from smpl_tools.formats._pickles import content_of, dump, is_pickle
from smpl_tools.formats._smpl import camera_view, pose, shapes, translation
from smpl_tools.motion import Motion, Up

NAME = "wham"
UP: Up = "y"


def matches(path: Path, head: bytes) -> bool:
    """Tell whether the file is a pickle of people with ``pose`` and ``frame_ids``, and not VIBE's."""
    if not is_pickle(head):
        return False
    content = content_of(path)
    return is_records(content) and not knows_cameras_alone(content)


def read(path: Path, options: Options) -> Motion:
    """Read WHAM's results, see :func:`smpl_tools.formats._person_records.read_records`.

    Raises:
        ValueError: the file is refused or damaged, or an array is not as above.
    """
    return read_records(path, options, NAME)


def make(motion: Motion, path: Path) -> None:
    """Write new results, one entry for each person, in a pickle that ``joblib.load`` reads.

    A motion in the world has no camera; the file gets a level one that stands at the world's origin and does not move,
    so that ``pose`` and ``trans`` tell the same movement. ``verts`` are left out: only the body model can compute them.

    Raises:
        ValueError: nobody is in the motion, or nothing can be written there.
    """
    content: dict[int | str, dict[str, Any]] = {}
    for key, person in zip(record_keys(motion, "WHAM's results"), motion.people, strict=True):
        world, camera = camera_view(person)
        count = len(person.frames)
        content[key] = {
            "pose": pose(camera, 24).reshape(count, 72),
            "trans": translation(camera),
            "pose_world": pose(world, 24).reshape(count, 72),
            "trans_world": translation(world),
            "betas": shapes(person, 10),
            "frame_ids": np.array(person.frames),
        }
    dump(content, path)


FORMAT = Format(
    NAME,
    "WHAM results",
    matches,
    read,
    write_records,
    (".pkl",),
    make=make,
    contents=("smpl",),
    up=UP,
    metres=1.0,
    fps=ASSUMED_FPS,
    keeps=("translation", "betas", "changing betas", "people", "ids", "gaps", "frame numbers"),
)
