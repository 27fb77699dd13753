"""Fits as motions: SMPL poses from the joints of a motion or from a file of vertices, and how near they are."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.restricted_pickle import load_npy, load_npz
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.bodies.fit_result import Fit
from smpl_tools.bodies.fit_vertices import fit_vertices
from smpl_tools.bodies.fitting import fit_motion
from smpl_tools.bodies.point_sets import POINT_SETS
from smpl_tools.contents import as_content
from smpl_tools.coordinates import PELVIS, UNITS
from smpl_tools.formats._files import NPY_MAGIC, ZIP_MAGIC, npz_headers, read_bytes
from smpl_tools.joint_names import is_numbered, normal_name, normal_names, picked
from smpl_tools.motion import Motion, Person, Skeleton, Track, Up
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X

# A body is told by limbs and trunk; with fewer joints hardly anything of it is.
_FEWEST = 10

__all__ = ["FitReport", "fitted_joints", "fitted_vertices", "vertices_of"]


@dataclass(frozen=True)
class FitReport:
    """How near a fit is.

    Attributes:
        person: the person's id.
        frames: T.
        fitted_frames: frames in which enough was seen to fit.
        converged_frames: of these, those in which the error had stopped falling.
        mean_mm: mean distance in millimetres between what was seen and the body's points.
        max_mm: the largest one.
    """

    person: str
    frames: int
    fitted_frames: int
    converged_frames: int
    mean_mm: float | None
    max_mm: float | None


def fitted_joints(
    motion: Motion, body: BodyModel | Skeleton, *, metres: float | None = None
) -> tuple[Motion, tuple[FitReport, ...]]:
    """Return SMPL poses whose joints lie nearest to those of a motion, and how near.

    Args:
        motion: with 3D positions of joints, or with rotations of any skeleton.
        body: a body model, or a skeleton in metres whose bones are fitted, such as ``smpl_tools.skeleton.SMPL``.
        metres: one unit of the positions, where the file does not say.

    Raises:
        ValueError: see ``smpl_tools.bodies.fitting.fit_motion``.
    """
    motion, _ = as_content(motion, "joints")
    motion = motion.with_people(tuple(_of_one_set(person, body) for person in motion.people))
    motion = dataclasses.replace(motion, skeleton=None)
    people, reports = [], []
    for person, found in zip(motion.people, fit_motion(motion, body, metres=metres), strict=True):
        up = person.tracks["joints"].up
        people.append(_person(found.id, found.frames, found.fit, body, up))
        reports.append(_report(found.id, found.fit))
    notes = ("shape fitted with the poses",) if isinstance(body, BodyModel) else ()
    plain = dataclasses.replace(motion, format="fit", people=tuple(people), skeleton=None, source=None, notes=notes)
    return plain, tuple(reports)


def fitted_vertices(
    vertices: NDArray[Any],
    model: BodyModel,
    *,
    fps: float | None,
    up: Up | None = None,
    frames: NDArray[np.int64] | None = None,
) -> tuple[Motion, tuple[FitReport, ...]]:
    """Return SMPL poses with which a model's vertices lie nearest to those given, and how near.

    Args:
        vertices: (T, V, 3) metres.
        model: V vertices.
        fps: frames a second, None where not known.
        up: the scene's axis that points up, None where not known.
        frames: (T,) frame numbers; 0 to T - 1 where None.

    Raises:
        ValueError: see ``smpl_tools.bodies.fit_vertices.fit_vertices``.
    """
    fit = fit_vertices(model, vertices)
    numbers = np.arange(len(vertices), dtype=np.int64) if frames is None else frames
    return Motion("fit", (_person("0", numbers, fit, model, up),), fps), (_report("0", fit),)


def vertices_of(path: Path) -> tuple[NDArray[Any], float | None, NDArray[np.int64] | None] | None:
    """Return vertices (T, V, 3) in metres, frame rate and frame numbers of a file, None if it holds joints or poses.

    An ``.npz`` with ``vertices`` as ``smoothnet mesh`` writes it, or an ``.npy`` of at least 100 points a frame.

    Raises:
        ValueError: the file cannot be read, or states an unknown unit.
    """
    if path.is_dir():
        return None
    head = read_bytes(path, 8)
    if head.startswith(ZIP_MAGIC) and "vertices" in npz_headers(path):
        arrays = load_npz(path)
        vertices = arrays["vertices"]
        unit = str(arrays["unit"]) if "unit" in arrays else "m"
        if vertices.ndim != 3 or vertices.shape[2] != 3 or vertices.dtype.kind != "f" or unit not in UNITS:
            raise mismatch(f"{path}: vertices", "(T, V, 3) of floats in m, cm, mm or in", f"{vertices.shape} in {unit}")
        rate = float(arrays["fps"].reshape(-1)[0]) if "fps" in arrays and arrays["fps"].size == 1 else None
        numbers = arrays.get("frame_numbers")
        if numbers is not None:
            counts = numbers.shape == (len(vertices),) and numbers.dtype.kind in "iu"
            numbers = numbers.astype(np.int64) if counts else None
        return vertices * vertices.dtype.type(UNITS[unit]), rate, numbers
    if head.startswith(NPY_MAGIC):
        array = load_npy(path)
        if array.ndim == 3 and array.shape[2] == 3 and array.shape[1] >= 100 and array.dtype.kind == "f":
            return array, None, None
    return None


def _of_one_set(person: Person, body: BodyModel | Skeleton) -> Person:
    """Return a person with the joints of the one set, of the body's own and those known, that shows most of them."""
    track = person.tracks["joints"]
    if is_numbered(track.joints):
        # SMPL's are the only ones whose number tells them.
        if len(track.joints) in (22, 24):
            return person.with_tracks({"joints": track.replace(joints=SMPL.joints[: len(track.joints)])})
        raise mismatch(f"joints of person {person.id}", "joints with names, or SMPL's 22 or 24", len(track.joints))
    own = set(normal_names(track.joints))
    sets = {"body": body.joints, **{name: tuple(points) for name, points in POINT_SETS.items()}}
    shared = {name: [joint for joint in joints if normal_name(joint) in own] for name, joints in sets.items()}
    best = max(shared, key=lambda name: len(shared[name]))
    if len(shared[best]) < _FEWEST:
        names = ", ".join(track.joints[:6]) + (", ..." if len(track.joints) > 6 else "")
        raise mismatch(f"joints of person {person.id}", "those of SMPL or of " + ", ".join(POINT_SETS), names)
    return person.with_tracks({"joints": picked(track, shared[best], what=best)})


