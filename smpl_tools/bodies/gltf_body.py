"""Bodies in motion as glTF: the mesh of a model on an armature that moves it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.bodies.meshes import vertex_normals
from smpl_tools.formats.gltf import Figure, Skin, write_figures
from smpl_tools.motion import Skeleton


@dataclass(frozen=True, eq=False)
class MovingBody:
    """One person's body in motion.

    Attributes:
        name: of the person.
        model: J joints, K shape directions.
        rotations: (T, J, 3, 3) of each joint relative to its parent, of the pelvis relative to the scene.
        transl: (T, 3) metres, as SMPL's: the pelvis is at ``transl`` plus its place in the shaped model.
        betas: (K,) or fewer; None is the template.
        frames: (T,) frame numbers; 0 to T - 1 where None.
    """

    name: str
    model: BodyModel
    rotations: NDArray[np.floating]
    transl: NDArray[np.floating]
    betas: NDArray[np.floating] | None = None
    frames: NDArray[np.int64] | None = None


def write_bodies(
    path: str | os.PathLike[str], bodies: Sequence[MovingBody], fps: float, *, up: str = "y"
) -> str | None:
    """Write bodies in motion as ``.glb`` or ``.gltf``: mesh, armature, skin and one animation of all.

    A vertex follows at most 4 joints, and what a model of the SMPL family adds to the vertices by pose is left out, as
    an armature knows no such thing.

    Args:
        path: ends in ``.glb`` or ``.gltf``.
        bodies: at least one person.
        fps: frames a second.
        up: the axis that points up in the scene of ``transl`` and the pelvis' rotations, ``y`` or ``z``. Models rest
            with Y up in either.

    Returns:
        The licences of the models, for whoever has to tell the user; they are in the file too. None where there is
        nothing to tell.

    Raises:
        ValueError: a shape that is not as above, or whatever ``write_figures`` refuses.
    """
    licences = dict.fromkeys(body.model.licence for body in bodies if body.model.licence is not None)
    figures = [_figure(body) for body in bodies]
    return write_figures(path, figures, fps, up=up, rest_up="y", licence="\n".join(licences) or None)


def _figure(body: MovingBody) -> Figure:
    model = body.model
    count = model.shape_vertices.shape[-1]
    betas = np.zeros(0) if body.betas is None else np.asarray(body.betas, np.float64)
    if betas.ndim != 1 or len(betas) > count:
        raise mismatch(f"shape of betas of {body.name}", f"at most ({count},)", betas.shape)
    vertices = model.vertices + model.shape_vertices[..., : len(betas)] @ betas
    places = model.joint_places + model.shape_joints[..., : len(betas)] @ betas
    offsets = places.copy()
    inner = model.parents >= 0
    offsets[inner] -= places[model.parents[inner]]
    weights = np.asarray(model.weights.toarray() if hasattr(model.weights, "toarray") else model.weights)
    skin = Skin(vertices, vertex_normals(vertices, model.faces), model.faces, weights)
    transl = np.asarray(body.transl, np.float64)
    if transl.shape != (len(body.rotations), 3):
        raise mismatch(f"shape of transl of {body.name}", (len(body.rotations), 3), transl.shape)
    return Figure(
        body.name,
        Skeleton(model.joints, model.parents, offsets),
        body.rotations,
        transl + places[0],
        frames=body.frames,
        skin=skin,
    )
