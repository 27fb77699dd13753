"""The body that is rendered: its shape, its bones, and its skin when the bones turn.

Made from MakeHuman's CC0 data (``assets/body``, ``assets/make_body.py``). Metres, Y up, X to the person's left, Z
forwards; the bones' own axes are those of the body at rest, so a bone's world rotation at rest is the identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]

# In an installed package the body lies inside it; in a source tree it is one of the assets.
_FOLDERS = (Path(__file__).parent / "body_data", Path(__file__).parents[2] / "assets" / "body")
# What one step of the shapes' integers is, in metres.
_STEP = 0.00025

# The joints of a paired set: their names there, and the bone whose beginning, or the point that, each of them is.
JOINTS = (
    ("nose", "nose"),
    ("left_shoulder", "upperarm_l"),
    ("right_shoulder", "upperarm_r"),
    ("left_elbow", "lowerarm_l"),
    ("right_elbow", "lowerarm_r"),
    ("left_wrist", "hand_l"),
    ("right_wrist", "hand_r"),
    ("left_hip", "thigh_l"),
    ("right_hip", "thigh_r"),
    ("left_knee", "calf_l"),
    ("right_knee", "calf_r"),
    ("left_ankle", "foot_l"),
    ("right_ankle", "foot_r"),
    ("left_foot_index", "left_toe"),
    ("right_foot_index", "right_toe"),
)
# The bone that ends at a joint and carries what lies beside it.
CARRIERS = {
    "nose": "head",
    **{f"{side}_shoulder": f"clavicle_{side[0]}" for side in ("left", "right")},
    **{f"{side}_elbow": f"upperarm_{side[0]}" for side in ("left", "right")},
    **{f"{side}_wrist": f"lowerarm_{side[0]}" for side in ("left", "right")},
    **{f"{side}_hip": "pelvis" for side in ("left", "right")},
    **{f"{side}_knee": f"thigh_{side[0]}" for side in ("left", "right")},
    **{f"{side}_ankle": f"calf_{side[0]}" for side in ("left", "right")},
    **{f"{side}_foot_index": f"foot_{side[0]}" for side in ("left", "right")},
}
JOINT_NAMES = tuple(name for name, _ in JOINTS)
HIPS = (JOINT_NAMES.index("left_hip"), JOINT_NAMES.index("right_hip"))


@dataclass(frozen=True, eq=False)
class Body:
    """A body of one shape at rest: V vertices, F triangles, B bones, M points.

    Attributes:
        shape: what it was made from.
        vertices: (V, 3) metres.
        triangles: (F, 3) indices of vertices.
        part: (V,) index into ``parts``: what each vertex is painted as.
        parts: their names.
        bones: B names; a parent stands before its children, ``pelvis`` first.
        parents: (B,) index of the parent, -1 for the pelvis.
        joints: (B, 3) where each bone begins.
        points: M names of places that move with a bone.
        point_bones: (M,) that bone.
        point_places: (M, 3).
        weights: (V, B) sparse, rows sum to 1: how much of each bone's movement a vertex follows.
    """

    shape: Shape
    vertices: Array
    triangles: NDArray[np.int64]
    part: NDArray[np.int64]
    parts: tuple[str, ...]
    bones: tuple[str, ...]
    parents: NDArray[np.int64]
    joints: Array
    points: tuple[str, ...]
    point_bones: NDArray[np.int64]
    point_places: Array
    weights: Any

    @property
    def stature(self) -> float:
        """Height at rest in metres."""
        return float(np.ptp(self.vertices[:, 1]))

    @property
    def leg(self) -> float:
        """Length of thigh and calf in metres, the mean of both sides."""
        chains = [[self.bones.index(f"{bone}_{side}") for bone in ("thigh", "calf", "foot")] for side in "lr"]
        return float(np.linalg.norm(np.diff(self.joints[chains], axis=1), axis=-1).sum(axis=1).mean())


@dataclass(frozen=True)
class Shape:
    """A shape of the body.

    Attributes:
        sex: 0 female to 1 male.
        race: MakeHuman's three, African, Asian and European, in shares that sum to 1.
        weight: -1 light to 1 heavy.
        muscle: -1 slack to 1 muscular.
        scale: size, 1 as MakeHuman has it.
    """

    sex: float
    race: tuple[float, float, float]
    weight: float
    muscle: float
    scale: float


@lru_cache(maxsize=1)
def _data() -> dict[str, NDArray[Any]]:
    path = next(folder / "body.npz" for folder in _FOLDERS if (folder / "body.npz").is_file())
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def make_body(shape: Shape) -> Body:
    """Return the body of a shape: MakeHuman's targets, added in the shares of its macro sliders."""
    data = _data()
    shares = dict.fromkeys(map(str, data["shapes"]), 0.0)
    for sex, share in (("female", 1 - shape.sex), ("male", shape.sex)):
        for race, part in zip(("african", "asian", "caucasian"), shape.race, strict=True):
            shares[f"{race}-{sex}"] = share * part
        build = "max" if shape.weight > 0 else "min"
        shares[f"{sex}-averagemuscle-{build}weight"] = share * abs(shape.weight)
        build = "max" if shape.muscle > 0 else "min"
        shares[f"{sex}-{build}muscle-averageweight"] = share * abs(shape.muscle)
    mix = _STEP * np.array(list(shares.values()))

    def shaped(name: str, moved: str) -> Array:
        return shape.scale * (data[name] + np.tensordot(mix, data[moved], axes=1))

    rows = np.repeat(np.arange(len(data["vertices"])), 4)
    entries = (data["weights"].ravel() / 255.0, (rows, data["weight_bones"].ravel()))
    return Body(
        shape=shape,
        vertices=shaped("vertices", "shape_vertices"),
        triangles=data["triangles"].astype(np.int64),
        part=data["part"].astype(np.int64),
        parts=tuple(map(str, data["parts"])),
        bones=tuple(map(str, data["bones"])),
        parents=data["parents"].astype(np.int64),
        joints=shaped("joints", "shape_joints"),
        points=tuple(map(str, data["points"])),
        point_bones=data["point_bones"].astype(np.int64),
        point_places=shaped("point_places", "shape_points"),
        weights=sparse.csr_array(entries, shape=(len(data["vertices"]), len(data["bones"]))),
    )


