"""Rotations refined each by itself against rotations judged at the joints that they place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import filters, refine
from smoothnet_core.model import Model
from smoothnet_core.rotations import geodesic_angle
from smpl_tools.experiments.frame import Bench, Result, Table
from smpl_tools.experiments.joint_takes import (
    ERRORS,
    HELD_OUT,
    MEASURES,
    Take,
    clean_takes,
    paired_takes,
    scores,
    with_errors,
)
from smpl_tools.experiments.refiners import (
    MIN_SPEED,
    Scores,
    Setting,
    Tried,
    best,
    losses,
    mode_table,
    setting_text,
    settings,
)
from smpl_tools.experiments.rotations import rotation_clips
from smpl_tools.motion import Motion, Track
from smpl_tools.refine_motion import refine_motion
from smpl_tools.skeleton import person_pose

Array = NDArray[np.float64]
TakeRefiner = Callable[[Take], Motion]

# Filters that come near to the best on rotations, see the study `rotations`; the others' grids take long.
_SEARCHED = ("savgol", "gaussian", "butterworth", "kalman")
# Of the clips of other subjects every so many-th is for the search, and at the end so many draws of errors a clip.
_SEARCH_EVERY, _DRAWS = 24, 3
_RATES = (30.0, 60.0)
_FILTER = "best filter"


def run(bench: Bench) -> Result:
    """Compare both on real errors of validation clips, on errors added to held-out capture, and on clean capture."""
    paired = paired_takes(rotation_clips(bench.validation))
    tuned = bench.settings_of("rotations")
    real = _judged(paired, bench, {name: dict(by_mode) for name, by_mode in tuned.items()})
    clean = _held_out(bench, _RATES[0])
    rng = np.random.default_rng(0)
    drawn = [with_errors(take, errors, rng) for errors in ERRORS for take in clean for _ in range(_DRAWS)]
    found = _searched(bench)
    added = _judged(drawn, bench, found)
    near = {key: measure for key, (measure, _) in MEASURES.items() if key != "world_mm"}
    every = {key: measure for key, (measure, _) in MEASURES.items()}
    filter_note = (
        f"The best filter is the one of lowest MPJPE on these takes among the tuned ones that keep {MIN_SPEED} of the "
        "speed (where none does, the one that keeps most), so chosen in its favour. MPJPE and hands and feet are "
        "relative to the root."
    )
    real_table = mode_table(
        "Real errors",
        "Paired validation clips, 30 frames a second: rotations of the small skeleton as in the study `rotations`, 15 "
        f"joints; hands and feet are wrists and toes, and speed is theirs. {filter_note} `world` refines the rotations "
        "of bones in the scene in place of those relative to the parent.",
        real,
        near,
    )
    added_table = mode_table(
        "Errors added to clean motion",
        f"{len(clean)} clips of CMU motion capture of subjects {' and '.join(HELD_OUT)}, which neither the networks "
        f"nor the settings have seen, 30 frames a second, without fingers, {_DRAWS} draws of errors each. On every "
        "rotation jitter and drift (first-order autoregressive, 0.9 a frame) of 1.5 and 3 degrees, or 3 and 1; rarely "
        "12 to 30 degrees for up to 3 frames; at the spine: all of it at joints that carry more than one hand or foot, "
        "a fifth elsewhere. On the root 6 and 20 mm. Filters are tuned for MPJPE on "
        f"other subjects' clips at speed {MIN_SPEED} or more. {filter_note}",
        added,
        every,
        "errors",
    )
    chosen = [
        [group, name, setting_text(setting)] for name, by_group in found.items() for group, setting in by_group.items()
    ]
    setting_table = Table(
        "Settings found for added errors",
        "Clips of other subjects, 30 frames a second.",
        {"errors": None, "filter": None, "setting": None},
        chosen,
    )
    first = next(iter(bench.networks))
    lost = [_behind(first, scored) + " " + losses(f"{first}, joints", scored, every) for scored in (real, added)]
    return Result(
        "the paper refines rotations each by itself and has no such study.",
        f"On real errors: {lost[0]} With errors added: {lost[1]}",
        [real_table, added_table, _clean_table(bench), setting_table],
    )


def _behind(network: str, scored: Mapping[str, Scores]) -> str:
    """Return in words where judging at the joints does worse than the same network on each rotation by itself."""
    found = []
    for group, own in scored[f"{network}, joints"].items():
        other = scored[f"{network}, rotations"][group]
        for key, (measure, _) in MEASURES.items():
            if measure.distance(other[key]) < measure.distance(own[key]):
                d = measure.decimals
                found.append(f"{group}, {measure.heading} {own[key]:.{d}f} ({other[key]:.{d}f})")
    where = "; ".join(found) if found else "nowhere in these measures"
    return f"`joints` is behind `rotations` of the same network in {where}."


def _held_out(bench: Bench, fps: float) -> list[Take]:
    takes = clean_takes(bench.clean_file, held_out=True, fps=fps)
    return takes[:1] if bench.quick else takes


def _judged(takes: Sequence[Take], bench: Bench, tuned: Mapping[str, Mapping[str, Setting]]) -> dict[str, Scores]:
    """Return the scores by group of no refinement, the best filter, and the networks judged in each way."""
    bench.say(f"  {len(takes)} takes")
    rows = {"raw": scores(takes, _raw)}
    tried = [
        Tried(name, {}, scores(takes, lambda take, n=name, by=by_group: _filtered(take, n, by[take.group])))
        for name, by_group in tuned.items()
    ]
    rows[_FILTER] = {group: best(tried, group, "mpjpe_mm").scores[group] for group in rows["raw"]}
    for name, model in bench.networks.items():
        for judge in ("rotations", "joints"):
            rows[f"{name}, {judge}"] = scores(
                takes, lambda take, m=model, j=judge: refine_motion(take.motion, model=m, judge=j).motion
            )
        rows[f"{name}, world"] = scores(takes, lambda take, m=model: _in_world(take, m))
    return rows


def _raw(take: Take) -> Motion:
    """Return a take with nothing but its gaps filled."""
    return refine_motion(take.motion, method="gaussian", strength=0.0).motion


def _with(take: Take, changed: Callable[[Track], Array]) -> Motion:
    person = take.motion.people[0]
    tracks = {name: track.replace(values=changed(track)) for name, track in person.tracks.items()}
    return take.motion.with_people((person.with_tracks(tracks),))


def _filtered(take: Take, name: str, setting: Setting) -> Motion:
    def smooth(track: Track) -> Array:
        confidence = {"confidence": track.confidence} if name == "kalman" else {}
        return filters.FILTERS[name](track.values, fps=take.motion.fps, kind=track.kind, **confidence, **setting)

    return _with(take, smooth)


def _in_world(take: Take, model: Model) -> Motion:
    """Return a take whose bones' rotations in the scene were refined, each by itself."""
    rotations, _ = person_pose(_raw(take).people[0], take.skeleton)
    parents = take.skeleton.parents
    turned = rotations.copy()
    for joint, parent in enumerate(parents):
        if parent >= 0:
            turned[:, joint] = turned[:, parent] @ rotations[:, joint]
    turned = refine(turned, fps=take.motion.fps, kind="rotation_matrix", model=model)
    local = turned.copy()
    for joint, parent in enumerate(parents):
        if parent >= 0:
            local[:, joint] = turned[:, parent].swapaxes(-1, -2) @ turned[:, joint]
    person = refine_motion(take.motion, model=model).motion.people[0]
    tracks = {}
    for name, track in person.tracks.items():
        if track.kind != "position":
            index = [take.skeleton.joints.index(joint) for joint in track.joints]
            tracks[name] = replace(track, values=local[:, index], kind="rotation_matrix")
    return take.motion.with_people((person.with_tracks(tracks),))


