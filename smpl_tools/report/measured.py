"""What a report says of its takes: metrics, errors of every frame, repaired spikes, gaps, and feet on the ground."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import metrics
from smoothnet_core.rotations import geodesic_angle
from smpl_tools.contacts.detection import contacts, foot_slide, runs
from smpl_tools.contacts.feet import find_legs, foot_points
from smpl_tools.contacts.ground import ground_plane
from smpl_tools.evaluation import evaluate_motions
from smpl_tools.measures import changes, jitter, prepared, speed_kept
from smpl_tools.motion import Track
from smpl_tools.poses import hips
from smpl_tools.report.takes import Take, Takes

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# A spike: for at most so many seconds a joint was changed so many times as much as it usually is, beside what it was
# changed by around that time, and by at least so many degrees, or by this share of the person's size.
_SPIKE_SECONDS, _SPIKE_TIMES, _SPIKE_DEGREES, _SPIKE_SHARE = 0.2, 5.0, 8.0, 0.015
# Hips that move by less than this share of the person's size: the person is told relative to them.
_STILL = 5e-3
# What evaluation calls its numbers, for people: name, unit, and what is good: 0, or 1 for a ratio to the truth.
_LABELS: dict[str, tuple[str, str, int]] = {
    "mpjpe_mm": ("MPJPE", "mm", 0),
    "pa_mpjpe_mm": ("PA-MPJPE", "mm", 0),
    "accel_mm_per_frame2": ("Accel", "mm/frame²", 0),
    "mpjve_mm_per_frame": ("MPJVE", "mm/frame", 0),
    "error_px": ("Error", "px", 0),
    "accel_px_per_frame2": ("Accel", "px/frame²", 0),
    "geodesic_deg": ("Rotation error", "°", 0),
    "speed_ratio": ("Speed to truth", "×", 1),
    "jitter_ratio": ("Jitter to truth", "×", 1),
}


def metric_rows(takes: Takes, unit: str | None = None) -> tuple[list[dict[str, Any]], tuple[int, ...]]:
    """Return the rows of the table of metrics, and the root: the joints whose mean is subtracted before errors.

    Args:
        takes: before or the only one, perhaps after, perhaps the truth.
        unit: key of ``smpl_tools.coordinates.UNITS``, see :func:`smpl_tools.evaluation.evaluate_motions`.

    Returns:
        Dictionaries of ``label``, ``unit``, ``best`` (0, 1, or None where nothing is), ``values`` by the takes' keys,
        and ``worst``, the mean of the worst 1 % of frames, likewise.

    Raises:
        ValueError: the unit of positions cannot be told.
    """
    rows: list[dict[str, Any]] = []
    root: tuple[int, ...] = ()
    truth = takes.of("truth")
    if truth is not None and takes.size > 1:
        found = {t.key: evaluate_motions(t.motion, truth.motion, unit=unit) for t in takes.takes if t is not truth}
        names = found["before"]["joints"]
        root = tuple(
            takes.joints.index(name) if name in takes.joints else names.index(name) for name in found["before"]["root"]
        )
        for name, (label, told, best) in _LABELS.items():
            values = {key: one["metrics"].get(name) for key, one in found.items()}
            if any(value is not None for value in values.values()):
                worst = {key: one["metrics"].get(f"{name}_worst_1_percent") for key, one in found.items()}
                rows.append({"label": label, "unit": told, "best": best, "values": values, "worst": worst})
    tracks = {t.key: prepared(_track(t)) for t in takes.takes}
    unit_name, factor = _length_unit(takes)
    shaking = {t.key: jitter(tracks[t.key], t.poses.frames, takes.fps) for t in takes.takes}
    scale = takes.metres or 1.0
    rows.append(
        {
            "label": "Jitter",
            "unit": f"{takes.unit}/s²",
            "best": 0 if len(takes.takes) > 1 else None,
            "values": {key: None if value is None else value * scale for key, value in shaking.items()},
        }
    )
    before, after = takes.of("before"), takes.of("after")
    if before is not None and after is not None:
        kept = speed_kept(tracks["before"], tracks["after"], before.poses.frames, takes.fps)
        rows.append(
            {
                "label": "Speed kept",
                "unit": "%",
                "best": None,
                "values": {"after": None if kept is None else 100 * kept},
            }
        )
        moved = changes(tracks["before"], tracks["after"]) * scale * factor
        if np.isfinite(moved).any():
            rows.append(
                {"label": "Mean change", "unit": unit_name, "best": None, "values": {"after": float(np.nanmean(moved))}}
            )
            frame, joint = np.unravel_index(int(np.nanargmax(moved)), moved.shape)
            rows.append(
                {
                    "label": "Largest change",
                    "unit": unit_name,
                    "best": None,
                    "values": {"after": float(moved[frame, joint])},
                    "at": [int(before.poses.frames[frame]) - takes.first, int(joint)],
                }
            )
    return rows, root


def frame_errors(takes: Takes, root: tuple[int, ...]) -> dict[str, dict[str, Array]]:
    """Return the errors (T,) of every frame, NaN where there is none, by name and by the key of the take.

    ``error`` is MPJPE in mm, of 2D the mean distance in pixels; ``accel`` in that unit per frame squared, at the middle
    of the three frames it is told from. Nothing without a truth, or where the unit of 3D positions is not known.
    """
    truth = takes.of("truth")
    if truth is None or takes.size == 1:
        return {}
    found: dict[str, dict[str, Array]] = {"error": {}, "accel": {}}
    first, second = (metrics.pixel_error, metrics.pixel_accel) if takes.size == 2 else (metrics.mpjpe, metrics.accel)
    for take in takes.takes:
        if take is not truth:
            found["error"][take.key] = first(take.positions, truth.positions, root=root or None)
            accel = np.full(takes.frames, np.nan)
            accel[1:-1] = second(take.positions, truth.positions, root=root or None)
            found["accel"][take.key] = accel
    return found


def body_size(takes: Takes) -> float:
    """Return the size of the person in the report's unit: the median over frames of the widest extent of the joints."""
    x = takes.takes[-1].positions
    whole = x[np.isfinite(x).all(axis=(1, 2))]
    seen = whole if len(whole) else _seen(x)
    if not len(seen):
        return 1.0
    extent = np.nanmax(seen, axis=1) - np.nanmin(seen, axis=1)
    return float(np.median(extent.max(axis=1))) or 1.0