def foot_and_hand_shares() -> tuple[Array, Array]:
    """Return how much of a foot's weight is that of its toes, and of a hand's that of its four fingers, (V,) each."""
    data = _data()
    return data["toes"] / 255.0, data["fingers"] / 255.0


def random_shape(generator: np.random.Generator) -> Shape:
    """Draw a grown person."""
    african, asian, european = generator.dirichlet([0.6, 0.6, 0.6]).tolist()
    return Shape(
        sex=float(generator.integers(2)),
        race=(african, asian, european),
        weight=float(np.clip(generator.normal(0, 0.4), -1, 1)),
        muscle=float(np.clip(generator.normal(0, 0.4), -1, 1)),
        scale=float(np.clip(generator.normal(1, 0.04), 0.93, 1.08)),
    )


def bone_places(body: Body, rotations: Array, root: Array) -> Array:
    """Return where bones begin, (T, B, 3), in the world.

    Args:
        body: B bones.
        rotations: (T, B, 3, 3) of each bone in the world, identity at rest.
        root: (T, 3) where the pelvis begins.
    """
    places = np.empty((len(root), len(body.bones), 3))
    for b, parent in enumerate(body.parents):
        if parent < 0:
            places[:, b] = root
        else:
            places[:, b] = places[:, parent] + rotations[:, parent] @ (body.joints[b] - body.joints[parent])
    return places


def truth(body: Body, rotations: Array, places: Array, offsets: Mapping[str, tuple[float, ...]] | None = None) -> Array:
    """Return the 15 joints of ``JOINTS``, (T, 15, 3), in the world.

    Args:
        body: B bones.
        rotations: (T, B, 3, 3) of each bone in the world.
        places: (T, B, 3) where they begin, of ``bone_places``.
        offsets: how far from a joint of that name what is asked for lies, (3,) in the axes of the body at rest; it
            turns with the bone of ``CARRIERS``. A joint that is not named is meant itself.
    """
    joints = []
    for joint, name in JOINTS:
        if name in body.bones:
            place = places[:, body.bones.index(name)]
        else:
            m = body.points.index(name)
            bone = body.point_bones[m]
            place = places[:, bone] + rotations[:, bone] @ (body.point_places[m] - body.joints[bone])
        if offsets and joint in offsets:
            place = place + rotations[:, body.bones.index(CARRIERS[joint])] @ np.array(offsets[joint])
        joints.append(place)
    return np.stack(joints, axis=1)


def skinned(body: Body, rotations: Array, places: Array) -> Array:
    """Return the vertices of one frame, (V, 3), by linear blend skinning.

    ``v' = sum_b w_b (R_b (v - j_b) + p_b)`` (Magnenat-Thalmann et al., Graphics Interface 1988).

    Args:
        body: V vertices, B bones.
        rotations: (B, 3, 3) of each bone in the world.
        places: (B, 3) where they begin.
    """
    shifts = places - (rotations @ body.joints[:, :, None])[:, :, 0]
    blended = body.weights @ np.concatenate([rotations.reshape(-1, 9), shifts], axis=1)
    return (blended[:, :9].reshape(-1, 3, 3) @ body.vertices[:, :, None])[:, :, 0] + blended[:, 9:]
