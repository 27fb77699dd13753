"""People of a motion as figures: joints, bones and movements in metres with Z up, ready to become armatures.

A joint's axes at rest are those of its file (``axes``, the same for all joints); its rotation turns them. A bone lies
anywhere about its joint: :func:`channels` puts a joint's rotation and movement into the axes of its bone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.contents import CONTENTS, as_content, carried
from smpl_tools.convert import only
from smpl_tools.coordinates import PELVIS, assuming, stated_units, stated_ups, up_rotation, with_unit, with_up
from smpl_tools.motion import Motion, Person, Skeleton, Up
from smpl_tools.rigs.guesses import with_guesses
from smpl_tools.rigs.plain_form import rig_arrays
from smpl_tools.rotations import continuous_quat_wxyz, matrix_to_quat_wxyz
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X, person_pose

from .bone_shapes import tails

Array = NDArray[np.float64]

# In the order of preference: what an armature is made of.
SHOWN = ("smpl", "rig", "joints", "joints_2d")
_FAMILIES = {"smpl": SMPL, "smplh": SMPL_H, "smplx": SMPL_X}
# An image is shown this high, in metres.
_IMAGE = 2.0
# A joint moves, or turns, if it does by more than files round to.
_STILL = 1e-6


@dataclass(frozen=True, eq=False)
class Skin:
    """A mesh on the joints.

    Attributes:
        vertices: (V, 3) metres at rest, as ``Figure.places``.
        faces: (F, 3).
        weights: (V, J), rows sum to 1.
        licence: what to tell whoever gets the mesh, None where there is nothing to tell.
    """

    vertices: Array
    faces: NDArray[np.int64]
    weights: Array
    licence: str | None


@dataclass(frozen=True, eq=False)
class Figure:
    """One person.

    Attributes:
        person: id in the file.
        content: of ``SHOWN``.
        joints: J names.
        parents: (J,) index of the parent, -1 for a root.
        places: (J, 3) where the joints are at rest, metres, Z up.
        tails: (J, 3) where their bones end.
        axes: (3, 3) the joints' axes at rest, as columns.
        frames: (T,) frame numbers of the file.
        quat_wxyz: (T, J, 4) rotations relative to the parent, in the joint's axes, continuous; NaN where not observed.
            None for joints that have no rotation.
        turning: (J,) whether a joint turns at all.
        moves: by joint, (T, 3) how far it is from its place at rest in the axes of the scene, for a joint with a parent
            before the parent's turn; NaN where not observed.
        origin: (3,) what ``places`` are moved by from where the file, or the body model, has them.
        up: the file's axis that points up, stated or guessed.
        metres: one unit of the file in metres; metres a pixel for an image.
        pelvis: (3,) of SMPL poses, where the body has its pelvis in its own axes, with its shape and no translation.
        skin: the mesh, None without.
        betas: (K,) shape, None where the file has none.
        gender: of the body.
    """

    person: str
    content: str
    joints: tuple[str, ...]
    parents: NDArray[np.int64]
    places: Array
    tails: Array
    axes: Array
    frames: NDArray[np.int64]
    quat_wxyz: Array | None
    turning: NDArray[np.bool_]
    moves: dict[int, Array]
    origin: Array
    up: Up | None
    metres: float
    pelvis: Array = dataclasses.field(default_factory=lambda: np.zeros(3))
    skin: Skin | None = None
    betas: Array | None = None
    gender: str | None = None


def content_of(motion: Motion) -> str:
    """Return what of ``SHOWN`` a motion is shown as.

    Raises:
        ValueError: it carries nothing of that.
    """
    own = carried(motion)
    for content in SHOWN:
        if content in own:
            return content
    held = ", ".join(CONTENTS[content] for content in own)
    if not held:
        kinds = {f"{name} ({track.kind})" for person in motion.people for name, track in person.tracks.items()}
        held = ", ".join(sorted(kinds)) or "nobody"
    raise mismatch("content to import", ", ".join(CONTENTS[content] for content in SHOWN), held)


def family_of(motion: Motion, person: Person) -> str:
    """Return the body model that a person's SMPL poses are for: ``smpl``, ``smplh`` or ``smplx``."""
    # Also where they tell of no finger.
    return "smplx" if motion.format in ("gvhmr", "smplifyx") else _family_by_joints(person)


