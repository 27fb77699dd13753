"""A motion through a refiner and back: which tracks, on which timeline, and what became of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of
from smpl_tools.body_tracks import joint_names, refinable
from smpl_tools.joint_tracks import JUDGES, refined_at_joints
from smpl_tools.measures import ASSUMED_FPS, is_observed, pieces
from smpl_tools.motion import DEFAULT_PARTS, PARTS, Motion, Person, Track
from smpl_tools.refined_tracks import Refiner, refined_track
from smpl_tools.track_reports import TrackReport, observation, track_report

if TYPE_CHECKING:
    from smoothnet_core import Model

# The names on the command line; all but the first two are keys of ``smoothnet_core.filters.FILTERS``.
METHODS = ("smoothnet", "repair", "one-euro", "savgol", "gaussian", "butterworth", "median", "kalman")


@dataclass(frozen=True)
class MotionReport:
    """What became of a motion.

    Attributes:
        method: the name in ``METHODS``.
        model: name or path of the model, None for ``repair`` and filters.
        judge: ``rotations`` or ``joints``, see :func:`refine_motion`.
        strength: 0 to 1.
        fps: the frame rate the refinement went by.
        fps_assumed: the file states none and none was given: ``fps`` is ``ASSUMED_FPS``.
        tracks: one report a refined track.
        unobserved: ``person/track`` of selected tracks that hold no value at all, and were left as they are.
        unknown: the same of tracks that a body-aware model cannot refine, beside others that it can.
        bridged_frames: frames in which a person was missing and which were bridged (at most half a second each).
        splits: longer absences, at which a person's movement was taken apart.
    """

    method: str
    model: str | None
    judge: str
    strength: float
    fps: float
    fps_assumed: bool
    tracks: tuple[TrackReport, ...]
    unobserved: tuple[str, ...]
    unknown: tuple[str, ...]
    bridged_frames: int
    splits: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain lists, dictionaries, numbers and text, as JSON has them."""
        return dataclasses.asdict(self)


class RefinedMotion(NamedTuple):
    """The refined motion and what became of it."""

    motion: Motion
    report: MotionReport


def refine_motion(
    motion: Motion,
    *,
    model: Any = "default",
    method: str = "smoothnet",
    judge: str = "rotations",
    strength: float = 1.0,
    parts: Sequence[str] = DEFAULT_PARTS,
    person: str | Sequence[str] | None = None,
    backend: str = "auto",
    fps: float | None = None,
    progress: Callable[[float], None] | None = None,
    out: Mapping[tuple[str, str], NDArray[Any]] | None = None,
) -> RefinedMotion:
    """Refine the selected tracks of a motion; everything else stays the same object.

    Each track goes through the refiner on a uniform timeline. Where a person is missing for up to half a second the
    missing frames are bridged as not observed and left out of the result again; a longer absence separates the
    movement into pieces that are refined alone. Within existing rows, NaN is filled; a joint that a piece never shows
    keeps its NaN.

    Args:
        motion: what ``smpl_tools.formats.read`` returns.
        model: a shipped model's name, a path to weights, or a loaded model; for ``method="smoothnet"`` only. One that
            knows a body refines 3D positions of its joints, found by name, or by order where the file has no names.
        method: one of ``METHODS``.
        judge: ``rotations``: each track by itself; ``joints``: rotations of a skeleton that the file has, or of the
            SMPL family's joints, by where they place the joints as well, see :mod:`smpl_tools.joint_refinement`.
            Other tracks are refined alike in both.
        strength: 0 (unchanged) to 1 (the refiner's full result).
        parts: which parts of a person, of ``smpl_tools.motion.PARTS``.
        person: id, or ids, of the people to refine; None refines all.
        backend: for ``method="smoothnet"``, see ``smoothnet_core.refine``.
        fps: frames a second, in place of the motion's; where neither is known, 30.
        progress: called with the fraction done, 0 to 1, after every track.
        out: by the person's id and the track's name, arrays of a track's shape and dtype (memory maps, say) that its
            refined values are written to; those of other tracks, and of tracks judged at the joints, are new arrays.

    Raises:
        ValueError: an unknown name among the arguments, no track of the parts in the motion, or none that the model
            can refine, none with joints to judge at, no observed value in the selected tracks, or a refusal of the
            refiner; where the motion has a path the message begins with it.
    """
    one_of("method", method, METHODS)
    one_of("judge", judge, JUDGES)
    for part in parts:
        one_of("part", part, PARTS)
    where = "" if motion.path is None else f"{motion.path}: "
    try:
        return _refine_motion(motion, model, method, judge, strength, parts, person, backend, fps, progress, out or {})
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error


