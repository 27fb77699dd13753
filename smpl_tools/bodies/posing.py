"""A body model in a pose: where its joints and its vertices are. Plain NumPy and SciPy.

The model is SMPL's (Loper et al., "SMPL: A Skinned Multi-Person Linear Model", SIGGRAPH Asia 2015, equations 2 to 10):
shape, expression and the pose's own corrections move the template's vertices, and each vertex then follows its joints'
rigid movements by its weights. With ``transl`` zero the pelvis lies at ``joint_places[0]`` (plus what the shape adds),
whatever the pose; ``transl`` moves the whole body.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch, one_of
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.rotations import axis_angle_to_matrix
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X

Array = NDArray[np.float64]

# As many frames are skinned at a time as stay in a core's cache with their transformations of every vertex.
_TOGETHER = 4
# What poses are given by: the joints of each part, by their number.
_PARTS: dict[str, dict[int, tuple[str, ...]]] = {
    "global_orient": {1: SMPL.joints[:1]},
    "body_pose": {21: SMPL.joints[1:22], 23: SMPL.joints[1:24]},
    "left_hand_pose": {15: SMPL_H.joints[22:37]},
    "right_hand_pose": {15: SMPL_H.joints[37:52]},
    "jaw_pose": {1: SMPL_X.joints[22:23]},
    "eye_pose": {2: SMPL_X.joints[23:25]},
}


def posed_joints(
    model: BodyModel,
    rotations: ArrayLike,
    betas: ArrayLike | None = None,
    transl: ArrayLike | None = None,
    expression: ArrayLike | None = None,
) -> Array:
    """Return where a body's joints are, without the cost of its vertices.

    Args:
        model: J joints.
        rotations: (T, J, 3, 3) of each joint relative to its parent, of the root relative to the scene.
        betas: (K,) or (T, K), at most as many as the model has; None for the template's shape. What is not given is 0.
        transl: (T, 3) in metres; None for zero.
        expression: (E,) or (T, E) like ``betas``; only for models that have one.

    Returns:
        (T, J, 3) float64, metres, in the axes of the scene. NaN gives NaN, in its own frame.

    Raises:
        ValueError: a shape is not as above.
    """
    local, moved = _checked(model, rotations, transl)
    places = model.joint_places
    for weights, directions in _coefficients(model, len(local), betas, expression, "joints"):
        places = places + np.tensordot(weights, directions, (-1, -1))
    _, placed = _transforms(model.parents, local.astype(np.float64, copy=False), places)
    return placed if moved is None else placed + moved[:, None]


def posed_vertices(
    model: BodyModel,
    rotations: ArrayLike,
    betas: ArrayLike | None = None,
    transl: ArrayLike | None = None,
    expression: ArrayLike | None = None,
    *,
    frames: slice | Sequence[int] | NDArray[np.integer] | None = None,
    block: int = 64,
    dtype: Any = np.float64,
) -> Iterator[NDArray[Any]]:
    """Return an iterator over the vertices of a body, a block of frames at a time.

    Beside what it is given and the blocks that its caller keeps, it holds at most two arrays (block, V, 3), one
    (V, 12) for each of four frames and, unless ``dtype`` is float64 and every joint turns, the ``pose_vertices`` of the
    joints that turn once more in ``dtype``. Of SMPL that is less than 60 MB in float64 and 30 MB in float32, however
    many frames there are.

    Args:
        model: V vertices, J joints.
        rotations: as for :func:`posed_joints`, like the next three.
        betas: see there.
        transl: see there.
        expression: see there.
        frames: which of the T frames, in which order; None for all.
        block: how many frames at a time, at least 1.
        dtype: float64, or float32, which is faster and exact to a few micrometres.

    Returns:
        Of arrays (B, V, 3) of ``dtype``, metres, in the axes of the scene; B is ``block`` but for the last. NaN gives
        NaN, in its own frame.

    Raises:
        ValueError: a shape is not as above, or ``block`` or ``dtype`` is not.
    """
    local, moved = _checked(model, rotations, transl)
    kind = np.dtype(one_of("dtype of vertices", np.dtype(dtype).name, ("float32", "float64")))
    if block < 1:
        raise mismatch("block of frames", "at least 1", block)
    chosen = np.arange(len(local))[slice(None) if frames is None else frames]
    of_vertices = _coefficients(model, len(local), betas, expression, "vertices")
    of_joints = _coefficients(model, len(local), betas, expression, "joints")
    return _blocks(model, local, moved, of_vertices, of_joints, chosen, block, kind)


def _blocks(
    model: BodyModel,
    local: NDArray[Any],
    moved: Array | None,
    of_vertices: list[tuple[Array, Array]],
    of_joints: list[tuple[Array, Array]],
    chosen: NDArray[np.intp],
    block: int,
    kind: np.dtype[Any],
) -> Iterator[NDArray[Any]]:
    from scipy import sparse

    count = 3 * len(model.vertices)
    template, varying = model.vertices.reshape(count), []
    for weights, directions in of_vertices:
        flat = directions.reshape(count, -1)
        if weights.ndim == 1:
            template = template + flat @ weights
        else:
            varying.append((weights, flat.astype(kind, copy=False)))
    template = template.astype(kind, copy=False)
    turning, pose_vertices = _turning(model, local, kind)
    skin = sparse.csr_matrix(model.weights, dtype=kind)
    for start in range(0, len(chosen), block):
        rows = chosen[start : start + block]
        turns = local[rows].astype(np.float64, copy=False)
        if pose_vertices is None:
            shaped = np.repeat(template[None], len(rows), axis=0)
        else:
            features = (turns[:, turning] - np.eye(3)).reshape(len(rows), -1)
            shaped = features.astype(kind, copy=False) @ pose_vertices.T
            shaped += template
        for weights, flat in varying:
            shaped += weights[rows].astype(kind) @ flat.T
        places = model.joint_places
        for weights, directions in of_joints:
            places = places + np.tensordot(weights if weights.ndim == 1 else weights[rows], directions, (-1, -1))
        turned, placed = _transforms(model.parents, turns, places)
        # From the rest pose about each joint: x -> R (x - rest) + placed.
        shifts = placed - (turned @ np.broadcast_to(places, placed.shape)[..., None])[..., 0]
        rigid = np.concatenate([turned, shifts[..., None]], axis=-1).astype(kind, copy=False)
        result = np.empty((len(rows), count // 3, 3), kind)
        shaped = shaped.reshape(result.shape)
        for first in range(0, len(rows), _TOGETHER):
            part = slice(first, first + _TOGETHER)
            _skinned(skin, rigid[part], shaped[part], result[part])
        if moved is not None:
            result += moved[rows, None].astype(kind)
        yield result


def _skinned(skin: Any, rigid: NDArray[Any], shaped: NDArray[Any], result: NDArray[Any]) -> None:
    """Move the vertices ``shaped`` (B, V, 3) by the joints' transformations (B, J, 3, 4), into ``result``."""
    frames, joints = rigid.shape[:2]
    columns = np.ascontiguousarray(rigid.transpose(1, 0, 2, 3)).reshape(joints, frames * 12)
    each = (skin @ columns).reshape(-1, frames, 3, 4).transpose(1, 2, 3, 0)
    for axis in range(3):
        moved = each[:, axis, 0] * shaped[..., 0]
        moved += each[:, axis, 1] * shaped[..., 1]
        moved += each[:, axis, 2] * shaped[..., 2]
        moved += each[:, axis, 3]
        result[..., axis] = moved


