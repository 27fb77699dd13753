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
from smpl_tools.bodies._free_weights import BONES, even_weights, joint_weights, meeting_weights
from smpl_tools.bodies._rest_pose import bone_maps, rest
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.coordinates import PELVIS
from smpl_tools.pairs.body import Body, Shape, make_body
from smpl_tools.skeleton import SMPL

Array = NDArray[np.float64]

# What one unit of each of the betas is. ``size``: a tenth larger in all directions about the pelvis. ``sex``: from the
# mean to a man, and -1 to a woman. ``weight`` and ``muscle``: half the way from MakeHuman's lightest to its heaviest,
# and from its slackest to its most muscular. ``legs``, ``trunk`` and ``arms``: a tenth longer between their
# joints, and no thicker.
BETAS = ("size", "sex", "weight", "muscle", "legs", "trunk", "arms")
_UNIT = 0.1
_SEX = {"female": 0.0, "neutral": 0.5, "male": 1.0}
MIDDLE = Shape(sex=0.5, race=(1 / 3, 1 / 3, 1 / 3), weight=0.0, muscle=0.0, scale=1.0)
_STRETCHED = {
    "legs": ("thigh_l", "thigh_r", "calf_l", "calf_r"),
    "trunk": ("spine_01", "spine_02", "spine_03"),
    "arms": ("upperarm_l", "upperarm_r", "lowerarm_l", "lowerarm_r"),
}

# A body and what turns its bones into the rest pose.
_Posed = tuple[Body, Mapping[str, Array]]


def free_body(shape: Shape | None = None, gender: str = "neutral") -> BodyModel:
    """Return the licence-free body on the joints of ``smpl_tools.skeleton.SMPL``.

    At rest it stands in SMPL's T-pose, every joint's axes those of the scene. The joints of the mean neutral person lie
    where ``smpl_tools.skeleton.SMPL`` has them, but for the legs, whose hips are as wide as MakeHuman's mesh needs.
    The pelvis lies at (0, -0.2233, 0.0282) m, as SMPL's, whatever the shape. Vertices follow at most 4 joints. The
    model's ``betas`` are those of ``BETAS``.

    There are no joints of fingers, jaw and eyes: in a motion of SMPL-H or SMPL-X these stay at rest.

    Args:
        shape: the person that the template is; None for the mean of ``gender``.
        gender: ``neutral``, ``male`` or ``female``; with a ``shape`` only what the model is called.

    Raises:
        ValueError: an unknown gender.
    """
    one_of("gender of the free body", gender, _SEX)
    person = replace(MIDDLE, sex=_SEX[gender]) if shape is None else shape
    even = even_weights(make_body(MIDDLE))

    def made(shape: Shape) -> Body:
        return replace(make_body(shape), weights=even)

    middle, body = made(MIDDLE), made(person)
    maps = bone_maps(middle)
    weights = joint_weights(middle, rest(middle, maps)[0])
    meeting = meeting_weights(weights)

    def moved(less: _Posed, more: _Posed) -> Array:
        """Return by how much the vertices and the joints of two bodies at rest differ, (V + 24, 3)."""
        (start, starts), (end, ends) = rest(*less), rest(*more)
        steps = end - start
        return np.concatenate([steps, _joints(steps, {name: ends[name] - starts[name] for name in ends}, meeting)])

    def between(name: str, low: float, high: float) -> Array:
        first, last = (made(replace(person, **{name: value})) for value in (low, high))
        return moved((first, maps), (last, maps)) / 2

    vertices = rest(body, maps)[0]
    joints = _middle_joints(middle, maps) + moved((middle, maps), (body, maps))[len(vertices) :]
    directions = {
        "size": _UNIT * (np.concatenate([vertices, joints]) - PELVIS),
        "sex": between("sex", 0.0, 1.0),
        "weight": between("weight", -1.0, 1.0),
        "muscle": between("muscle", -1.0, 1.0),
    }
    for name, bones in _STRETCHED.items():
        longer = {**maps, **{bone: _longer(maps[bone], body, bone) for bone in bones}}
        directions[name] = moved((body, maps), (body, longer))
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


def _middle_joints(middle: Body, maps: Mapping[str, Array]) -> Array:
    """Return the joints (24, 3) of the mean person; those that no bone begins at lie as in SMPL's skeleton."""
    begins = rest(middle, maps)[1]
    places: list[Array] = []
    for name, parent, offset in zip(SMPL.joints, SMPL.parents, SMPL.offsets, strict=True):
        beside = PELVIS if parent < 0 else places[parent] + offset
        places.append(begins[BONES[name]] if name in BONES else beside)
    return np.stack(places)


def _joints(steps: Array, bones: Mapping[str, Array], meeting: Array) -> Array:
    """Return how the joints (24, 3) move when the vertices (V, 3) and the bones' beginnings do; the pelvis stays."""
    moved = meeting @ steps
    for joint, name in enumerate(SMPL.joints):
        if name in BONES:
            moved[joint] = bones[BONES[name]]
    moved[0] = 0
    return moved
