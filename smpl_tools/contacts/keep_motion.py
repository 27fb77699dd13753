"""Planted feet of the people of a motion, as files have them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of
from smpl_tools.contacts.detection import DEFAULT, ContactSettings, contacts
from smpl_tools.contacts.feet import WholeLeg, foot_points, whole_legs
from smpl_tools.contacts.feet_tracks import FeetTracks, feet_tracks
from smpl_tools.contacts.ground import UP
from smpl_tools.contacts.keeping import Kept
from smpl_tools.contacts.plan import KEEP, KeepSettings
from smpl_tools.measures import ASSUMED_FPS, pieces
from smpl_tools.motion import Motion, Person, Skeleton
from smpl_tools.rigs.guesses import RIG_UNITS

# A grown person's leg from hip to ankle, in metres, and how far a person's may be from it, as a factor.
_LEG, _LEG_FACTOR = 0.82, 1.5
# Hips that move by less than this share of a leg while the feet move: the person is told relative to them.
_STILL = 5e-3


@dataclass(frozen=True)
class PersonContacts:
    """What became of the feet of one person.

    Attributes:
        person: the person's id.
        tracks: names of the tracks that were changed.
        up: the axis taken to point up.
        metres: one unit of the person's lengths.
        unit_guessed: the file does not say the unit; it was told from the length of the legs.
        contact: by joint of the feet, the share of frames in which it stands.
        slide_before: mm/s, the mean over all contacts; None without any.
        slide_after: the same of the result, in the same contacts.
        largest_change: mm that a joint of the feet was moved at most.
        largest_change_joint: which.
        largest_change_frame: its frame number in the file.
        largest_knee_change: degrees by which the bend of a knee was changed at most.
        largest_lift: mm that the pelvis was raised or lowered at most.
    """

    person: str
    tracks: tuple[str, ...]
    up: str
    metres: float
    unit_guessed: bool
    contact: dict[str, float]
    slide_before: float | None
    slide_after: float | None
    largest_change: float
    largest_change_joint: str | None
    largest_change_frame: int | None
    largest_knee_change: float
    largest_lift: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain lists, dictionaries, numbers and text, as JSON has them."""
        return dataclasses.asdict(self)


class KeptMotion(NamedTuple):
    """The motion with planted feet, one report for each person of whom feet were looked for, and remarks."""

    motion: Motion
    report: tuple[PersonContacts, ...]
    notes: tuple[str, ...]


def keep_contacts_motion(
    motion: Motion,
    reference: Motion | None = None,
    *,
    skeleton: Skeleton | None = None,
    person: str | Sequence[str] | None = None,
    fps: float | None = None,
    up: str | None = None,
    metres: float | None = None,
    detection: ContactSettings = DEFAULT,
    settings: KeepSettings = KEEP,
) -> KeptMotion:
    """Keep planted feet of every person in place; what does not belong to legs and root stays the same object.

    Rotations of ``global_orient`` and ``body_pose`` with a root ``transl`` go through the motion's skeleton, or
    through the one given, or through the approximate body of ``smpl_tools.skeleton``; a person with 3D positions only
    goes by those. Pieces between longer absences are done separately, shorter gaps are bridged and left out again.

    Args:
        motion: best a refined one: contacts are found in it.
        reference: a motion with the same people and frames in which contacts are to be found instead.
        skeleton: of the person, for rotations of the SMPL family, e.g. joints of a body model; the feet of a body with
            other legs slide.
        person: id, or ids, of the people to do; None does all.
        fps: frames a second, in place of the motion's; where neither is known, 30.
        up: the axis that points up; None takes that along which hips are above ankles, on average.
        metres: one unit of lengths in metres; None: what the format says, or else told from the length of the legs.
        detection: thresholds of contacts.
        settings: how feet are kept.

    Raises:
        ValueError: an unknown name, nobody with legs, positions relative to the hips, or a refusal of
            :func:`smpl_tools.contacts.keeping.keep_contacts`; the message begins with the motion's path where it has
            one, and names the person.
    """
    where = "" if motion.path is None else f"{motion.path}: "
    try:
        if up is not None:
            one_of("up", up, UP)
        known = [p.id for p in motion.people]
        wanted = known if person is None else [person] if isinstance(person, str) else list(person)
        for ident in wanted:
            one_of("person", ident, known)
        others = motion.people if reference is None else reference.people
        if [p.id for p in others] != known:
            raise mismatch("people of the reference", known, [p.id for p in others])
        rate = float(fps or motion.fps or ASSUMED_FPS)
        people, reports, lacking = list(motion.people), [], []
        for k, (one, other) in enumerate(zip(motion.people, others, strict=True)):
            if one.id not in wanted or not len(one.frames):
                continue
            try:
                feet = feet_tracks(motion, one, skeleton)
                scene = _scene(one, feet, up, metres)
            except ValueError as error:
                lacking.append(f"person {one.id}: {error}")
                continue
            people[k], report = _kept(one, other, feet, scene, rate, detection, settings)
            reports.append(report)
        if lacking and not reports:
            raise ValueError(lacking[0])
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error
    return KeptMotion(motion.with_people(tuple(people)), tuple(reports), _notes(reports, lacking))


def _notes(reports: list[PersonContacts], lacking: list[str]) -> tuple[str, ...]:
    notes = [f"feet not kept: {reason}" for reason in lacking]
    for unit in sorted({r.metres for r in reports if r.unit_guessed}):
        notes.append(f"the file does not state its unit of length: {unit:g} m by the length of the legs")
    return tuple(notes)


