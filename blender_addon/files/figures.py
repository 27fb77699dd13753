"""People of a motion as figures: SMPL poses, rotations of any skeleton, and positions of joints."""

from __future__ import annotations

import numpy as np

from smoothnet_core._checks import mismatch
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.contents import CONTENTS, as_content, carried
from smpl_tools.convert import only
from smpl_tools.coordinates import assuming, stated_units, stated_ups, with_unit, with_up
from smpl_tools.motion import Motion, Up
from smpl_tools.rigs.guesses import with_guesses
from smpl_tools.rigs.plain_form import rig_arrays

from .bone_shapes import tails
from .figure import STILL, Array, Figure, quaternions
from .smpl_figures import smpl_figure

# In the order of preference: what an armature is made of.
SHOWN = ("smpl", "rig", "joints", "joints_2d")
# An image is shown this high, in metres.
_IMAGE = 2.0


def content_of(motion: Motion) -> str:
    """Return what of ``SHOWN`` a motion is shown as.

    Raises:
        ValueError: it carries nothing of that.
    """
    own = carried(motion)
    for content in SHOWN:
        if content in own:
            return content
    held = ", ".join(CONTENTS[content] for content in own)
    if not held:
        kinds = {f"{name} ({track.kind})" for person in motion.people for name, track in person.tracks.items()}
        held = ", ".join(sorted(kinds)) or "nobody"
    raise mismatch("content to import", ", ".join(CONTENTS[content] for content in SHOWN), held)


def figures_of(
    motion: Motion,
    bodies: dict[str, BodyModel] | None = None,
    *,
    camera: bool = False,
    up: Up | None = None,
    metres: float | None = None,
) -> tuple[list[Figure], tuple[str, ...]]:
    """Return every person of a motion as a figure, and remarks.

    Args:
        motion: as read.
        bodies: body models of people with SMPL poses, by id; a person without one has the bones of
            ``smpl_tools.skeleton``.
        camera: of poses both in the world and as the camera sees them, take the camera's.
        up: of a skeleton, the axis that points up, where the caller knows it.
        metres: of a skeleton, one unit in metres, where the caller knows it.

    Raises:
        ValueError: nothing of ``SHOWN``, or nobody.
    """
    content = content_of(motion)
    if not motion.people:
        raise mismatch("people in the file", "at least one", "nobody")
    figures, notes = [], []
    for person in motion.people:
        alone = only(motion, [person.id]) if len(motion.people) > 1 else motion
        if content == "smpl":
            found, remarks = smpl_figure(alone, (bodies or {}).get(person.id), camera)
        elif content == "rig":
            found, remarks = _rig_figure(alone, up, metres)
        else:
            found, remarks = _points_figure(alone, content)
        figures.append(found)
        notes += remarks
    return figures, tuple(dict.fromkeys(notes))


def _rig_figure(motion: Motion, up: Up | None, metres: float | None) -> tuple[Figure, list[str]]:
    plain, remarks = as_content(motion, "rig")
    # Here, since single channels state neither.
    plain = assuming(plain, up=up, metres=metres)
    plain, guesses = with_guesses(plain)
    notes = [*remarks, *guesses]
    plain, axis, unit = _standing(plain, notes)
    (person,) = plain.people
    skeleton = plain.skeleton
    assert skeleton is not None  # of the plain form
    rotations, offsets = rig_arrays(plain, person)
    places = np.asarray(skeleton.offsets, np.float64).copy()
    for j, parent in enumerate(skeleton.parents):
        if parent >= 0:
            places[j] += places[parent]
    moves = {0: offsets[:, 0] - skeleton.offsets[0]}
    for j in range(1, len(places)):
        away = offsets[:, j] - skeleton.offsets[j]
        if np.nanmax(np.abs(away), initial=0.0) > STILL:
            moves[j] = away
    ends = None if skeleton.ends is None else places + skeleton.ends
    turning = np.nanmax(np.abs(rotations - np.eye(3)), axis=(0, 2, 3), initial=0.0) > STILL
    turning[0] = True
    figure = Figure(
        person.id,
        "rig",
        skeleton.joints,
        np.asarray(skeleton.parents),
        places,
        tails(places, np.asarray(skeleton.parents), ends),
        np.eye(3),
        person.frames,
        quaternions(rotations),
        turning,
        moves,
        np.zeros(3),
        axis,
        unit,
    )
    return figure, notes


def _standing(plain: Motion, notes: list[str]) -> tuple[Motion, Up, float]:
    """Return a motion in metres with Z up, and what it was in."""
    ups, units = stated_ups(plain), stated_units(plain)
    if not ups:
        notes.append("axes not known: y taken for up")
        plain = assuming(plain, up="y")
    if not units:
        notes.append("unit not known: taken for metres")
        plain = assuming(plain, metres=1.0)
    up, metres = (ups or {"y"}).pop(), (units or {1.0}).pop()
    return with_unit(with_up(plain, "z"), 1.0), up, metres  # type: ignore[return-value]


def _points_figure(motion: Motion, content: str) -> tuple[Figure, list[str]]:
    plain, remarks = as_content(motion, content)
    notes = [*remarks]
    up: Up | None
    if content == "joints":
        plain, guesses = with_guesses(plain)
        notes += guesses
        plain, up, metres = _standing(plain, notes)
        (person,) = plain.people
        values = person.tracks["joints"].values.astype(np.float64)
        origin = np.zeros(3)
    else:
        (person,) = plain.people
        track = person.tracks["joints"].values.astype(np.float64)
        width, height = motion.image_size or _extent(track)
        up, metres = None, _IMAGE / height
        origin = np.array([-width / 2 * metres, 0.0, _IMAGE])
        values = np.stack([track[..., 0], np.zeros(track.shape[:2]), -track[..., 1]], axis=-1) * metres + origin
        notes.append("positions in an image: shown in an upright plane, 2 m high")
    seen = np.asarray(np.isfinite(values).all(axis=2))
    ever = np.asarray(seen.any(axis=0))
    first = np.argmax(seen, axis=0)
    places = np.where(ever[:, None], values[first, np.arange(values.shape[1])], 0.0)
    size = float(np.ptp(places[:, 2])) or 1.0
    joints = person.tracks["joints"].joints
    figure = Figure(
        person.id,
        content,
        joints,
        np.full(len(joints), -1, np.int64),
        places,
        places + np.array([0.0, 0.0, 0.02 * size]),
        np.eye(3),
        person.frames,
        None,
        np.zeros(len(joints), bool),
        {j: values[:, j] - places[j] for j in range(len(joints)) if ever[j]},
        origin,
        up,
        metres,
    )
    return figure, notes


def _extent(values: Array) -> tuple[float, float]:
    largest = np.nanmax(values, axis=(0, 1), initial=1.0)
    return float(largest[0]), float(largest[1])
