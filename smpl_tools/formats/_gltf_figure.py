"""What is written as glTF, and the same in glTF's unit and axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.motion import Skeleton

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Skin:
    """A mesh that follows a skeleton of J joints.

    Attributes:
        vertices: (V, 3) at rest, in the unit, the axes and the place of the skeleton at rest.
        normals: (V, 3) of unit length.
        faces: (F, 3) indices, counter-clockwise seen from outside.
        weights: (V, J) how much of each joint's movement a vertex follows; the 4 greatest are written.
        name: of the mesh.
    """

    vertices: Array
    normals: Array
    faces: NDArray[np.int64]
    weights: Array
    name: str = "body"


@dataclass(frozen=True, eq=False)
class Figure:
    """One person, or one hierarchy, in motion.

    Attributes:
        name: of the person.
        skeleton: J joints, one root; its offsets are the rest pose, the root's the place of the root (NaN: 0).
        rotations: (T, J, 3, 3) of each joint relative to its parent, of the root relative to the scene.
        transl: (T, 3) place of the root in the scene; None keeps it at its offset there.
        offsets: (T, J, 3) of each joint from its parent, in the parent's axes, where bones change their length; None
            takes the skeleton's. The root's are not looked at.
        frames: (T,) strictly increasing frame numbers; 0 to T - 1 where None. Over a gap the motion is interpolated.
        skin: what follows the joints; None draws the bones.
    """

    name: str
    skeleton: Skeleton
    rotations: NDArray[np.floating]
    transl: NDArray[np.floating] | None = None
    offsets: NDArray[np.floating] | None = None
    frames: NDArray[np.int64] | None = None
    skin: Skin | None = None


def root_of(figure: Figure) -> int:
    """Return the index of the figure's root."""
    return int(np.flatnonzero(figure.skeleton.parents < 0)[0])


def converted(figure: Figure, unit_m: float, scene: Array, rest: Array) -> Figure:
    """Return the figure in metres, with Y up, without frames that are not wholly known."""
    skeleton, who = figure.skeleton, f"of {figure.name}"
    count = len(skeleton.joints)
    rotations = np.asarray(figure.rotations, np.float64)
    frames = len(rotations)
    if rotations.shape != (frames, count, 3, 3):
        raise mismatch(f"shape of rotations {who}", f"(T, {count}, 3, 3)", rotations.shape)
    numbers = np.arange(frames) if figure.frames is None else np.asarray(figure.frames, np.int64)
    given = {"transl": (figure.transl, (frames, 3)), "offsets": (figure.offsets, (frames, count, 3))}
    given["frames"] = (numbers, (frames,))
    for name, (values, shape) in given.items():
        if values is not None and np.shape(values) != shape:
            raise mismatch(f"shape of {name} {who}", shape, np.shape(values))
    if frames > 1 and np.diff(numbers).min() < 1:
        raise mismatch(f"frame numbers {who}", "strictly increasing", "a repeated or falling number")
    parents = np.asarray(skeleton.parents)
    if (parents < 0).sum() != 1 or not (parents < np.arange(count)).all():
        raise mismatch(f"parents of the skeleton {who}", "one root, each before its children", parents.tolist())

    root = root_of(figure)
    known = np.isfinite(rotations).all(axis=(1, 2, 3))
    transl = None if figure.transl is None else np.asarray(figure.transl, np.float64)
    if transl is not None:
        known &= np.isfinite(transl).all(axis=1)
    offsets = None if figure.offsets is None else np.asarray(figure.offsets, np.float64).copy()
    if offsets is not None:
        offsets[:, root] = 0
        known &= np.isfinite(offsets).all(axis=(1, 2))
    if not known.any():
        raise mismatch(f"frames {who}", "at least one that is known", f"none of {frames}")

    places = np.asarray(skeleton.offsets, np.float64).copy()
    places[root] = np.nan_to_num(places[root])
    if offsets is not None:
        lost = ~np.isfinite(places).all(axis=1)
        places[lost] = offsets[known][0, lost]
    if transl is None:
        transl = np.tile(places[root], (frames, 1))
    if not np.isfinite(places).all():
        lacking = skeleton.joints[int(np.flatnonzero(~np.isfinite(places).all(axis=1))[0])]
        raise mismatch(f"offset of {lacking} {who}", "three numbers", "NaN")

    turned = rest @ rotations[known] @ rest.T
    turned[:, root] = scene @ rotations[known][:, root] @ rest.T
    skin = figure.skin
    if skin is not None:
        skin = Skin(unit_m * skin.vertices @ rest.T, skin.normals @ rest.T, skin.faces, skin.weights, skin.name)
    return Figure(
        figure.name,
        Skeleton(skeleton.joints, parents, unit_m * places @ rest.T),
        turned,
        unit_m * transl[known] @ scene.T,
        None if offsets is None else unit_m * offsets[known] @ rest.T,
        numbers[known],
        skin,
    )


def rest_places(skeleton: Skeleton) -> Array:
    """Return the places (J, 3) of a skeleton's joints at rest."""
    places = np.array(skeleton.offsets, np.float64)
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:
            places[joint] += places[parent]
    return places
