"""An estimated motion against the truth: whom, which frames and joints to compare, and in what unit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import metrics
from smoothnet_core._checks import mismatch, one_of
from smpl_tools.coordinates import UNITS, with_unit
from smpl_tools.measures import ASSUMED_FPS
from smpl_tools.motion import Motion
from smpl_tools.poses import Poses, hips, paired_people, poses, unit_by_size

Array = NDArray[np.float64]

# The root joints of data sets whose joints carry no names, by their number.
_ROOTS_BY_COUNT: dict[int, list[int]] = {14: [2, 3], 17: [0], 22: [0], 24: [0], 52: [0], 55: [0]}


def evaluate_motions(
    estimate: Motion,
    groundtruth: Motion,
    *,
    root: Sequence[str] | None = None,
    joints: Sequence[str] | None = None,
    unit: str | None = None,
    hands: bool = False,
) -> dict[str, Any]:
    """Return the errors of an estimate.

    Rotations go through forward kinematics first, see ``smpl_tools.poses``. People are paired by id, frames by their
    numbers; frames in which the estimate does not see the person count in no error and are reported as missing.

    Args:
        estimate: the motion to judge.
        groundtruth: the truth, with the same people and joints, in the same unit.
        root: joints (names or indices among those compared) whose mean position is subtracted from each side before
            distances are taken; ``["none"]`` subtracts nothing; None takes the hips if they are known.
        joints: joints to compare, names or indices; None compares all.
        unit: key of ``UNITS``: the unit of positions in both files. None takes the format's, or else the one in which
            a person has a person's size.
        hands: compare the fingers of rotation motions as well.

    Returns:
        ``frames``, ``missing_frames``, ``people``, ``joints``, ``fps``, ``fps_assumed``, ``root``, ``unit``,
        ``unit_assumed``, ``forward_kinematics`` and ``metrics``: means over frames by the names of
        ``smoothnet_core.metrics.METRICS`` (2D: ``PIXEL_METRICS``), ``..._worst_1_percent`` of each,
        ``speed_ratio`` and ``jitter_ratio`` to the truth, and for rotations ``geodesic_deg``.

    Raises:
        ValueError: the motions do not belong together; the message says in what.
    """
    fps, assumed = _rate(estimate, groundtruth)
    pairs = []
    for one, true in paired_people(estimate, groundtruth):
        old, new = poses(estimate, one, hands=hands), poses(groundtruth, true, hands=hands)
        pairs.append(_aligned(_chosen(old, joints), _chosen(new, joints), one.id))
    names, pixels = pairs[0][0].joints, pairs[0][0].positions.shape[2] == 2
    scale, unit_name, guessed = (1.0, "px", False) if pixels else _scale([true for _, true in pairs], unit)
    roots = _roots(names, root)

    if not any((_seen(one) & _seen(true)).any() for one, true in pairs):
        raise mismatch("values to compare", "at least one joint observed in both", "none")

    frames: dict[str, list[Array]] = {}
    for one, true in pairs:
        a, b = one.positions * scale, true.positions * scale
        for name, metric in (metrics.PIXEL_METRICS if pixels else metrics.METRICS).items():
            if len(a) > (2 if "accel" in name else 1 if "mpjve" in name else 0):
                frames.setdefault(name, []).append(metric(a, b, roots or None, None, fps))
        if (angles := _angles(one, true)) is not None:
            frames.setdefault("geodesic_deg", []).append(angles)
    found: dict[str, float | None] = {}
    for name, values in frames.items():
        joined = np.concatenate(values)
        found[name] = _known(metrics.mean(joined))
        found[f"{name}_worst_1_percent"] = _known(metrics.worst(joined))
    found["speed_ratio"] = _pooled(
        [metrics.speed_ratio(o.positions, t.positions) for o, t in pairs if len(o.frames) > 1]
    )
    found["jitter_ratio"] = _pooled(
        [metrics.jitter_ratio(o.positions, t.positions) for o, t in pairs if len(o.frames) > 2]
    )
    return {
        "estimate": str(estimate.path),
        "groundtruth": str(groundtruth.path),
        "people": [p.id for p in estimate.people],
        "frames": sum(len(true.frames) for _, true in pairs),
        "missing_frames": sum(int(np.isnan(one.positions).all(axis=(1, 2)).sum()) for one, _ in pairs),
        "joints": list(names),
        "root": [names[j] for j in roots],
        "unit": unit_name,
        "unit_assumed": guessed,
        "fps": fps,
        "fps_assumed": assumed,
        "forward_kinematics": pairs[0][0].rotations is not None,
        "metrics": found,
    }


def vertex_metrics(
    estimate: Motion, groundtruth: Motion, body: str, models: Path | None = None, *, root: bool = True
) -> dict[str, float | None]:
    """Return ``mpvpe_mm`` and its worst 1 %, the error of the vertices of a body posed as both.

    Args:
        estimate: with SMPL poses, the same people as the other.
        groundtruth: whose gender counts.
        body: one of ``smpl_tools.bodies.choice.BODIES``.
        models: folder of model files.
        root: subtract the pelvis of each first.

    Raises:
        ValueError: one of them has no SMPL poses, or there is no such model file.
    """
    from smpl_tools.bodies.choice import bodies_for
    from smpl_tools.bodies.vertex_error import vertex_errors
    from smpl_tools.contents import as_content

    one, true = (with_unit(as_content(motion, "smpl")[0], 1.0) for motion in (estimate, groundtruth))
    bodies = bodies_for(true.people, body, folder=models)
    errors = [vertex_errors(mine, theirs, bodies[theirs.id], root=root) for mine, theirs in paired_people(one, true)]
    joined = np.concatenate(errors)
    return {
        "mpvpe_mm": _known(metrics.mean(joined)),
        "mpvpe_mm_worst_1_percent": _known(metrics.worst(joined)),
    }


def _rate(estimate: Motion, groundtruth: Motion) -> tuple[float, bool]:
    rates = [m.fps for m in (groundtruth, estimate) if m.fps is not None]
    if len(rates) == 2 and abs(rates[0] / rates[1] - 1) > 0.02:
        raise mismatch("frame rate of the estimate", f"that of the ground truth, {rates[0]:g}", f"{rates[1]:g}")
    return (rates[0], False) if rates else (ASSUMED_FPS, True)


def _chosen(track: Poses, joints: Sequence[str] | None) -> Poses:
    if joints is None:
        return track
    own = [_index("joint", name, track.joints) for name in joints]
    names = tuple(track.joints[j] for j in own)
    turned = [k for k, name in enumerate(track.turning) if name in names]
    return dataclasses.replace(
        track,
        joints=names,
        positions=track.positions[:, own],
        parents=None,
        turning=tuple(track.turning[k] for k in turned),
        rotations=None if track.rotations is None else track.rotations[:, turned],
    )


def _index(what: str, name: str, known: Sequence[str]) -> int:
    if name in known:
        return list(known).index(name)
    if name.isdecimal():
        if int(name) < len(known):
            return int(name)
        raise mismatch(what, f"a name, or a number from 0 to {len(known) - 1}", repr(name))
    return list(known).index(one_of(what, name, known))


def _aligned(one: Poses, true: Poses, person: str) -> tuple[Poses, Poses]:
    """Return both on the truth's frames and in its order of joints; NaN where the estimate has no frame."""
    if sorted(one.joints) == sorted(true.joints) and len(set(one.joints)) == len(one.joints):
        order = [one.joints.index(name) for name in true.joints]
        one = dataclasses.replace(one, joints=true.joints, positions=one.positions[:, order], parents=None)
    if one.positions.shape[1:] != true.positions.shape[1:]:
        raise mismatch(
            f"joints of person {person} in the estimate",
            f"{_counted(true)} as in the ground truth (choose with --joints)",
            _counted(one),
        )
    numbered = any(len(p.frames) and int(p.frames[-1]) != len(p.frames) - 1 for p in (one, true))
    if not numbered and len(one.frames) != len(true.frames):
        raise mismatch(
            f"frames of person {person} in the estimate", f"{len(true.frames)} as in the ground truth", len(one.frames)
        )
    foreign = np.setdiff1d(one.frames, true.frames)
    if foreign.size:
        raise mismatch(
            f"frames of person {person} in the estimate",
            f"some of the ground truth's, {_span(true)}",
            f"{_span(one)}, with frame {foreign[0]}",
        )
    if not len(true.frames):
        raise mismatch(f"frames of person {person}", "at least 1", 0)
    rows = np.searchsorted(true.frames, one.frames)
    return _on(one, rows, true.frames), true


