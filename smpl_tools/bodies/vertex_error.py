"""How far the vertices of an estimated body are from those of the true one (MPVPE)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import metrics
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.bodies.person_body import person_body
from smpl_tools.bodies.posing import posed_joints, posed_vertices
from smpl_tools.motion import Person

Array = NDArray[np.float64]


def vertex_errors(estimate: Person, groundtruth: Person, model: BodyModel, *, root: bool = True) -> Array:
    """Return the mean distance (T,) in mm between the vertices of two people, each with its own shape.

    Args:
        estimate: with SMPL poses, in the scene of the other.
        groundtruth: the same, T frames.
        model: that both are posed with; the free body has no use for the shapes that files state.
        root: subtract the pelvis joint of each first, as MPVPE is usually told.

    Returns:
        Of the truth's frames; NaN where the estimate has no such frame or either was not observed.
    """
    shared, mine, theirs = np.intersect1d(estimate.frames, groundtruth.frames, return_indices=True)
    result = np.full(len(groundtruth.frames), np.nan)
    if not len(shared):
        return result
    blocks, pelvis = [], []
    for person, rows in ((estimate, mine), (groundtruth, theirs)):
        body = person_body(person, model)
        betas = None if model.name == "free" else body.betas
        pose = (model, body.rotations, betas, body.transl, body.expression)
        pelvis.append(posed_joints(*pose)[rows, :1])
        blocks.append(posed_vertices(*pose, frames=rows, dtype=np.float32))
    start = 0
    for one, true in zip(*blocks, strict=True):
        stop = start + len(one)
        if root:
            one, true = one - pelvis[0][start:stop], true - pelvis[1][start:stop]
        result[theirs[start:stop]] = metrics.mpvpe(one, true)
        start = stop
    return result
