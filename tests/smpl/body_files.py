"""Synthetic files of body models in the published layouts: their keys, types and shapes, and no data of theirs.

A body is a cloud of points around the skeleton's bones. Joints are weighted means of the points near them, and every
point follows up to four joints, so that poses look like a body's and errors are as large as on a real one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from smpl_tools.motion import Skeleton
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X
from tests.core.python2_pickles import Ch, Select, python2_dumps

SKELETONS: dict[str, Skeleton] = {"smpl": SMPL, "smplh": SMPL_H, "smplx": SMPL_X}
REAL_VERTICES = {"smpl": 6890, "smplh": 6890, "smplx": 10475}


def body_arrays(name: str, vertices: int, columns: int, seed: int = 0) -> dict[str, Any]:
    """Return the arrays of a model, ``columns`` of shape (and expression) directions; the regressor is csc."""
    rng = np.random.default_rng(seed)
    skeleton = SKELETONS[name]
    joints = len(skeleton.joints)
    places = np.zeros((joints, 3))
    for j, parent in enumerate(skeleton.parents):
        places[j] = skeleton.offsets[j] + (places[parent] if parent >= 0 else [0.0, -0.2, 0.03])
    owner = np.arange(vertices) % joints
    template = places[owner] + rng.normal(scale=0.04, size=(vertices, 3))
    weights = np.zeros((vertices, joints))
    for k in range(4):
        near = owner if k == 0 else rng.integers(0, joints, vertices)
        weights[np.arange(vertices), near] += rng.random(vertices) * (5 if k == 0 else 1)
    weights /= weights.sum(1, keepdims=True)
    rows = np.repeat(np.arange(joints), 8)
    picked = rng.integers(0, -(-vertices // joints) - 1, len(rows)) * joints + rows
    regressor = sparse.csc_matrix((rng.random(len(rows)) + 0.1, (rows, picked)), (joints, vertices))
    regressor = sparse.csc_matrix(regressor.multiply(1 / regressor.sum(axis=1)))
    table = np.stack([skeleton.parents, np.arange(joints)])
    # The real correctives have the size of millimetres; one row of noise, shifted, is quicker than ten million numbers.
    noise = rng.normal(scale=0.003, size=vertices * 3 + 9 * joints).astype(np.float32)
    pose = np.lib.stride_tricks.sliding_window_view(noise, 9 * (joints - 1))[: vertices * 3]
    faces = rng.integers(0, vertices, (2 * vertices - 4, 3))
    return {
        "v_template": template,
        "f": faces.astype(np.uint32),
        "weights": weights,
        "kintree_table": table.astype(np.uint32),
        "J_regressor": regressor,
        "J": regressor @ template,
        "shapedirs": rng.normal(scale=0.01, size=(vertices, 3, columns)),
        "posedirs": pose.reshape(vertices, 3, 9 * (joints - 1)).astype(np.float64),
        "bs_type": "lrotmin",
        "bs_style": "lbs",
    }


def hand_arrays(rng: np.random.Generator) -> dict[str, Any]:
    """Return the hands' mean poses and components, which SMPL-H of MANO and SMPL-X have and AMASS's SMPL-H has not."""
    means = {f"hands_mean{side}": rng.normal(scale=0.3, size=45) for side in "lr"}
    return means | {f"hands_components{side}": np.linalg.qr(rng.normal(size=(45, 45)))[0] for side in "lr"}


def write_smpl(path: Path, vertices: int = 120, columns: int = 10, protocol: int = 2, **changes: Any) -> dict[str, Any]:
    """Write a pickle as Python 2 wrote those of smpl.is.tue.mpg.de: ``shapedirs`` of Chumpy, a csc regressor."""
    arrays = body_arrays("smpl", vertices, columns) | {"weights_prior": None, "pose_training_info": {"pose": "all"}}
    content = arrays | {"shapedirs": Ch(arrays["shapedirs"]), "J_regressor_prior": arrays["J_regressor"]} | changes
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(python2_dumps({key: value for key, value in content.items() if value is not ...}, protocol))
    return arrays


def write_smplh(path: Path, vertices: int = 120, columns: int = 16, **changes: Any) -> dict[str, Any]:
    """Write AMASS's ``model.npz`` (dense regressor, no hands), or MANO's pickle (chosen columns of Chumpy, hands)."""
    arrays = body_arrays("smplh", vertices, columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        content = arrays | {"J_regressor": arrays["J_regressor"].toarray()} | changes
        np.savez(path, **{key: value for key, value in content.items() if value is not ...})
        return arrays
    shape = arrays["shapedirs"].shape
    wide = np.concatenate([arrays["shapedirs"], np.ones((*shape[:2], 3))], axis=2)
    places = np.arange(wide.size).reshape(wide.shape)[..., :columns].ravel()
    chosen = Select(a=Ch(wide), idxs=places, preferred_shape=shape)
    content = arrays | {"shapedirs": chosen} | hand_arrays(np.random.default_rng(1)) | changes
    path.write_bytes(python2_dumps(content, 2))
    return arrays


def write_smplx(path: Path, vertices: int = 120, columns: int = 20, **changes: Any) -> dict[str, Any]:
    """Write the ``.npz`` of smpl-x.is.tue.mpg.de: hands, landmarks of the face, a dictionary saved as an object."""
    arrays = body_arrays("smplx", vertices, columns)
    rng = np.random.default_rng(2)
    content = arrays | {"J_regressor": arrays["J_regressor"].toarray()} | hand_arrays(rng)
    content |= {
        "kintree_table": arrays["kintree_table"].astype(np.int64),
        "lmk_faces_idx": rng.integers(0, len(arrays["f"]), 51),
        "lmk_bary_coords": np.full((51, 3), 1 / 3),
        "dynamic_lmk_faces_idx": rng.integers(0, len(arrays["f"]), (79, 17)),
        "dynamic_lmk_bary_coords": np.full((79, 17, 3), 1 / 3),
        "joint2num": np.array({"Pelvis": 0, "L_Hip": 1}, dtype=object),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{key: value for key, value in (content | changes).items() if value is not ...})
    return arrays
