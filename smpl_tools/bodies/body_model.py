"""What a body model is, whatever file or data it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BodyModel:
    """A template mesh with V vertices on J joints, K shape directions and linear blend skinning.

    The model of SMPL (Loper et al., SIGGRAPH Asia 2015), which SMPL-H, SMPL-X and the licence-free body share: shape
    and pose move the template, joints follow the shape, vertices follow the joints.

    Attributes:
        name: ``smpl``, ``smplh``, ``smplx`` or ``free``.
        gender: ``neutral``, ``male`` or ``female``.
        joints: J names, those of ``smpl_tools.skeleton``.
        parents: (J,) int64, -1 for the root; a parent stands before its children.
        vertices: (V, 3) the template at rest, metres, Y up, X to the person's left, Z forwards.
        faces: (F, 3) int64, counter-clockwise seen from outside.
        joint_places: (J, 3) the template's joints at rest, metres. The first is where the pelvis lies when ``transl``
            is zero.
        shape_vertices: (V, 3, K) what one unit of each of ``betas`` adds to the vertices.
        shape_joints: (J, 3, K) the same for the joints.
        weights: (V, J) how much of each joint's movement a vertex follows; rows sum to 1.
        pose_vertices: (V, 3, 9 * (J - 1)) what the entries of the matrices of all joints but the root, less the
            identity, row by row, add to the vertices; None for a model without.
        expression_vertices: (V, 3, E) like ``shape_vertices`` for the face's expression, None for a model without.
        expression_joints: (J, 3, E) the same for the joints.
        licence: what to tell whoever gets a mesh of it; None where there is nothing to tell.
    """

    name: str
    gender: str
    joints: tuple[str, ...]
    parents: NDArray[np.int64]
    vertices: Array
    faces: NDArray[np.int64]
    joint_places: Array
    shape_vertices: Array
    shape_joints: Array
    weights: Any
    pose_vertices: Array | None = None
    expression_vertices: Array | None = None
    expression_joints: Array | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        count, bones = len(self.vertices), len(self.joints)
        expected = {
            "parents": (bones,),
            "vertices": (count, 3),
            "faces": (len(self.faces), 3),
            "joint_places": (bones, 3),
            "shape_vertices": (count, 3, self.shape_vertices.shape[-1]),
            "shape_joints": (bones, 3, self.shape_vertices.shape[-1]),
            "weights": (count, bones),
        }
        if self.pose_vertices is not None:
            expected["pose_vertices"] = (count, 3, 9 * (bones - 1))
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise mismatch(f"{name} of the body model {self.name}", shape, getattr(self, name).shape)
        if not (self.parents < np.arange(bones)).all():
            raise mismatch("parents of the body model", "each before its children", self.parents.tolist())
