"""Everything a report's page is told, as one piece of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smpl_tools.joint_names import normal_name
from smpl_tools.motion import Motion
from smpl_tools.report.bodies import INFLUENCES, QUAT_STEPS, body_arrays, check_shared
from smpl_tools.report.measured import body_size, foot_contacts, frame_errors, gaps, is_relative, metric_rows, spikes
from smpl_tools.report.packing import joined
from smpl_tools.report.takes import Takes, gather

Array = NDArray[np.float64]


def report_data(
    before: Motion,
    after: Motion | None = None,
    truth: Motion | None = None,
    *,
    person: str | None = None,
    unit: str | None = None,
    body: bool = False,
    body_model: Path | None = None,
    share_template: bool = False,
) -> bytes:
    """Return what the page of a report shows: positions, errors, metrics, marks and, where asked for, a body.

    Positions are float32 in the report's unit (5 m from the origin that is exact to a quarter of a micrometre), as a
    few micrometres more would be seen in accelerations.

    Args:
        before: the motion as captured, or the only one.
        after: the same motion refined.
        truth: the true motion.
        person: id of the person; None takes the first.
        unit: of 3D positions in the files, see :func:`smpl_tools.report.takes.gather`.
        body: draw the licence-free body.
        body_model: file of a body model of the user's own to draw.
        share_template: the user's word that the model's template mesh may be in the page.

    Returns:
        What :func:`smpl_tools.report.packing.parted` takes apart again.

    Raises:
        ValueError: motions that do not belong together, nothing that can be shown, a body without SMPL poses, or a
            model without the word.
    """
    check_shared(body_model, share_template)
    takes = gather(before, after, truth, person=person, unit=unit)
    rows, root = metric_rows(takes, unit)
    bands, slide, remark = foot_contacts(takes)
    arrays: dict[str, NDArray[Any]] = {
        f"positions.{take.key}": take.positions.astype(np.float32) for take in takes.takes
    }
    errors = frame_errors(takes, root)
    found_spikes, spike_unit = spikes(takes)
    for name, of in errors.items():
        arrays |= {f"{name}.{key}": values.astype(np.float32) for key, values in of.items()}
    document = {
        "person": takes.person if takes.people > 1 else None,
        "fps": takes.fps,
        "frames": takes.frames,
        "first": takes.first,
        "size": takes.size,
        "unit": takes.unit,
        "joints": list(takes.joints),
        "bones": takes.bones,
        "root": list(root),
        "takes": [{"key": take.key, "file": take.name} for take in takes.takes],
        "scene": _scene(takes),
        "image": before.image_size if takes.size == 2 else None,
        "errors": {name: _error_unit(takes, name) for name in errors},
        "metrics": [*rows, *([slide] if slide else [])],
        "spikes": found_spikes,
        "spike_unit": spike_unit,
        "gaps": gaps(takes),
        "contacts": bands,
        "notes": _notes(takes, [remark] if remark else []),
        "body": None,
    }
    if body or body_model is not None:
        found, licence = body_arrays(takes, body_model)
        arrays |= found
        document["body"] = {"influences": INFLUENCES, "steps": QUAT_STEPS, "licence": licence}
    return joined(document, arrays)


def _error_unit(takes: Takes, name: str) -> str:
    unit = "px" if takes.size == 2 else "mm"
    return unit if name == "error" else f"{unit}/frame²"


def _notes(takes: Takes, more: list[str]) -> list[str]:
    notes = [*more]
    if takes.fps_assumed:
        notes.append(f"the files do not say their frame rate: {takes.fps:g} frames a second are assumed (--fps)")
    if takes.unit_assumed:
        notes.append("the files do not say their unit of length: it was told by the size of a person (--unit)")
    if takes.takes[0].poses.rotations is not None:
        notes.append("joint positions are computed from rotations (forward kinematics)")
    return notes


def _scene(takes: Takes) -> dict[str, Any]:
    """Return how the page turns what it draws: ``turn`` (3, 3) from the files' axes to x right, y up, z to the viewer,
    the person's ``height``, the ``ground`` in the turned axes, and ``facing``, the angle in radians about y from z to
    where the person looks, None where it is not known."""
    turn = np.eye(3)
    if takes.size == 2:
        turn[1, 1] = -1.0
    elif takes.up is not None:
        up = takes.up
        # A turn about x for every axis but x itself, so that left stays left.
        right = np.array([1.0, 0, 0]) if not up[0] else np.array([0.0, -up[0], 0])
        turn = np.stack([right, up, np.cross(right, up)])
    shown = takes.takes[-1].positions
    if takes.size == 1:
        return {"turn": turn, "height": 1.0, "ground": 0.0, "facing": None}
    full = np.zeros((*shown.shape[:2], 3))
    full[..., : takes.size] = shown
    placed = full @ turn.T
    heights = placed[..., 1]
    lowest = np.nanmin(heights[~np.isnan(heights).all(axis=1)], axis=1)
    # Of a person told relative to the hips, where the feet usually are.
    share = 0.5 if is_relative(takes) else 0.05
    ground = float(np.quantile(lowest, share)) if len(lowest) else 0.0
    return {
        "turn": turn,
        "height": body_size(takes),
        "ground": ground,
        "facing": _facing(takes, placed) if takes.size == 3 else None,
    }


def _facing(takes: Takes, placed: Array) -> float | None:
    names = [normal_name(name) for name in takes.joints]
    for pair in (("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"), ("left_up_leg", "right_up_leg")):
        if all(name in names for name in pair):
            left, right = (placed[:, names.index(name)] for name in pair)
            apart = left - right
            apart = apart[np.isfinite(apart).all(axis=1)]
            if not len(apart):
                continue
            across = apart.mean(axis=0)
            # Left cross up.
            x, z = -across[2], across[0]
            return float(np.arctan2(x, z)) if np.hypot(x, z) > 0 else None
    return None