def is_relative(takes: Takes) -> bool:
    """Tell whether the first take is told relative to the hips: they do not move, so there is no ground to stand on."""
    own = hips(takes.joints)
    x = _seen(takes.takes[0].positions[:, own].mean(axis=1, keepdims=True)) if own else np.zeros((0, 1, 1))
    return len(x) > 0 and float(np.ptp(x, axis=0).max()) < _STILL * body_size(takes)


def spikes(takes: Takes) -> tuple[list[tuple[int, int, float]], str]:
    """Return the repaired spikes and the unit of their size: frame on the timeline, joint, and how far it was off.

    A joint was off for a moment where the refinement changed it far more than it usually does: for at most
    ``_SPIKE_SECONDS`` by ``_SPIKE_TIMES`` times the median, and by ``_SPIKE_DEGREES``, or where there are no rotations
    by ``_SPIKE_SHARE`` of the person's size. Of rotations the joint's own turn is looked at, since a wrong hip moves
    the whole leg. Of the frames of a spike the one that was changed most is told.
    """
    before, after = takes.of("before"), takes.of("after")
    if before is None or after is None:
        return [], takes.unit
    from scipy.ndimage import median_filter

    longest = max(1, math.ceil(_SPIKE_SECONDS * takes.fps))
    turned = before.poses.rotations, after.poses.rotations
    if turned[0] is not None and turned[1] is not None and before.poses.turning == after.poses.turning:
        moved = np.full((takes.frames, turned[0].shape[1]), np.nan)
        moved[before.poses.frames - takes.first] = np.degrees(geodesic_angle(*turned))
        joints, least, unit = before.poses.turning, _SPIKE_DEGREES, "°"
        moved = moved[..., None]
    else:
        moved = before.positions - after.positions
        # Of channels, which have no size, how far they range.
        own = _seen(after.positions)
        size = body_size(takes) if takes.size > 1 else float((np.nanmax(own) - np.nanmin(own)) if own.size else 0.0)
        joints, least, unit = takes.joints, _SPIKE_SHARE * size, takes.unit
    seen = _observed(moved)
    slow = median_filter(np.nan_to_num(moved), size=(2 * longest + 1, 1, 1), mode="nearest")
    off = np.where(seen, np.linalg.norm(moved - slow, axis=-1), 0.0)
    usual = np.linalg.norm(moved, axis=-1)
    found = []
    for column, name in enumerate(joints):
        own = usual[seen[:, column], column]
        if own.size and name in takes.joints:
            for run in runs(off[:, column] > max(_SPIKE_TIMES * float(np.median(own)), least)):
                if run.stop - run.start <= longest:
                    frame = run.start + int(np.argmax(off[run, column]))
                    found.append((frame, takes.joints.index(name), float(off[frame, column])))
    return sorted(found), unit