def _turning(
    model: BodyModel, local: NDArray[Any], kind: np.dtype[Any]
) -> tuple[NDArray[np.intp], NDArray[Any] | None]:
    """Return which joints correct the vertices, and what they add, (3 V, 9 n).

    A joint that never turns adds nothing; often those are the fingers, most of all joints.
    """
    joints = len(model.joints)
    rest = np.eye(3)
    turning = np.array([j for j in range(1, joints) if (local[:, j] != rest).any()], np.intp)
    if model.pose_vertices is None or not turning.size:
        return turning, None
    flat = model.pose_vertices.reshape(-1, joints - 1, 9)
    if len(turning) == joints - 1:
        return turning, flat.reshape(len(flat), -1).astype(kind, copy=False)
    used = np.empty((len(flat), len(turning), 9), kind)
    for k, joint in enumerate(turning):
        used[:, k] = flat[:, joint - 1]
    return turning, used.reshape(len(flat), -1)


def _transforms(parents: NDArray[np.int64], local: Array, places: Array) -> tuple[Array, Array]:
    """Return the rotations (T, J, 3, 3) in the scene and the places (T, J, 3) of joints.

    ``places`` (J, 3) or (T, J, 3) is where they are at rest; a root stays there.
    """
    turned, placed = np.empty_like(local), np.empty(local.shape[:3])
    for joint, parent in enumerate(parents):
        if parent < 0:
            turned[:, joint], placed[:, joint] = local[:, joint], places[..., joint, :]
        else:
            np.matmul(turned[:, parent], local[:, joint], out=turned[:, joint])
            bone = places[..., joint, :] - places[..., parent, :]
            placed[:, joint] = placed[:, parent] + (turned[:, parent] @ bone[..., None])[..., 0]
    return turned, placed


