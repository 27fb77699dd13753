"""A body that anyone may use and pass on, on SMPL's 24 joints: MakeHuman's, of which ``assets/README.md`` tells.

It stands in wherever a mesh is needed and the files of SMPL, which may not be passed on, are not at hand. A pose of
SMPL means the same on it; SMPL's ``betas`` do not, it has its own (``BETAS``). ``docs/bodies.md`` says in numbers how
it differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from smoothnet_core._checks import mismatch, one_of
from smpl_tools.bodies._rest_pose import PELVIS, bone_maps, rest, rest_targets
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.pairs.body import Body, Shape, foot_and_hand_shares, make_body
from smpl_tools.skeleton import SMPL

Array = NDArray[np.float64]

# What one unit of each of the betas is. ``size``: a tenth larger in all directions about the pelvis. ``sex``: from the
# mean to a man, and -1 to a woman. ``weight`` and ``muscle``: from the mean to MakeHuman's heaviest and most muscular.
# ``legs``, ``trunk`` and ``arms``: a tenth longer between their joints, and no thicker.
BETAS = ("size", "sex", "weight", "muscle", "legs", "trunk", "arms")
_UNIT = 0.1
_SEX = {"female": 0.0, "neutral": 0.5, "male": 1.0}
_MIDDLE = Shape(sex=0.5, race=(1 / 3, 1 / 3, 1 / 3), weight=0.0, muscle=0.0, scale=1.0)
_STRETCHED = {
    "legs": ("thigh_l", "thigh_r", "calf_l", "calf_r"),
    "trunk": ("spine_01", "spine_02", "spine_03"),
    "arms": ("upperarm_l", "upperarm_r", "lowerarm_l", "lowerarm_r"),
}

# The joints that are where a bone of MakeHuman's begins.
_BONES = {
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


def free_body(shape: Shape | None = None, gender: str = "neutral") -> BodyModel:
    """Return the licence-free body on the joints of ``smpl_tools.skeleton.SMPL``.

    At rest it stands in SMPL's T-pose, every joint's axes those of the scene. The joints of the mean neutral person lie
    where ``smpl_tools.skeleton.SMPL`` has them, but for the legs, whose hips are as wide as MakeHuman's mesh needs.
    The pelvis lies at ``PELVIS`` whatever the shape. Vertices follow at most 4 joints. ``betas`` are those of ``BETAS``.

    There are no joints of fingers, jaw and eyes: with a motion of SMPL-H or SMPL-X these stay at rest.

    Args:
        shape: the person that the template is, in place of the mean of ``gender``.
        gender: ``neutral``, ``male`` or ``female``.

    Raises:
        ValueError: an unknown gender.
    """
    one_of("gender of the free body", gender, _SEX)
    person = replace(_MIDDLE, sex=_SEX[gender]) if shape is None else shape
    middle = make_body(_MIDDLE)
    maps = bone_maps(middle)
    body = make_body(person)
    vertices, places = rest(body, maps)

    reference = rest(middle, maps)
    weights = _weights(middle, reference[0])
    meeting = _meeting(weights)

    def moved(more: Body, less: Body, maps: Mapping[str, Array] = maps, base: Mapping[str, Array] = maps) -> Array:
        """Return by how much vertices and joints differ between two bodies or two poses, (V + 24, 3)."""
        (upper, upper_places), (lower, lower_places) = rest(more, maps), rest(less, base)
        steps = upper - lower
        bones = {name: upper_places[name] - lower_places[name] for name in upper_places}
        return np.concatenate([steps, _joints(steps, bones, meeting)])

    # Joints that no bone begins at keep their place in the mesh around them.
    targets = rest_targets()
    middle_joints = np.stack([reference[1][_BONES[j]] if j in _BONES else targets[j] for j in SMPL.joints])
    joints = middle_joints + moved(body, middle)[len(vertices) :]

    root = np.array(PELVIS)
    directions = {
        "size": _UNIT * np.concatenate([vertices - root, joints - root]),
        "sex": moved(make_body(replace(person, sex=1.0)), make_body(replace(person, sex=0.0))) / 2,
        "weight": moved(make_body(replace(person, weight=1.0)), make_body(replace(person, weight=-1.0))) / 2,
        "muscle": moved(make_body(replace(person, muscle=1.0)), make_body(replace(person, muscle=-1.0))) / 2,
    }
    for name, bones in _STRETCHED.items():
        directions[name] = moved(body, body, {**maps, **{b: _longer(maps[b], body, b) for b in bones}})
    stacked = np.stack([directions[name] for name in BETAS], axis=-1)
    return BodyModel(
        name="free",
        gender=gender,
        joints=SMPL.joints,
        parents=SMPL.parents.copy(),
        vertices=vertices,
        faces=body.triangles,
        joint_places=joints,
        shape_vertices=stacked[: len(vertices)],
        shape_joints=stacked[len(vertices) :],
        weights=weights,
    )


def stature(model: BodyModel, betas: ArrayLike | None = None) -> float:
    """Return the height of a body at rest in metres: from the lowest vertex to the highest, with ``betas`` (K,)."""
    given = np.zeros(model.shape_vertices.shape[-1]) if betas is None else np.asarray(betas, np.float64)
    if given.shape != (model.shape_vertices.shape[-1],):
        raise mismatch(f"betas of the {model.name} body", (model.shape_vertices.shape[-1],), given.shape)
    return float(np.ptp(model.vertices[:, 1] + model.shape_vertices[:, 1] @ given))


def stature_to_betas(model: BodyModel, stature_m: float) -> Array:
    """Return the betas (7,) that make a free body ``stature_m`` metres tall by its ``size`` alone.

    Raises:
        ValueError: the model is another one, or the stature is not between 0.5 and 2.5 m.
    """
    _check_free(model)
    if not 0.5 <= stature_m <= 2.5:
        raise mismatch("stature", "0.5 to 2.5 m", stature_m)
    betas = np.zeros(len(BETAS))
    betas[BETAS.index("size")] = (stature_m / stature(model) - 1) / _UNIT
    return betas


def lengths_to_betas(model: BodyModel, lengths: Mapping[str, float]) -> Array:
    """Return the betas (7,) of a free body whose bones come nearest to the given lengths, by size and limbs alone.

    Args:
        model: a free body.
        lengths: distances in metres from a joint of these names to its parent, of as many as are known. Where the
            legs, the trunk or the arms are not among them they change with the rest.

    Raises:
        ValueError: the model is another one, no length is given, one is not positive, or a joint is unknown or the
            root.
    """
    _check_free(model)
    if not lengths:
        raise mismatch("lengths of bones", "at least one", "none")
    for name, length in lengths.items():
        one_of("joint of a length", name, model.joints[1:])
        if not 0 < length < np.inf:
            raise mismatch(f"length of {name}", "a positive number of metres", length)
    wanted = np.array(list(lengths.values()), np.float64)
    rows = np.array([model.joints.index(name) for name in lengths])
    free = [BETAS.index(name) for name in ("size", *_STRETCHED)]

    def bones(values: Array) -> Array:
        placed = model.joint_places + model.shape_joints[..., free] @ values
        return placed[rows] - placed[model.parents[rows]]

    # The pull towards no stretch decides between size and limbs, and moves lengths by well under a millimetre.
    pull = 1e-3 * np.array([0.1, 1.0, 1.0, 1.0])
    found = least_squares(lambda x: np.concatenate([np.linalg.norm(bones(x), axis=-1) - wanted, pull * x]), np.zeros(4))
    betas = np.zeros(len(BETAS))
    betas[free] = found.x
    return betas


def _check_free(model: BodyModel) -> None:
    if model.name != "free":
        raise mismatch("body model", "the free body", model.name)


def _longer(matrix: Array, body: Body, bone: str) -> Array:
    """Return the map of a bone with a tenth more length in the direction that the bone has at rest."""
    following = {body.parents[b]: b for b in range(len(body.bones) - 1, -1, -1)}
    if bone.startswith("spine"):
        middle = body.joints[[body.bones.index(f"thigh_{side}") for side in "lr"]].mean(axis=0)
        along = body.joints[body.bones.index("neck_01")] - middle
    else:
        own = body.bones.index(bone)
        along = body.joints[following[own]] - body.joints[own]
    direction = matrix @ along
    direction /= np.linalg.norm(direction)
    return matrix + _UNIT * np.outer(direction, direction) @ matrix


def _weights(body: Body, vertices: Array) -> Array:
    """Return how much of each of SMPL's joints every vertex follows, (V, 24), from MakeHuman's weights of 20 bones.

    The trunk is shared among pelvis and spine by height, since SMPL's joints lie elsewhere in it; ball and fingers get
    what MakeHuman gives them of the foot and of the hand.
    """
    given = dict(zip(body.bones, body.weights.toarray().T, strict=True))
    toes, fingers = foot_and_hand_shares()
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
    for joint, bone in _BONES.items():
        put(joint, given[bone])
    for side in ("left", "right"):
        put(f"{side}_collar", given[f"clavicle_{side[0]}"])
        for inner, outer, share in (("ankle", "foot", toes), ("wrist", "hand", fingers)):
            whole = given[_BONES[f"{side}_{inner}"]]
            put(f"{side}_{inner}", whole * (1 - share))
            put(f"{side}_{outer}", whole * share)
    fourth = np.sort(weights, axis=1)[:, -4, None]
    weights[weights < fourth] = 0
    return weights / weights.sum(axis=1, keepdims=True)


def _rise(height: Array) -> Array:
    """Return 0 below, 1 above and a smooth passage over twice ``_BLEND`` around zero."""
    share = np.clip(height / (2 * _BLEND) + 0.5, 0, 1)
    return share * share * (3 - 2 * share)


def _meeting(weights: Array) -> Array:
    """Return for each joint how much each vertex counts as lying around it, (24, V): where its two bones meet."""
    meeting = np.zeros((len(SMPL.joints), len(weights)))
    for joint, parent in enumerate(SMPL.parents):
        if parent >= 0 and SMPL.joints[joint] not in _BONES:
            shared = weights[:, joint] * weights[:, parent]
            meeting[joint] = shared / shared.sum()
    return meeting


def _joints(steps: Array, bones: Mapping[str, Array], meeting: Array) -> Array:
    """Return how the joints (24, 3) move when the vertices (V, 3) and the bones' beginnings do; the pelvis stays."""
    moved = meeting @ steps
    for joint, name in enumerate(SMPL.joints):
        if name in _BONES:
            moved[joint] = bones[_BONES[name]]
    moved[0] = 0
    return moved