def _person(ident: str, frames: NDArray[np.int64], fit: Fit, body: BodyModel | Skeleton, up: Up | None) -> Person:
    names = next(s for s in (SMPL, SMPL_H, SMPL_X) if len(s.joints) == len(fit.joints)).joints
    count = 24 if len(names) == 24 else 22
    tracks = {
        "global_orient": Track(fit.global_orient, "axis_angle", "root", names[:1], up=up),
        "body_pose": Track(fit.body_pose, "axis_angle", "body", names[1:count]),
    }
    for name, values in (("left_hand_pose", fit.left_hand_pose), ("right_hand_pose", fit.right_hand_pose)):
        if values is not None:
            first = names.index(f"{name.split('_')[0]}_index1")
            tracks[name] = Track(values, "axis_angle", "hands", names[first : first + 15])
    # The fitted body's pelvis, and what SMPL's own origin is away from it.
    rest = fit.places[..., 0, :] if fit.places.ndim == 3 else fit.places[0]
    own = isinstance(body, BodyModel) and body.name != "free"
    place = fit.transl if own else fit.transl + rest - PELVIS
    tracks["transl"] = Track(place[:, None], "position", "root", names[:1], metres=1.0, up=up)
    betas = fit.betas if own and fit.betas is not None and fit.betas.ndim == 1 else None
    gender = body.gender if isinstance(body, BodyModel) and own else None
    return Person(ident, tracks, frames, betas, gender)


def _report(ident: str, fit: Fit) -> FitReport:
    seen = np.isfinite(fit.mean_error)
    return FitReport(
        person=ident,
        frames=len(seen),
        fitted_frames=int(seen.sum()),
        converged_frames=int(fit.converged.sum()),
        mean_mm=1000 * float(fit.mean_error[seen].mean()) if seen.any() else None,
        max_mm=1000 * float(fit.max_error[seen].max()) if seen.any() else None,
    )