def _refine_motion(
    motion: Motion,
    model: Any,
    method: str,
    judge: str,
    strength: float,
    parts: Sequence[str],
    person: str | Sequence[str] | None,
    backend: str,
    fps: float | None,
    progress: Callable[[float], None] | None,
    out: Mapping[tuple[str, str], NDArray[Any]],
) -> RefinedMotion:
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise mismatch("fps", "a positive number", repr(fps))
    rate = float(fps or motion.fps or ASSUMED_FPS)
    chosen = _people(motion, person)
    work = [(p, n, t) for p in chosen for n, t in p.tracks.items() if t.part in parts and t.values.shape[1]]
    if not work and chosen:
        found = sorted({t.part for p in chosen for t in p.tracks.values()})
        raise mismatch(
            "parts to refine", f"some of what the file has, {', '.join(found) or 'nothing'}", ", ".join(parts)
        )
    network = _network(method, model)
    body = None if network is None else network.body
    unknown = []
    if network is not None and body is not None:
        work, unknown = refinable(body, network.name, motion, work)
    if any(len(t.values) for _, _, t in work) and not any(is_observed(t) for _, _, t in work):
        names = ", ".join(dict.fromkeys(name for _, name, _ in work))
        raise mismatch("values to refine", "at least one observed value", f"only NaN in {names}")

    refiner = _refiner(method, network, strength, backend, rate, motion.image_size)
    judged: dict[tuple[str, str], Track] = {}
    if judge == "joints":
        full = _refiner(method, network, 1.0, backend, rate, motion.image_size)
        # The core steadies rotations of these weights alone.
        steady = network is not None and network.architecture == "vector_filter"
        judged = refined_at_joints(motion, work, full, strength=strength, fps=rate, steady=steady)
    reports, unobserved = [], []
    changed: dict[str, dict[str, Track]] = {p.id: {} for p in chosen}
    for done, (one, name, track) in enumerate(work, start=1):
        if is_observed(track):
            seen = observation(track, one.frames, rate)
            names = None if body is None else joint_names(body, motion, name, track)
            key = (one.id, name)
            new = judged.get(key) or refined_track(track, seen, one.frames, rate, refiner, names, out.get(key))
            changed[one.id][name] = new
            reports.append(track_report(motion, one, name, new, seen, rate))
        elif len(track.values):
            unobserved.append(f"{one.id}/{name}")
        if progress is not None:
            progress(done / len(work))
    people = tuple(p.with_tracks(changed[p.id]) if changed.get(p.id) else p for p in motion.people)
    report = MotionReport(
        method=method,
        model=None if network is None else network.name,
        judge=judge,
        strength=float(strength),
        fps=rate,
        fps_assumed=fps is None and motion.fps is None,
        tracks=tuple(reports),
        unobserved=tuple(unobserved),
        unknown=tuple(f"{one.id}/{name}" for one, name, _ in unknown),
        bridged_frames=sum(_bridged(p.frames, rate) for p in chosen),
        splits=sum(max(len(pieces(p.frames, rate)) - 1, 0) for p in chosen),
    )
    return RefinedMotion(motion.with_people(people), report)


def _people(motion: Motion, person: str | Sequence[str] | None) -> tuple[Person, ...]:
    if person is None:
        return motion.people
    wanted = [person] if isinstance(person, str) else list(person)
    known = [p.id for p in motion.people]
    for one in wanted:
        one_of("person", one, known)
    return tuple(p for p in motion.people if p.id in wanted)


def _network(method: str, model: Any) -> Model | None:
    """Return the model, loaded once for all tracks; None for ``repair`` and filters."""
    if method != "smoothnet":
        return None
    from smoothnet_core import load_model

    return load_model(model)


def _refiner(
    method: str,
    network: Model | None,
    strength: float,
    backend: str,
    fps: float,
    image_size: tuple[float, float] | None,
) -> Refiner:
    """Return the one call that all tracks go through, see ``smpl_tools.refined_tracks``."""
    if network is None:
        from smoothnet_core import repair
        from smoothnet_core.filters import FILTERS

        smooth = repair if method == "repair" else FILTERS[method]
        return lambda values, track, confidence, names, out: smooth(
            values, fps=fps, kind=track.kind, strength=strength, confidence=confidence, order=track.order
        )

    from smoothnet_core import refine

    return lambda values, track, confidence, names, out: refine(
        values,
        fps=fps,
        kind=track.kind,
        model=network,
        strength=strength,
        confidence=confidence,
        joints=names,
        image_size=image_size if track.values.shape[2:] == (2,) else None,
        order=track.order,
        backend=backend,
        out=out,
    )


def _bridged(frames: NDArray[np.int64], fps: float) -> int:
    """Count the frames between a person's rows that were bridged."""
    return sum(int(frames[p.stop - 1] - frames[p.start]) + 1 - (p.stop - p.start) for p in pieces(frames, fps))