def _on(track: Poses, rows: NDArray[np.int64], frames: NDArray[np.int64]) -> Poses:
    def spread(values: Array) -> Array:
        result = np.full((len(frames), *values.shape[1:]), np.nan)
        result[rows] = values
        return result

    turned = None if track.rotations is None else spread(track.rotations)
    return dataclasses.replace(track, positions=spread(track.positions), frames=frames, rotations=turned)


def _angles(one: Poses, true: Poses) -> Array | None:
    """Return (T,) mean angles in degrees between the rotations that both have; None where there are none."""
    shared = [name for name in true.turning if name in one.turning]
    if one.rotations is None or true.rotations is None or not shared:
        return None
    a = one.rotations[:, [one.turning.index(name) for name in shared]]
    return metrics.geodesic_degrees(a, true.rotations[:, [true.turning.index(name) for name in shared]])


def _seen(track: Poses) -> NDArray[np.bool_]:
    """Return (T, J) which joints were observed."""
    return np.asarray(np.isfinite(track.positions).all(axis=-1))


def _counted(track: Poses) -> str:
    return f"{track.positions.shape[1]} in {track.positions.shape[2]}D"


def _span(track: Poses) -> str:
    return f"{track.frames[0]} to {track.frames[-1]}" if len(track.frames) else "none"


def _scale(truths: Sequence[Poses], unit: str | None) -> tuple[float, str, bool]:
    """Return metres in one unit, the unit's name, and whether it was told by a person's size."""
    if unit is not None:
        return UNITS[one_of("unit", unit, UNITS)], unit, False
    stated = truths[0].metres
    if stated is not None:
        return stated, next((n for n, m in UNITS.items() if m == stated), "file units"), False
    name, height = unit_by_size(truths)
    if name is not None:
        return UNITS[name], name, True
    raise mismatch(
        "unit of positions", "m, cm or mm by a person's size (say it with --unit)", f"a size of {height:.3g}"
    )


def _roots(names: tuple[str, ...], root: Sequence[str] | None) -> list[int]:
    if root is None:
        return hips(names) or _ROOTS_BY_COUNT.get(len(names), [])
    return [] if list(root) == ["none"] else [_index("root", name, names) for name in root]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _pooled(values: Sequence[float]) -> float | None:
    """Return the mean of the people's ratios, None where none has one."""
    known = [v for v in values if math.isfinite(v)]
    return sum(known) / len(known) if known else None
