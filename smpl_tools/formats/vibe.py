"""VIBE's and TCMR's ``vibe_output.pkl``: people as a weak-perspective camera sees them, without translation.

Layout (VIBE, ``demo.py``; ``lib/utils/demo_utils.py`` and ``lib/utils/fbx_output.py`` read it): a dictionary of people,
each a dictionary of arrays over that person's frames: ``pose`` (T, 72) axis-angle with y down, ``betas`` (T, 10),
``pred_cam`` (T, 3) for the crop around the person and ``orig_cam`` (T, 4) for the picture, ``bboxes`` (T, 4) as centre,
height and width in pixels, ``verts`` (T, 6890, 3), ``joints3d`` (T, 49, 3), ``joints2d``, ``frame_ids`` (T,).
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
from smpl_tools.formats._smpl import pose, shapes
from smpl_tools.motion import Motion, Up

NAME = "vibe"
UP: Up = "-y"
# The side of the crop that VIBE's network sees, in pixels.
_CROP = 224.0


def matches(path: Path, head: bytes) -> bool:
    """Tell whether the file is a pickle of people with ``pose``, ``frame_ids`` and a camera, and no world."""
    if not is_pickle(head):
        return False
    content = content_of(path)
    return is_records(content) and knows_cameras_alone(content)


def read(path: Path, options: Options) -> Motion:
    """Read VIBE's or TCMR's results, see :func:`smpl_tools.formats._person_records.read_records`.

    Raises:
        ValueError: the file is refused or damaged, or an array is not as above.
    """
    return read_records(path, options, NAME)


def make(motion: Motion, path: Path) -> None:
    """Write new results, one entry for each person, in a pickle that ``joblib.load`` reads.

    The layout has no translation and supposes a picture. The file gets one of 224 by 224 pixels that the person's box
    fills, and the neutral camera for it, scale 1 in its middle. ``joints2d`` are None, as VIBE's own are where it
    tracked boxes; ``verts`` are left out: only the body model can compute them.

    Raises:
        ValueError: nobody is in the motion, or nothing can be written there.
    """
    content: dict[int | str, dict[str, Any]] = {}
    for key, person in zip(record_keys(motion, "VIBE's results"), motion.people, strict=True):
        count = len(person.frames)
        joints = pose(person, 24).reshape(count, 72)
        content[key] = {
            "pred_cam": np.tile(np.array([1, 0, 0], joints.dtype), (count, 1)),
            "orig_cam": np.tile(np.array([1, 1, 0, 0], joints.dtype), (count, 1)),
            "pose": joints,
            "betas": shapes(person, 10),
            "joints2d": None,
            "bboxes": np.tile([_CROP / 2, _CROP / 2, _CROP, _CROP], (count, 1)),
            "frame_ids": np.array(person.frames),
        }
    dump(content, path)


FORMAT = Format(
    NAME,
    "VIBE or TCMR results",
    matches,
    read,
    write_records,
    (".pkl",),
    make=make,
    contents=("smpl",),
    up=UP,
    metres=1.0,
    fps=ASSUMED_FPS,
    keeps=("betas", "changing betas", "people", "ids", "gaps", "frame numbers"),
)
