"""SMPL poses as figures, with the bones and the mesh of a body model or with bones alone."""

from __future__ import annotations

import dataclasses

import numpy as np

from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.contents import as_content
from smpl_tools.coordinates import PELVIS, up_rotation
from smpl_tools.motion import Motion, Person, Skeleton
from smpl_tools.rigs.guesses import with_guesses
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X, person_pose

from .bone_shapes import tails
from .figure import STILL, Array, Figure, Skin, quaternions

_FAMILIES = {"smpl": SMPL, "smplh": SMPL_H, "smplx": SMPL_X}


def family_of(motion: Motion, person: Person) -> str:
    """Return the body model that a person's SMPL poses are for: ``smpl``, ``smplh`` or ``smplx``."""
    # Also where they tell of no finger.
    return "smplx" if motion.format in ("gvhmr", "smplifyx") else _family_by_joints(person)


def _family_by_joints(person: Person) -> str:
    names = {joint for track in person.tracks.values() if track.kind != "channels" for joint in track.joints}
    known = {joint for joint in names if joint in SMPL_X.joints or joint in SMPL.joints}
    return next(name for name, skeleton in _FAMILIES.items() if known <= set(skeleton.joints))


def smpl_figure(motion: Motion, model: BodyModel | None, camera: bool) -> tuple[Figure, list[str]]:
    """Return the one person of a motion with SMPL poses as a figure that stands on the ground at rest, and remarks.

    Args:
        motion: of one person.
        model: whose joints, shape and mesh the figure has; None for ``smpl_tools.skeleton``'s joints, without a mesh.
        camera: see ``figures.figures_of``.
    """
    plain, remarks = as_content(motion, "smpl", camera=camera)
    plain, guesses = with_guesses(plain)
    notes = [*remarks, *guesses]
    (person,) = plain.people
    # The free body's joints are the first ones of all of them.
    named = model is not None and model.name != "free"
    skeleton = _FAMILIES[model.name if model is not None and named else _family_by_joints(person)]
    up = person.tracks["global_orient"].up
    if up is None:
        up = "y"
        notes.append("axes not known: y taken for up")
    turn = up_rotation(up, "z")
    rest = up_rotation("y", "z")
    betas = _shape(person, notes)
    places = np.zeros((len(skeleton.joints), 3))
    own, shift = _places_of(model, betas, notes)
    for j, (name, parent) in enumerate(zip(skeleton.joints, skeleton.parents, strict=True)):
        places[j] = own.get(name, PELVIS if parent < 0 else places[parent] + skeleton.offsets[j])
    pelvis = places[0].copy()
    skin = None if model is None else _skin(model, shift, skeleton, rest)
    if model is not None and not set(skeleton.joints) <= set(model.joints):
        notes.append("the free body's fingers and face are stiff: their bones move nothing of it")
    stood = places @ rest.T
    ends = tails(stood, skeleton.parents)
    lowest = min(float(ends[:, 2].min()), np.inf if skin is None else float(skin.vertices[:, 2].min()))
    origin = -np.array([stood[0, 0], stood[0, 1], lowest])
    rotations, _ = person_pose(person, skeleton)
    turning = np.nanmax(np.abs(rotations - np.eye(3)), axis=(0, 2, 3), initial=0.0) > STILL
    rotations[:, 0] = rest.T @ turn @ rotations[:, 0]
    turning[0] = True
    transl = person.tracks.get("transl")
    moves = {}
    if transl is not None:
        there = transl.values[:, 0].astype(np.float64) * (transl.metres or 1.0) + pelvis
        moves[0] = there @ turn.T - (stood[0] + origin)
    figure = Figure(
        person.id,
        "smpl",
        skeleton.joints,
        np.asarray(skeleton.parents),
        stood + origin,
        ends + origin,
        rest,
        person.frames,
        quaternions(rotations),
        turning,
        moves,
        origin,
        up,
        (transl.metres if transl is not None else None) or 1.0,
        pelvis,
        None if skin is None else dataclasses.replace(skin, vertices=skin.vertices + origin),
        betas,
        person.gender,
    )
    return figure, notes


def _shape(person: Person, notes: list[str]) -> Array | None:
    if "betas" in person.tracks:
        values = person.tracks["betas"].values.astype(np.float64)
        notes.append(f"shape of person {person.id} changes over time: its mean is shown")
        return np.nan_to_num(np.nanmean(values, axis=0)) if len(values) else None
    return None if person.betas is None else person.betas.astype(np.float64)


def _places_of(
    model: BodyModel | None, betas: Array | None, notes: list[str]
) -> tuple[dict[str, Array], Array | float]:
    """Return where a model's joints are in its shape, by name, and what the shape adds to its vertices."""
    if model is None:
        notes.append("bone lengths are those of a skeleton of our own measures, not of the SMPL body")
        return {}, 0.0
    if model.name == "free":
        if betas is not None and np.any(betas):
            notes.append("betas are shapes of the SMPL body: the free body does not show them")
        return dict(zip(model.joints, model.joint_places, strict=True)), 0.0
    if model.pose_vertices is not None:
        notes.append("the mesh follows its bones alone: the model's corrections by pose are left out")
    if betas is None:
        return dict(zip(model.joints, model.joint_places, strict=True)), 0.0
    known = model.shape_vertices.shape[2]
    if len(betas) > known:
        notes.append(f"the file has {len(betas)} betas, the model {known}: the others are left out")
    used = betas[:known]
    places = model.joint_places + (model.shape_joints[..., : len(used)] * used).sum(axis=2)
    return dict(zip(model.joints, places, strict=True)), (model.shape_vertices[..., : len(used)] * used).sum(axis=2)


def _skin(model: BodyModel, shift: Array | float, skeleton: Skeleton, rest: Array) -> Skin:
    weights = np.asarray(model.weights.toarray() if hasattr(model.weights, "toarray") else model.weights)
    joined = np.zeros((len(weights), len(skeleton.joints)))
    for k in range(len(model.joints)):
        owner = k
        # What hangs on a joint that is not there hangs on the one before it.
        while model.joints[owner] not in skeleton.joints:
            owner = int(model.parents[owner])
        joined[:, skeleton.joints.index(model.joints[owner])] += weights[:, k]
    return Skin((model.vertices + shift) @ rest.T, model.faces, joined, model.licence)