def _family_by_joints(person: Person) -> str:
    names = {joint for track in person.tracks.values() if track.kind != "channels" for joint in track.joints}
    known = {joint for joint in names if joint in SMPL_X.joints or joint in SMPL.joints}
    return next(name for name, skeleton in _FAMILIES.items() if known <= set(skeleton.joints))


def figures_of(
    motion: Motion,
    bodies: dict[str, BodyModel] | None = None,
    *,
    camera: bool = False,
    up: Up | None = None,
    metres: float | None = None,
) -> tuple[list[Figure], tuple[str, ...]]:
    """Return every person of a motion as a figure, and remarks.

    Args:
        motion: as read.
        bodies: body models of people with SMPL poses, by id; a person without one has the bones of
            ``smpl_tools.skeleton``.
        camera: of poses both in the world and as the camera sees them, take the camera's.
        up: of a skeleton, the axis that points up, where the caller knows it.
        metres: of a skeleton, one unit in metres, where the caller knows it.

    Raises:
        ValueError: nothing of ``SHOWN``, or nobody.
    """
    content = content_of(motion)
    if not motion.people:
        raise mismatch("people in the file", "at least one", "nobody")
    figures, notes = [], []
    for person in motion.people:
        alone = only(motion, [person.id]) if len(motion.people) > 1 else motion
        if content == "smpl":
            found, remarks = _smpl_figure(alone, (bodies or {}).get(person.id), camera)
        elif content == "rig":
            found, remarks = _rig_figure(alone, up, metres)
        else:
            found, remarks = _points_figure(alone, content)
        figures.append(found)
        notes += remarks
    return figures, tuple(dict.fromkeys(notes))


def _smpl_figure(motion: Motion, model: BodyModel | None, camera: bool) -> tuple[Figure, list[str]]:
    plain, remarks = as_content(motion, "smpl", camera=camera)
    plain, guesses = with_guesses(plain)
    notes = [*remarks, *guesses]
    (person,) = plain.people
    own_joints = model is not None and model.name != "free"
    skeleton = _FAMILIES[model.name if own_joints else _family_by_joints(person)]
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
    stood = places @ rest.T
    ends = tails(stood, skeleton.parents)
    lowest = min(float(ends[:, 2].min()), np.inf if skin is None else float(skin.vertices[:, 2].min()))
    origin = -np.array([stood[0, 0], stood[0, 1], lowest])
    rotations, _ = person_pose(person, skeleton)
    turning = np.nanmax(np.abs(rotations - np.eye(3)), axis=(0, 2, 3), initial=0.0) > _STILL
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
        _quaternions(rotations),
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


def _rig_figure(motion: Motion, up: Up | None, metres: float | None) -> tuple[Figure, list[str]]:
    plain, remarks = as_content(motion, "rig")
    # Here, since single channels state neither.
    plain = assuming(plain, up=up, metres=metres)
    plain, guesses = with_guesses(plain)
    notes = [*remarks, *guesses]
    plain, axis, unit = _standing(plain, notes)
    (person,) = plain.people
    skeleton = plain.skeleton
    assert skeleton is not None  # of the plain form
    rotations, offsets = rig_arrays(plain, person)
    places = np.asarray(skeleton.offsets, np.float64).copy()
    for j, parent in enumerate(skeleton.parents):
        if parent >= 0:
            places[j] += places[parent]
    moves = {0: offsets[:, 0] - skeleton.offsets[0]}
    for j in range(1, len(places)):
        away = offsets[:, j] - skeleton.offsets[j]
        if np.nanmax(np.abs(away), initial=0.0) > _STILL:
            moves[j] = away
    ends = None if skeleton.ends is None else places + skeleton.ends
    turning = np.nanmax(np.abs(rotations - np.eye(3)), axis=(0, 2, 3), initial=0.0) > _STILL
    turning[0] = True
    figure = Figure(
        person.id,
        "rig",
        skeleton.joints,
        np.asarray(skeleton.parents),
        places,
        tails(places, np.asarray(skeleton.parents), ends),
        np.eye(3),
        person.frames,
        _quaternions(rotations),
        turning,
        moves,
        np.zeros(3),
        axis,
        unit,
    )
    return figure, notes


