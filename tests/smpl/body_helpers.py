"""A small body model of random flesh about the bones of SMPL, and an independent way to pose it."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.skeleton import SMPL


def made_body(a_joint: int = 14, directions: int = 6, pose_shapes: bool = True, seed: int = 0, skeleton=SMPL):
    """Return a body with ``a_joint`` vertices around every joint, blended with the parent's near the joint."""
    rng = np.random.default_rng(seed)
    joints = len(skeleton.joints)
    places = np.zeros((joints, 3))
    for j, parent in enumerate(skeleton.parents):
        places[j] = skeleton.offsets[j] + (places[parent] if parent >= 0 else (0, -0.2, 0.02))
    vertices, weights = [], []
    for j, parent in enumerate(skeleton.parents):
        children = np.flatnonzero(skeleton.parents == j)
        bone = places[children].mean(axis=0) - places[j] if len(children) else skeleton.offsets[j] * 0.6
        wide = 0.25 * np.linalg.norm(bone) + 0.02
        along = rng.uniform(-0.2, 1, a_joint)
        vertices.append(places[j] + along[:, None] * bone + rng.normal(0, wide, (a_joint, 3)))
        share = np.zeros((a_joint, joints))
        share[:, j] = 1
        if parent >= 0:
            share[:, parent] = np.clip(0.5 - 1.5 * along, 0, 0.6)
            share[:, j] -= share[:, parent]
        weights.append(share)
    vertices, weights = np.concatenate(vertices), np.concatenate(weights)
    # Smooth in place, as shapes of bodies are.
    waves = rng.normal(0, 1.5, (directions, 3, 3))
    amounts = rng.normal(0, 0.012, (directions, 3))

    def shapes(points):
        return np.stack([a * np.sin(points @ w.T + 1) + 0.02 * points for w, a in zip(waves, amounts, strict=True)], -1)

    pose = rng.normal(0, 0.002, (len(vertices), 3, 9 * (joints - 1))) if pose_shapes else None
    if pose is not None:
        # Only what is near a joint bends with it.
        pose *= np.repeat((weights[:, 1:] + weights[:, skeleton.parents[1:]])[:, None], 9, axis=2)
    faces = rng.integers(0, len(vertices), (10, 3))
    return BodyModel(
        "free", "neutral", skeleton.joints, skeleton.parents, vertices, faces, places, shapes(vertices),
        shapes(places), weights, pose,
    )  # fmt: skip


def posed(model: BodyModel, rotations, betas, transl):
    """Return vertices (T, V, 3) and joints (T, J, 3), one frame after the other, as the model's definition has it."""
    vertices, joints = [], []
    for r, b, t in zip(rotations, np.broadcast_to(betas, (len(rotations), np.shape(betas)[-1])), transl, strict=True):
        size = len(b)
        rest = model.vertices + model.shape_vertices[..., :size] @ b
        places = model.joint_places + model.shape_joints[..., :size] @ b
        if model.pose_vertices is not None:
            rest = rest + model.pose_vertices @ (r[1:] - np.eye(3)).ravel()
        moves = []
        for j, parent in enumerate(model.parents):
            move = np.eye(4)
            move[:3, :3], move[:3, 3] = r[j], places[j] - (places[parent] if parent >= 0 else 0)
            moves.append(moves[parent] @ move if parent >= 0 else move)
        joints.append(np.array([m[:3, 3] for m in moves]) + t)
        back = [np.block([[np.eye(3), -p[:, None]], [np.zeros(3), 1]]) for p in places]
        own = np.array([m[:3] @ b for m, b in zip(moves, back, strict=True)])
        blend = np.einsum("vj,jab->vab", model.weights, own)
        vertices.append(np.einsum("vab,vb->va", blend[..., :3], rest) + blend[..., 3] + t)
    return np.array(vertices), np.array(joints)


def random_poses(frames: int, joints: int, limb: float = 60.0, seed: int = 0):
    """Return rotations (T, J, 3, 3), any at the root and up to ``limb`` degrees elsewhere."""
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(frames, joints, 3))
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    vectors = axes * np.deg2rad(rng.uniform(0, limb, (frames, joints, 1)))
    vectors[:, 0] = Rotation.random(frames, rng).as_rotvec() if frames else vectors[:, 0]
    return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(frames, joints, 3, 3)
