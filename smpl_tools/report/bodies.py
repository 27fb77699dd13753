"""The body of a report: a mesh that the page poses itself, from the joints' turns of every frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.bodies.person_body import person_body
from smpl_tools.report.takes import Take, Takes
from smpl_tools.rotations import matrix_to_quat_wxyz
from smpl_tools.skeleton import has_smpl_poses

Array = NDArray[np.float64]

# What moves a vertex in the page.
INFLUENCES = 4
# Quaternions go into the page as integers of 16 bits, which is exact to 0.004 degrees.
QUAT_STEPS = 32767


def check_shared(model_file: Path | None, share_template: bool) -> None:
    """Refuse to put a model of the user's own into a file that is passed on, unless that is what the user wants.

    Raises:
        ValueError: there is a model file and not the word for it.
    """
    if model_file is not None and not share_template:
        raise mismatch(
            f"{model_file}: permission to share it",
            "--share-template, since the page would hold the model's template mesh, whose licence forbids most people"
            " to pass it on (--body draws one that anybody may)",
            "none",
        )


def body_arrays(takes: Takes, model_file: Path | None = None) -> tuple[Mapping[str, NDArray[np.generic]], str | None]:
    """Return the arrays of the body, and the licence of its model.

    Vertices follow at most ``INFLUENCES`` joints, and what a model of the SMPL family adds to vertices by pose is left
    out, as in glTF. The pelvis is where the skeleton's is.

    Args:
        takes: all with SMPL poses.
        model_file: of the user's own; None for the licence-free body.

    Returns:
        ``body.vertices`` (V, 3) float32 metres at rest, ``body.faces`` (F, 3), ``body.joints`` (V, 4) uint8,
        ``body.weights`` (V, 4) float32, ``body.rest`` (J, 3) float32, ``body.parents`` (J,) int16, and of each take
        ``body.turns.KEY`` (T, J, 4) int16, quaternions wxyz times ``QUAT_STEPS``, all zeros where not observed.

    Raises:
        ValueError: a take without SMPL poses.
    """
    for take in takes.takes:
        person = take.motion.people[0]
        if not has_smpl_poses(person):
            told = ", ".join(person.tracks)
            raise mismatch(f"{take.motion.path}: tracks to draw a body from", "SMPL poses", told)
    first = takes.takes[0]
    model = _model(first, model_file)
    shape = None if model.name == "free" else person_body(first.motion.people[0], model).betas
    betas = np.zeros(0) if shape is None else np.nanmean(np.atleast_2d(shape), axis=0)
    vertices = model.vertices + model.shape_vertices[..., : len(betas)] @ betas
    rest = model.joint_places + model.shape_joints[..., : len(betas)] @ betas
    weights = np.asarray(model.weights.toarray() if hasattr(model.weights, "toarray") else model.weights)
    strongest = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    kept = np.take_along_axis(weights, strongest, axis=1)
    arrays: dict[str, NDArray[np.generic]] = {
        "body.vertices": vertices.astype(np.float32),
        "body.faces": model.faces.astype(np.uint16 if len(vertices) < 2**16 else np.uint32),
        "body.joints": strongest.astype(np.uint8),
        "body.weights": (kept / kept.sum(axis=1, keepdims=True)).astype(np.float32),
        "body.rest": rest.astype(np.float32),
        "body.parents": model.parents.astype(np.int16),
    }
    for take in takes.takes:
        arrays[f"body.turns.{take.key}"] = _turns(take, model, takes.first, takes.frames)
    return arrays, model.licence


def _model(take: Take, model_file: Path | None) -> BodyModel:
    if model_file is None:
        from smpl_tools.bodies.free_body import free_body

        return free_body(gender=take.motion.people[0].gender or "neutral")
    from smpl_tools.bodies.model_files import load_body_model

    return load_body_model(model_file)


def _turns(take: Take, model: BodyModel, first: int, length: int) -> NDArray[np.int16]:
    rotations = person_body(take.motion.people[0], model).rotations
    seen = np.isfinite(rotations).all(axis=(1, 2, 3))
    quats = np.zeros((*rotations.shape[:2], 4))
    quats[seen] = matrix_to_quat_wxyz(rotations[seen])
    result = np.zeros((length, *quats.shape[1:]), np.int16)
    result[take.poses.frames - first] = np.rint(quats * QUAT_STEPS).astype(np.int16)
    return result