def _searched(bench: Bench) -> dict[str, dict[str, Setting]]:
    """Return the settings of filters by group of errors, tuned on clips of subjects that are not held out."""
    rng = np.random.default_rng(1)
    clean = clean_takes(bench.clean_file, held_out=False, every=_SEARCH_EVERY)
    takes = [with_errors(take, errors, rng) for errors in ERRORS for take in (clean[:1] if bench.quick else clean)]
    found: dict[str, dict[str, Setting]] = {}
    for name in _SEARCHED:
        tried = [
            Tried(name, setting, scores(takes, lambda take, s=setting, n=name: _filtered(take, n, s)))
            for setting in settings(name, bench)
        ]
        bench.say(f"  {name}: {len(tried)} settings")
        found[name] = {errors.name: best(tried, errors.name, "mpjpe_mm").setting for errors in ERRORS}
    return found


def _clean_table(bench: Bench) -> Table:
    rows = []
    for fps in _RATES:
        takes = _held_out(bench, fps)
        for name, model in bench.networks.items():
            for judge in ("rotations", "joints"):
                changes = np.array(
                    [_changes(take, refine_motion(take.motion, model=model, judge=judge).motion) for take in takes]
                )
                means, worst = changes.mean(axis=0), changes.max(axis=0)
                rows.append(
                    [f"{fps:g}", f"{name}, {judge}", *(v for pair in zip(means, worst, strict=True) for v in pair)]
                )
    headings = [
        f"{which} {what}" for what in ("mm", "hands and feet mm", "degrees") for which in ("mean", "worst clip")
    ]
    return Table(
        "By how much clean motion changes",
        "Clips of the same subjects, frames a second as in the table; relative to the root. Means over frames and "
        "joints, then over clips.",
        {"frames a second": None, "refiner": None, **dict.fromkeys(headings, 2)},
        rows,
    )


def _changes(take: Take, refined: Motion) -> list[float]:
    before, after = take.views(take.truth), take.views(refined)
    moved = [1000 * float(np.linalg.norm(after[v] - before[v], axis=-1).mean()) for v in ("root", "ends")]
    return [*moved, float(np.degrees(geodesic_angle(after["rotations"], before["rotations"])).mean())]
