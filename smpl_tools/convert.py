"""A motion of one format made ready for another: content, axes, unit, frame rate, gaps, and what will be lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path

import numpy as np

from smoothnet_core._checks import mismatch, one_of
from smpl_tools.contents import CONTENTS, as_content, carried, derivable, with_smpl_poses
from smpl_tools.coordinates import stated_units, stated_ups, unit_name, with_unit, with_up
from smpl_tools.formats import FORMATS
from smpl_tools.formats._format import Format
from smpl_tools.gaps import filled, missing, without_empty_frames
from smpl_tools.joint_names import is_numbered
from smpl_tools.motion import Motion, Up
from smpl_tools.rigs.guesses import with_guesses
from smpl_tools.rigs.motions import rig_of_smpl

# Rates that differ by less are the same: 29.97 and 30 are not.
_SAME_RATE = 1e-4
# What belongs to a body model: nothing made from its poses has a place for it.
_OF_THE_MODEL = ("expression", "betas", "changing betas", "gender")
_COMPONENTS = {"left_hand_pca", "right_hand_pca"}


def makeable() -> tuple[str, ...]:
    """Return the names of the formats that new files can be written in."""
    return tuple(name for name, one in FORMATS.items() if one.make is not None)


def prepared_for(
    motion: Motion,
    to: str,
    *,
    fps: float | None = None,
    up: Up | None = None,
    metres: float | None = None,
    fill: bool = False,
    camera: bool = False,
    rig: Motion | None = None,
) -> tuple[Motion, tuple[str, ...]]:
    """Return a motion in the plain form that a format is made from, in the format's axes and unit, and remarks.

    Args:
        motion: as read.
        to: name of a format, of ``makeable()``.
        fps: frames a second to change to, by time; None keeps the motion's.
        up: axis to point up in place of the format's own.
        metres: unit of lengths in metres, in place of the format's own.
        fill: fill gaps; else a format that has no room for them is refused a motion that has some.
        camera: of poses that a file has both in the world and as the camera sees them, take the camera's.
        rig: of a character that the motion is put on, for formats of skeletons; its axes and unit count before the
            format's where the format allows any.

    Raises:
        ValueError: the motion carries nothing the format can hold, or has gaps and the format has no room for them.
    """
    target = FORMATS[one_of("format to convert to", to, makeable())]
    if "array" not in target.contents:
        motion = with_smpl_poses(motion)
    if rig is not None:
        return _on_rig(motion, rig, target, fps, up, metres, fill, camera)
    found = derivable(motion, target.contents)
    if found is None:
        wanted = " or ".join(CONTENTS[content] for content in target.contents)
        held = ", ".join(CONTENTS[content] for content in carried(motion)) or "nothing of the kind"
        hint = "; smoothnet fit finds poses for positions" if "joints" in carried(motion) else ""
        raise mismatch(f"content for {target.title}", wanted, held + hint)
    asked = up is not None or metres is not None
    if motion.format != to:
        # A file that goes into its own format again keeps its own axes and unit.
        up, metres = up or target.up, metres or target.metres
    remarks = _left_out(motion, *found)
    if up and found[1] == "smpl":
        # Before a skeleton is made of it: that of SMPL stands upright at rest whatever the scene's axes are.
        if not stated_ups(motion):
            motion, guesses = with_guesses(motion)
            remarks += guesses
        motion = with_up(motion, up)
    if found[0] == "joints_2d" and asked:
        raise mismatch("motion to turn or to scale", "one in space, with axes and a unit", "2D positions of joints")
    plain, notes = as_content(motion, found[0], camera=camera)
    remarks += notes
    if (up and not stated_ups(plain)) or (metres and not stated_units(plain)):
        plain, guesses = with_guesses(plain)
        remarks += guesses
    if up:
        if not stated_ups(plain) and found[0] != "joints_2d":
            remarks.append(f"axes not known: kept as they are, where {up} should be up (--from-up says what they are)")
        plain = with_up(plain, up)
    if metres:
        if not stated_units(plain) and _has_places(plain):
            remarks.append(
                f"unit not known: kept, where it should be {unit_name(metres)} (--from-unit says what it is)"
            )
        plain = with_unit(plain, metres)
    return _in_time(plain, target, fps, fill, remarks)


def _on_rig(
    motion: Motion,
    rig: Motion,
    target: Format,
    fps: float | None,
    up: Up | None,
    metres: float | None,
    fill: bool,
    camera: bool,
) -> tuple[Motion, tuple[str, ...]]:
    if "rig" not in target.contents:
        raise mismatch("format for the motion of a rig", "bvh or gltf", target.name)
    lost = _left_out(motion, "rig", "smpl") if "smpl" in carried(motion) else []
    shape, _ = as_content(rig, "rig")
    shape, guesses = with_guesses(shape)
    ups = stated_ups(shape)
    if len(ups) != 1:
        raise mismatch("axes of the rig", "known", "not known")
    plain, notes = as_content(motion, "smpl", camera=camera)
    if not stated_ups(plain):
        plain, more = with_guesses(plain)
        guesses = (*guesses, *more)
    (own,) = ups
    plain = with_unit(with_up(plain, own), 1.0)
    placed, report = rig_of_smpl(plain, shape)
    if target.metres is not None:
        up, metres = up or target.up, metres or target.metres
    if up is not None:
        placed = with_up(placed, up)
    if metres is not None:
        placed = with_unit(placed, metres)
    return _in_time(placed, target, fps, fill, [*lost, *notes, *guesses, *report])


def _in_time(
    plain: Motion, target: Format, fps: float | None, fill: bool, remarks: list[str]
) -> tuple[Motion, tuple[str, ...]]:
    """Fill gaps and change the rate as asked, and look at what the format has room for."""
    if fill:
        plain = filled(plain)
    if fps is not None and not _same_rate(plain.fps, fps):
        from smpl_tools.resampling import at_rate

        if plain.fps is None:
            raise mismatch("frame rate of the motion", "stated, to change it", "not known (--from-fps says what it is)")
        plain = at_rate(plain, fps)
    remarks = [*remarks, *_checked(plain, target)]
    if {"gaps", "frame numbers"} <= set(target.keeps):
        plain = without_empty_frames(plain)
    return plain, tuple(remarks)


def _same_rate(first: float | None, second: float | None) -> bool:
    return first is not None and second is not None and abs(first / second - 1) < _SAME_RATE


def _has_places(motion: Motion) -> bool:
    tracks = [track for person in motion.people for track in person.tracks.values()]
    return any(track.kind == "position" and track.values.shape[2] == 3 for track in tracks)


def _left_out(motion: Motion, content: str, source: str) -> list[str]:
    """Return remarks on what a motion has that its plain form will not have."""
    names = {name for person in motion.people for name in person.tracks}
    remarks = []
    if motion.format == "array" and source == "smpl":
        remarks.append("rotations of a plain array taken for those of SMPL's joints, the first for the root")
    if content != source and source == "smpl":
        lost = [what for what in had(motion) if what in _OF_THE_MODEL]
        remarks += [f"not kept without a body model: {', '.join(lost)}"] if lost else []
    if source == "smpl" and names & _COMPONENTS:
        remarks.append("hands not kept: they are principal components of the hand model, which turns them into poses")
    return remarks


def _checked(motion: Motion, target: Format) -> list[str]:
    """Return remarks on what the format will not keep of a motion that is ready for it."""
    holes = [(person.id, count) for person in motion.people if (count := missing(person))]
    if holes and "gaps" not in target.keeps:
        listed = ", ".join(f"{count} frames of person {ident}" for ident, count in holes[:3])
        raise mismatch(f"frames for {target.title}, which has no room for gaps", "no gap (--fill fills them)", listed)
    remarks = []
    # Several people are refused, or get a file each.
    lost = [what for what in had(motion) if what not in (*target.keeps, "people")]
    if lost:
        remarks.append(f"not kept by this format: {', '.join(lost)}")
    remarks += _cut_off(motion, target)
    tracks = [track for person in motion.people for name, track in person.tracks.items() if name == "joints"]
    if not target.any_joints and any(is_numbered(track.joints) for track in tracks):
        remarks.append("joints have no names: taken for this format's, in its order")
    if target.fps is not None and motion.fps is not None and not _same_rate(target.fps, motion.fps):
        remarks.append(
            f"the format states no frame rate and its readers assume {target.fps:g}: this motion has {motion.fps:g} "
            f"(--fps {target.fps:g} changes it)"
        )
    return remarks


def _cut_off(motion: Motion, target: Format) -> list[str]:
    """Return remarks on numbers of shape and expression that are not 0 and that the format has no room for."""
    remarks = []
    for name, room in (("betas", target.betas), ("expression", target.expression)):
        if not {name, f"changing {name}"} & set(target.keeps):
            continue
        arrays = [person.tracks[name].values for person in motion.people if name in person.tracks]
        if name == "betas":
            arrays += [person.betas[None] for person in motion.people if person.betas is not None]
        size = max((array.shape[1] for array in arrays if np.nan_to_num(array[:, room:]).any()), default=0)
        if size:
            remarks.append(f"{name}: the first {room} of {size} numbers kept")
    return remarks


def had(motion: Motion) -> list[str]:
    """Return what a motion in a plain form has beside poses or positions, of ``formats._format.KEPT``."""
    names = {name for person in motion.people for name in person.tracks}
    tracks = [track for person in motion.people for track in person.tracks.values()]
    found = {
        "translation": "transl" in names,
        "hands": bool({"left_hand_pose", "right_hand_pose"} & names),
        "jaw and eyes": bool({"jaw_pose", "eye_pose"} & names),
        "expression": "expression" in names,
        "betas": any(person.betas is not None for person in motion.people),
        "changing betas": "betas" in names,
        "gender": any(person.gender is not None for person in motion.people),
        "confidence": any(track.confidence is not None for track in tracks),
        "people": len(motion.people) > 1,
        "gaps": any(missing(person) for person in motion.people),
        "frame numbers": any(person.frames[:1].any() for person in motion.people),
        "frame rate": motion.fps is not None,
    }
    return [what for what, there in found.items() if there]


def make(motion: Motion, to: str, path: Path) -> None:
    """Write a motion of :func:`prepared_for` to a new file of a format.

    Raises:
        ValueError: see the format; or several people for a format that holds one.
    """
    target = FORMATS[one_of("format to convert to", to, makeable())]
    assert target.make is not None  # since it is one of those
    if len(motion.people) != 1 and "people" not in target.keeps:
        ids = ", ".join(person.id for person in motion.people) or "nobody"
        raise mismatch(f"people for {target.title}", "one (--person chooses one; a folder as output takes all)", ids)
    target.make(motion, path)


def only(motion: Motion, ids: Collection[str]) -> Motion:
    """Return a motion with some of its people only, which can be written to new files.

    Raises:
        ValueError: an id that nobody has.
    """
    for ident in ids:
        one_of("person", ident, [person.id for person in motion.people])
    people = tuple(person for person in motion.people if person.id in ids)
    return motion if len(people) == len(motion.people) else dataclasses.replace(motion, people=people, source=None)
