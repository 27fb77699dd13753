"""What a figure is: one person's joints, bones and movements in metres with Z up, ready to become an armature.

A joint's axes at rest are those of its file (``axes``, the same for all joints); its rotation turns them. A bone lies
anywhere about its joint: :func:`channels` puts a joint's rotation and movement into the axes of its bone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smpl_tools.motion import Up
from smpl_tools.rotations import continuous_quat_wxyz, matrix_to_quat_wxyz

Array = NDArray[np.float64]

# A joint moves, or turns, if it does by more than files round to.
STILL = 1e-6


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


def quaternions(rotations: Array) -> Array:
    """Return quaternions (T, J, 4) of matrices (T, J, 3, 3), continuous over the frames without NaN."""
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