def _checked(
    model: BodyModel, rotations: ArrayLike, transl: ArrayLike | None
) -> tuple[NDArray[np.floating], Array | None]:
    local, count = np.asarray(rotations), len(model.joints)
    if local.ndim != 4 or local.shape[1:] != (count, 3, 3) or local.dtype.kind not in "fiu":
        raise mismatch(f"rotations for the model {model.name}", f"numbers (T, {count}, 3, 3)", local.shape)
    if transl is None:
        return local, None
    moved = np.asarray(transl, np.float64)
    if moved.shape != (len(local), 3):
        raise mismatch("shape of transl", (len(local), 3), moved.shape)
    return local, moved


def _coefficients(
    model: BodyModel, frames: int, betas: ArrayLike | None, expression: ArrayLike | None, which: str
) -> list[tuple[Array, Array]]:
    """Return the shape's and the expression's coefficients, (K,) or (T, K), each with its K directions."""
    given = []
    for name, value, prefix in (("betas", betas, "shape"), ("expression", expression, "expression")):
        if value is None:
            continue
        directions = getattr(model, f"{prefix}_{which}")
        if directions is None:
            directions = np.zeros((1, 3, 0))
        known, array = directions.shape[-1], np.asarray(value, np.float64)
        if array.ndim not in (1, 2) or array.shape[-1] > known or array.shape[:-1] not in ((), (frames,)):
            raise mismatch(
                f"shape of {name} for the model {model.name}",
                f"(K,) or ({frames}, K) with K at most {known}",
                array.shape,
            )
        if array.shape[-1]:
            if array.ndim == 2 and frames and (array == array[0]).all():
                array = array[0]  # one shape for the whole take
            given.append((array, directions[..., : array.shape[-1]]))
    return given


def body_rotations(
    model: BodyModel,
    global_orient: ArrayLike,
    body_pose: ArrayLike | None = None,
    left_hand_pose: ArrayLike | None = None,
    right_hand_pose: ArrayLike | None = None,
    jaw_pose: ArrayLike | None = None,
    eye_pose: ArrayLike | None = None,
) -> Array:
    """Return the local rotations of a model's joints from the SMPL family's parameters, any of it for any of it.

    What is not given is at rest; what the model has no joints for is left out, as the two hand joints of SMPL's
    ``body_pose`` are on SMPL-H and SMPL-X, and fingers, jaw and eyes on SMPL.

    Args:
        model: J joints with the names of ``smpl_tools.skeleton``.
        global_orient: (T, 1, 3) or (T, 3) rotation vectors in radians.
        body_pose: (T, 21, 3) or (T, 23, 3), or flat, (T, 63) or (T, 69).
        left_hand_pose: (T, 15, 3) or (T, 45), the fingers' own rotations: no principal components, no mean pose to add.
        right_hand_pose: the same.
        jaw_pose: (T, 1, 3) or (T, 3).
        eye_pose: (T, 2, 3) or (T, 6), left and right.

    Returns:
        (T, J, 3, 3) float64.

    Raises:
        ValueError: a shape is not as above, or the numbers of frames differ.
    """
    poses = (global_orient, body_pose, left_hand_pose, right_hand_pose, jaw_pose, eye_pose)
    frames = len(np.atleast_1d(global_orient))
    index = {name: j for j, name in enumerate(model.joints)}
    rotations = np.broadcast_to(np.eye(3), (frames, len(index), 3, 3)).copy()
    for (part, joints_by_count), pose in zip(_PARTS.items(), poses, strict=True):
        if pose is None:
            continue
        vectors = np.asarray(pose, np.float64)
        count = (vectors.size // frames) / 3 if frames else next(iter(joints_by_count))
        axes = vectors.ndim == 2 or (vectors.ndim == 3 and vectors.shape[2] == 3)
        if not axes or count not in joints_by_count or len(vectors) != frames:
            counts = " or ".join(f"({frames}, {n}, 3)" for n in joints_by_count)
            raise mismatch(f"shape of {part}", counts, vectors.shape)
        matrices = axis_angle_to_matrix(vectors.reshape(frames, int(count), 3))
        for k, joint in enumerate(joints_by_count[int(count)]):
            if joint in index:
                rotations[:, index[joint]] = matrices[:, k]
    return rotations
