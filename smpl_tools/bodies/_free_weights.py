"""Which of SMPL's joints the vertices of the licence-free body follow, from the bones that MakeHuman's follow."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import KDTree

from smpl_tools.bodies._rest_pose import rest_targets
from smpl_tools.pairs.body import Body, foot_and_hand_shares
from smpl_tools.skeleton import SMPL

Array = NDArray[np.float64]

# The joints that are where a bone of MakeHuman's begins.
BONES = {
    "neck": "neck_01",
    "head": "head",
    **{
        f"{side}_{joint}": f"{bone}_{side[0]}"
        for side in ("left", "right")
        for joint, bone in (
            ("hip", "thigh"),
            ("knee", "calf"),
            ("ankle", "foot"),
            ("shoulder", "upperarm"),
            ("elbow", "lowerarm"),
            ("wrist", "hand"),
        )
    },
}
_TRUNK = ("pelvis", "spine1", "spine2", "spine3")
# Half the height over which the trunk passes from one joint to the next, in metres.
_BLEND = 0.06


def even_weights(body: Body) -> Any:
    """Return the body's weights (V, B) sparse, each vertex and its mirror image given the mean of both.

    The mesh is exactly symmetric; the weights were painted, and differ by up to a quarter.
    """
    other = {"l": "r", "r": "l"}
    swapped = [body.bones.index(re.sub(r"(?<=_)[lr]$", lambda side: other[side[0]], bone)) for bone in body.bones]
    weights = body.weights.toarray()
    return sparse.csr_array((weights + weights[_partners(body)][:, swapped]) / 2)


def _partners(body: Body) -> NDArray[np.int64]:
    """Return the vertex (V,) that is the mirror image of each."""
    return np.asarray(KDTree(body.vertices).query(body.vertices * [-1.0, 1.0, 1.0])[1], np.int64)


def joint_weights(body: Body, vertices: Array) -> Array:
    """Return how much of each of SMPL's joints every vertex follows, (V, 24), from MakeHuman's weights of 20 bones.

    The trunk is shared among pelvis and spine by height, since SMPL's joints lie elsewhere in it; ball and fingers get
    what MakeHuman gives them of the foot and of the hand.
    """
    given = dict(zip(body.bones, body.weights.toarray().T, strict=True))
    partner = _partners(body)
    toes, fingers = ((share + share[partner]) / 2 for share in foot_and_hand_shares())
    targets = rest_targets()
    weights = np.zeros((len(vertices), len(SMPL.joints)))

    def put(joint: str, amount: Array) -> None:
        weights[:, SMPL.joints.index(joint)] = amount

    trunk = given["pelvis"] + given["spine_01"] + given["spine_02"] + given["spine_03"]
    above = np.ones(len(vertices))
    for joint, following in zip(_TRUNK, (*_TRUNK[1:], None), strict=True):
        passed = np.zeros(len(vertices)) if following is None else _rise(vertices[:, 1] - targets[following][1])
        put(joint, trunk * (above - passed))
        above = passed
    for joint, bone in BONES.items():
        put(joint, given[bone])
    for side in ("left", "right"):
        put(f"{side}_collar", given[f"clavicle_{side[0]}"])
        for inner, outer, share in (("ankle", "foot", toes), ("wrist", "hand", fingers)):
            whole = given[BONES[f"{side}_{inner}"]]
            put(f"{side}_{inner}", whole * (1 - share))
            put(f"{side}_{outer}", whole * share)
    # Above the fifth, so that of two alike, left and right of the middle, none is kept without the other.
    weights[weights <= np.sort(weights, axis=1)[:, -5, None]] = 0
    return weights / weights.sum(axis=1, keepdims=True)


def _rise(height: Array) -> Array:
    """Return 0 below, 1 above and a smooth passage over twice ``_BLEND`` around zero."""
    share = np.clip(height / (2 * _BLEND) + 0.5, 0, 1)
    return share * share * (3 - 2 * share)


def meeting_weights(weights: Array) -> Array:
    """Return for each joint how much each vertex counts as lying around it, (24, V): where its two bones meet."""
    meeting = np.zeros((len(SMPL.joints), len(weights)))
    for joint, parent in enumerate(SMPL.parents):
        if parent >= 0 and SMPL.joints[joint] not in BONES:
            shared = weights[:, joint] * weights[:, parent]
            meeting[joint] = shared / shared.sum()
    return meeting