def _standing(plain: Motion, notes: list[str]) -> tuple[Motion, Up, float]:
    """Return a motion in metres with Z up, and what it was in."""
    ups, units = stated_ups(plain), stated_units(plain)
    if not ups:
        notes.append("axes not known: y taken for up")
        plain = assuming(plain, up="y")
    if not units:
        notes.append("unit not known: taken for metres")
        plain = assuming(plain, metres=1.0)
    up, metres = (ups or {"y"}).pop(), (units or {1.0}).pop()
    return with_unit(with_up(plain, "z"), 1.0), up, metres  # type: ignore[return-value]


def _points_figure(motion: Motion, content: str) -> tuple[Figure, list[str]]:
    plain, remarks = as_content(motion, content)
    notes = [*remarks]
    up: Up | None
    if content == "joints":
        plain, guesses = with_guesses(plain)
        notes += guesses
        plain, up, metres = _standing(plain, notes)
        (person,) = plain.people
        values = person.tracks["joints"].values.astype(np.float64)
        origin = np.zeros(3)
    else:
        (person,) = plain.people
        track = person.tracks["joints"].values.astype(np.float64)
        width, height = motion.image_size or _extent(track)
        up, metres = None, _IMAGE / height
        origin = np.array([-width / 2 * metres, 0.0, _IMAGE])
        values = np.stack([track[..., 0], np.zeros(track.shape[:2]), -track[..., 1]], axis=-1) * metres + origin
        notes.append("positions in an image: shown in an upright plane, 2 m high")
    seen = np.isfinite(values).all(axis=2)
    first = np.argmax(seen, axis=0)
    places = np.where(seen.any(axis=0)[:, None], values[first, np.arange(values.shape[1])], 0.0)
    size = float(np.ptp(places[:, 2])) or 1.0
    joints = person.tracks["joints"].joints
    figure = Figure(
        person.id,
        content,
        joints,
        np.full(len(joints), -1, np.int64),
        places,
        places + np.array([0.0, 0.0, 0.02 * size]),
        np.eye(3),
        person.frames,
        None,
        np.zeros(len(joints), bool),
        {j: values[:, j] - places[j] for j in range(len(joints)) if seen[:, j].any()},
        origin,
        up,
        metres,
    )
    return figure, notes


def _extent(values: Array) -> tuple[float, float]:
    largest = np.nanmax(values, axis=(0, 1), initial=1.0)
    return float(largest[0]), float(largest[1])


def _quaternions(rotations: Array) -> Array:
    quat = matrix_to_quat_wxyz(rotations)
    whole = np.isfinite(quat).all(axis=(1, 2))
    if whole.all():
        return continuous_quat_wxyz(quat)
    result = np.full(quat.shape, np.nan)
    if whole.any():
        result[whole] = continuous_quat_wxyz(quat[whole])
    return result


def channels(figure: Figure, rest: Sequence[Array] | Array) -> tuple[dict[int, Array], dict[int, Array]]:
    """Return the rotations (T, 4) and locations (T, 3) of bones by joint, as Blender's pose channels hold them.

    With ``A`` the joint's axes at rest and ``B`` the bone's, both in the armature's axes, the bone's rotation is
    ``B^-1 A r A^-1 B``: its quaternion has the real part of the joint's, and its vector in the bone's axes.

    Args:
        figure: J joints.
        rest: (J, 3, 3) the bones' axes at rest, as columns.
    """
    turned, moved = {}, {}
    for j in range(len(figure.joints)):
        axes = np.asarray(rest[j], np.float64)
        if figure.quat_wxyz is not None and figure.turning[j]:
            into = axes.T @ figure.axes
            quat = figure.quat_wxyz[:, j]
            vector = quat[:, 1, None] * into[:, 0] + quat[:, 2, None] * into[:, 1] + quat[:, 3, None] * into[:, 2]
            turned[j] = np.concatenate([quat[:, :1], vector], axis=1)
        if j in figure.moves:
            away = figure.moves[j]
            moved[j] = away[:, 0, None] * axes[0] + away[:, 1, None] * axes[1] + away[:, 2, None] * axes[2]
    return turned, moved