@dataclass(frozen=True)
class _Scene:
    """How a person's numbers are to be read."""

    up: str
    metres: float
    guessed: bool


def _scene(person: Person, feet: FeetTracks, up: str | None, metres: float | None) -> _Scene:
    """Find the axis that points up and the unit.

    Raises:
        ValueError: the person is told relative to the hips.
    """
    x = feet.positions(feet.whole(person))
    legs = whole_legs(feet.joints)
    length = leg_length(x, legs)
    hips, ankles = (x[:, [getattr(leg, name) for leg in legs]].mean(axis=1) for name in ("hip", "ankle"))
    if np.ptp(hips, axis=0).max() < _STILL * length and np.ptp(ankles, axis=0).max() > 0.1 * length:
        raise mismatch("movement", "one through the scene", "one relative to the hips")
    if up is None:
        rise = (hips - ankles).mean(axis=0)
        axis = int(np.argmax(abs(rise)))
        up = ("-" if rise[axis] < 0 else "") + "xyz"[axis]
    if metres is not None:
        return _Scene(up, metres, False)
    if feet.stated_metres is not None:
        return _Scene(up, feet.stated_metres, False)
    return _Scene(up, leg_unit(length), True)


def leg_length(positions: NDArray[np.float64], legs: Sequence[WholeLeg]) -> float:
    """Return the median length from hip over knee to ankle of legs among joints (T, J, 3), in their unit.

    Raises:
        ValueError: it is nothing.
    """
    lengths = [
        np.linalg.norm(positions[:, leg.knee] - positions[:, leg.hip], axis=-1)
        + np.linalg.norm(positions[:, leg.ankle] - positions[:, leg.knee], axis=-1)
        for leg in legs
    ]
    length = float(np.median(lengths))
    if not length > 0:
        raise mismatch("legs", "longer than nothing", "joints in one place")
    return length


def leg_unit(length: float) -> float:
    """Return the metres of a unit, told from the length of a leg from hip to ankle in it.

    The unit of rigs in which the leg is nearest to a grown person's; if it is near one in none, as if it were one.
    """
    near = [u for u in RIG_UNITS.values() if 1 / _LEG_FACTOR <= length * u / _LEG <= _LEG_FACTOR]
    return min(near, key=lambda u: abs(np.log(length * u / _LEG)), default=_LEG / length)


def _kept(
    person: Person,
    reference: Person,
    feet: FeetTracks,
    scene: _Scene,
    fps: float,
    detection: ContactSettings,
    settings: KeepSettings,
) -> tuple[Person, PersonContacts]:
    if reference is not person and not np.array_equal(reference.frames, person.frames):
        raise mismatch(f"frames of person {person.id} in the reference", len(person.frames), len(reference.frames))
    values = {name: person.tracks[name].values.copy() for name in feet.changed}
    found: list[tuple[Kept, NDArray[np.int64]]] = []
    for rows in pieces(person.frames, fps):
        if not (feet.seen(person, rows) and feet.seen(reference, rows)):
            continue
        contact = None
        if reference is not person:
            points, kinds = foot_points(whole_legs(feet.joints))
            x = feet.positions(feet.piece(reference, rows)) * scene.metres
            contact = contacts(x[:, points], fps=fps, up=scene.up, kinds=kinds, settings=detection)
        kept = feet.keep(
            feet.piece(person, rows),
            {name: array[rows] for name, array in values.items()},
            fps=fps,
            up=scene.up,
            metres=scene.metres,
            contact=contact,
            detection=detection,
            settings=settings,
        )
        found.append((kept, person.frames[rows]))
    tracks = {name: person.tracks[name].replace(values=array) for name, array in values.items()}
    same = [name for name in tracks if np.array_equal(values[name], person.tracks[name].values, equal_nan=True)]
    for name in same:
        del tracks[name]
    return person.with_tracks(tracks), _report(person, tuple(tracks), scene, found)


def _report(
    person: Person, tracks: tuple[str, ...], scene: _Scene, found: list[tuple[Kept, NDArray[np.int64]]]
) -> PersonContacts:
    points = found[0][0].points
    # Of bridged frames, which are no rows of the file, nothing is told.
    rows = [numbers - numbers[0] for _, numbers in found]
    standing, moved, knees, lifts = (
        np.concatenate([getattr(kept, name)[own] for (kept, _), own in zip(found, rows, strict=True)])
        for name in ("contact", "moved", "knee_change", "lifted")
    )
    slides = []
    for name in ("slide_before", "slide_after"):
        weights = [(kept.contact[1:] & kept.contact[:-1]).sum(axis=0) for kept, _ in found]
        total = sum(float(np.nansum(getattr(kept, name) * w)) for (kept, _), w in zip(found, weights, strict=True))
        count = float(sum(w.sum() for w in weights))
        slides.append(total / count if count else None)
    frame, joint = np.unravel_index(int(np.argmax(moved)), moved.shape)
    largest = float(moved[frame, joint])
    return PersonContacts(
        person=person.id,
        tracks=tracks,
        up=scene.up,
        metres=scene.metres,
        unit_guessed=scene.guessed,
        contact={name: float(share) for name, share in zip(points, standing.mean(axis=0), strict=True)},
        slide_before=slides[0],
        slide_after=slides[1],
        largest_change=largest,
        largest_change_joint=points[joint] if largest else None,
        largest_change_frame=int(np.concatenate([numbers for _, numbers in found])[frame]) if largest else None,
        largest_knee_change=float(abs(knees).max()),
        largest_lift=float(abs(lifts).max()),
    )