def gaps(takes: Takes) -> list[tuple[int, int, int, bool]]:
    """Return where joints were not observed in the first take: frames from and up to (exclusive), the joint, -1 for all
    of them, and whether the take after has values there."""
    missing = ~_observed(takes.takes[0].positions)
    after = takes.of("after")
    there = np.zeros_like(missing) if after is None else _observed(after.positions)
    everything = np.asarray(missing.all(axis=1))
    found = [(r.start, r.stop, -1, bool(there[r].any())) for r in runs(everything)]
    for joint in range(missing.shape[1]):
        own = missing[:, joint] & ~everything
        found += [(r.start, r.stop, joint, bool(there[r, joint].all())) for r in runs(own)]
    return sorted(found)


def foot_contacts(takes: Takes) -> tuple[list[dict[str, Any]], dict[str, Any] | None, str | None]:
    """Return when feet stand in each take, the metric of how far they slide, and why there is neither.

    A foot stands where its heel (or ankle) or its ball does. All takes slide in the contacts of the truth, or else of
    the last.

    Returns:
        Dictionaries of ``side``, ``take`` and ``runs`` (frames from and up to); the row of the table; a sentence.
    """
    if takes.size != 3 or takes.up is None:
        return [], None, None
    if takes.metres is None:
        return [], None, "no foot contacts: the unit of length is not known"
    try:
        legs = find_legs(takes.joints)
    except ValueError:
        return [], None, "no foot contacts: no joint has the name of a foot"
    joints, kinds = foot_points(legs)
    up = ("-" if takes.up.sum() < 0 else "") + "xyz"[int(np.argmax(np.abs(takes.up)))]
    reference = takes.of("truth") or takes.takes[-1]
    if is_relative(takes):
        return [], None, "no foot contacts: the person is told relative to the hips"
    how: dict[str, Any] = {"fps": takes.fps, "up": up}
    bands: list[dict[str, Any]] = []
    flags = {}
    for take in takes.takes:
        feet = take.positions[:, joints]
        if not np.isfinite(feet).any():
            continue
        flags[take.key] = contacts(feet, kinds=kinds, ground=ground_plane(feet, kinds=kinds, **how), **how)
    for leg in legs:
        own = [joints.index(joint) for joint in leg.points]
        for take in takes.takes:
            if take.key in flags:
                standing = flags[take.key][:, own].any(axis=1)
                bands.append({"side": leg.side, "take": take.key, "runs": [[r.start, r.stop] for r in runs(standing)]})
    if reference.key not in flags:
        return bands, None, None
    slides = {}
    for take in takes.takes:
        slide = foot_slide(take.positions[:, joints], flags[reference.key], **how)
        slides[take.key] = float(np.nanmean(slide)) if np.isfinite(slide).any() else None
    best = 0 if len(takes.takes) > 1 else None
    return bands, {"label": "Foot slide", "unit": "mm/s", "best": best, "values": slides}, None


def _seen(x: Array) -> Array:
    """Return the frames of (T, J, D) in which a joint was observed."""
    return x[_observed(x).any(axis=1)]


def _observed(x: Array) -> Flags:
    """Return (T, J) where joints of (T, J, D) were observed."""
    return np.asarray(np.isfinite(x).all(axis=-1))


def _track(take: Take) -> Track:
    values = take.poses.positions
    if values.shape[2] == 1:
        return Track(values[..., 0], "channels", "body", take.poses.joints)
    return Track(values, "position", "body", take.poses.joints)


def _length_unit(takes: Takes) -> tuple[str, float]:
    return ("mm", 1000.0) if takes.unit == "m" else (takes.unit, 1.0)
