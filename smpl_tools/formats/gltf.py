"""glTF 2.0: animated skeletons, with or without a skin, for Blender, game engines and viewers.

Written, not read. glTF counts in metres with Y up; what is given in another unit or with Z up is converted here. Every
joint is a node at its place at rest, turned as the scene's axes are; one linear animation moves all people. Blender
makes an armature only of joints of a skin, so every skeleton has one: that of its body, or of bones drawn as octahedra.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch, one_of
from smpl_tools.formats._format import Format
from smpl_tools.formats._gltf_bones import octahedra
from smpl_tools.formats._gltf_figure import Figure, Skin, converted, rest_places, root_of
from smpl_tools.formats._gltf_file import INDICES, SUFFIXES, VERTICES, GltfFile
from smpl_tools.motion import Motion, Skeleton
from smpl_tools.rigs.plain_form import rig_arrays
from smpl_tools.rotations import continuous_quat_wxyz, matrix_to_quat_wxyz, quat_wxyz_to_xyzw

Array = NDArray[np.float64]

NAME = "gltf"
__all__ = ["FORMAT", "NAME", "SUFFIXES", "Figure", "Skin", "write_figures", "write_skeletons"]

# What turns the axes of a scene with this axis up into glTF's.
_TO_Y_UP = {"y": np.eye(3), "z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])}
_COLOURS = {"bones": [0.35, 0.5, 0.7, 1.0], "body": [0.62, 0.45, 0.36, 1.0]}


def write_skeletons(
    path: str | os.PathLike[str],
    skeleton: Skeleton,
    people: Sequence[tuple[str, ArrayLike, ArrayLike | None]],
    fps: float,
    *,
    unit_m: float = 1.0,
    up: str = "y",
    rest_up: str | None = None,
) -> None:
    """Write people of one skeleton: for each its name, rotations (T, J, 3, 3) and the root's places (T, 3) or None.

    Otherwise as :func:`write_figures`, whose ``Figure`` says more of a person.
    """
    figures = [
        Figure(name, skeleton, np.asarray(rotations), None if transl is None else np.asarray(transl))
        for name, rotations, transl in people
    ]
    write_figures(path, figures, fps, unit_m=unit_m, up=up, rest_up=rest_up)


def write_figures(
    path: str | os.PathLike[str],
    figures: Sequence[Figure],
    fps: float,
    *,
    unit_m: float = 1.0,
    up: str = "y",
    rest_up: str | None = None,
    licence: str | None = None,
) -> str | None:
    """Write people in motion as ``.glb`` or, with the buffer as text inside, as ``.gltf``.

    Frame n of the motion is at n / ``fps`` seconds. Frames in which anything of a person is NaN get no key; the
    motion is interpolated over them.

    Args:
        path: ends in ``.glb`` or ``.gltf``.
        figures: at least one person.
        fps: frames a second.
        unit_m: how many metres one unit of the figures' lengths is.
        up: the scene's axis that points up, ``y`` or ``z``; ``z`` becomes ``y`` and ``y`` becomes ``-z``.
        rest_up: the axis that points up in the skeleton's rest pose, where it is another: SMPL rests with Y up, also in
            a scene with Z up. None: as in the scene. The motion is the same in either case.
        licence: the copyright note of the file.

    Returns:
        ``licence``, for whoever has to tell the user.

    Raises:
        ValueError: no person, a shape that is not as above, a skeleton without exactly one root or without offsets, a
            person without a frame, another ending, or nothing can be written there.
    """
    path = Path(path)
    one_of(f"ending of {path.name}", path.suffix.lower(), SUFFIXES)
    scene = _TO_Y_UP[one_of("axis that points up", up, _TO_Y_UP)]
    rest = scene if rest_up is None else _TO_Y_UP[one_of("axis that points up at rest", rest_up, _TO_Y_UP)]
    for what, value in (("fps", fps), ("metres of a unit", unit_m)):
        if not (math.isfinite(value) and value > 0):
            raise mismatch(what, "a positive number", repr(value))
    if not figures:
        raise mismatch("people to write", "at least one", 0)
    moved = [converted(figure, unit_m, scene, rest) for figure in figures]
    file = GltfFile("smoothnet", licence)
    channels: list[dict[str, Any]] = []
    samplers: list[dict[str, Any]] = []
    roots: list[int] = []
    materials: dict[str, int] = {}
    for figure in moved:
        nodes = _add_joints(file, figure)
        holder = file.add("nodes", {"name": figure.name, "children": [nodes[root_of(figure)]]})
        roots += [holder, _add_skin(file, figure, nodes, holder, materials)]
        _add_motion(file, figure, nodes, fps, channels, samplers)
    file.add("animations", {"name": "motion", "channels": channels, "samplers": samplers, "extras": {"fps": fps}})
    file.add("scenes", {"nodes": roots})
    file.write(path)
    return licence


def _add_joints(file: GltfFile, figure: Figure) -> list[int]:
    """Add a node for every joint, at rest; return their indices."""
    skeleton = figure.skeleton
    nodes = []
    for joint, parent in enumerate(skeleton.parents):
        node = {"name": skeleton.joints[joint], "translation": skeleton.offsets[joint].astype(np.float32).tolist()}
        nodes.append(file.add("nodes", node))
        if parent >= 0:
            file.content["nodes"][nodes[parent]].setdefault("children", []).append(nodes[-1])
    return nodes


def _add_skin(file: GltfFile, figure: Figure, nodes: list[int], holder: int, materials: dict[str, int]) -> int:
    """Add the figure's mesh, or that of its bones, and its skin; return the index of the mesh's node."""
    places = rest_places(figure.skeleton)
    count = len(places)
    if figure.skin is None:
        vertices, normals, faces, followed = octahedra(places, figure.skeleton.parents)
        kind, name = "bones", "bones"
        joints, weights = np.zeros((2, len(vertices), 4))
        joints[:, 0], weights[:, 0] = followed, 1
    else:
        skin = figure.skin
        if skin.weights.shape != (len(skin.vertices), count):
            raise mismatch(f"shape of weights of {figure.name}", (len(skin.vertices), count), skin.weights.shape)
        vertices, normals, faces = skin.vertices, skin.normals, skin.faces
        kind, name = "body", skin.name
        joints, weights = _four_strongest(skin.weights)
    if kind not in materials:
        surface = {"baseColorFactor": _COLOURS[kind], "metallicFactor": 0.0, "roughnessFactor": 0.8}
        materials[kind] = file.add("materials", {"name": kind, "pbrMetallicRoughness": surface})

    inverse = np.tile(np.eye(4), (count, 1, 1))
    inverse[:, :3, 3] = -places
    index_type = np.uint16 if len(vertices) < 2**16 - 1 else np.uint32
    joint_type = np.uint8 if count <= 2**8 else np.uint16
    primitive = {
        "attributes": {
            "POSITION": file.accessor(vertices.astype(np.float32), target=VERTICES, bounds=True),
            "NORMAL": file.accessor(normals.astype(np.float32), target=VERTICES),
            "JOINTS_0": file.accessor(joints.astype(joint_type), target=VERTICES),
            "WEIGHTS_0": file.accessor(weights.astype(np.float32), target=VERTICES),
        },
        "indices": file.accessor(faces.ravel().astype(index_type), target=INDICES),
        "material": materials[kind],
    }
    mesh = file.add("meshes", {"name": f"{figure.name}_{name}", "primitives": [primitive]})
    bound = file.add(
        "skins",
        {
            "name": figure.name,
            "joints": nodes,
            "skeleton": holder,
            "inverseBindMatrices": file.accessor(inverse.astype(np.float32)),
        },
    )
    return file.add("nodes", {"name": f"{figure.name}_{name}", "mesh": mesh, "skin": bound})


def _four_strongest(weights: Array) -> tuple[NDArray[np.int64], Array]:
    """Return each vertex's 4 strongest joints and their weights, which sum to 1, (V, 4) each; joint 0 where none is."""
    whole = np.asarray(weights, np.float64)
    if whole.shape[1] < 4:
        whole = np.pad(whole, ((0, 0), (0, 4 - whole.shape[1])))
    joints = np.argsort(-whole, axis=1, kind="stable")[:, :4]
    amounts = np.take_along_axis(whole, joints, axis=1)
    amounts = (amounts / amounts.sum(axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
    # The rest that rounding leaves goes to the first, so that the sum of what is written is 1.
    amounts[:, 0] = 1 - amounts[:, 1:].sum(axis=1)
    return np.where(amounts > 0, joints, 0), amounts


def _add_motion(
    file: GltfFile,
    figure: Figure,
    nodes: list[int],
    fps: float,
    channels: list[dict[str, Any]],
    samplers: list[dict[str, Any]],
) -> None:
    """Add the keys of one figure: rotations of all joints, the root's places, and offsets that change."""
    assert figure.frames is not None
    assert figure.transl is not None
    seconds = (figure.frames / fps).astype(np.float32)
    if seconds[0] < 0 or (np.diff(seconds) <= 0).any():
        given = f"{seconds[0]} to {seconds[-1]} s"
        raise mismatch(f"times of {figure.name}", "from 0 on, distinct in single precision", given)
    times = file.accessor(seconds, bounds=True)

    def animate(joint: int, path: str, values: NDArray[np.float32]) -> None:
        samplers.append({"input": times, "output": file.accessor(values), "interpolation": "LINEAR"})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": nodes[joint], "path": path}})

    quat_wxyz = continuous_quat_wxyz(matrix_to_quat_wxyz(np.asarray(figure.rotations, np.float64)))
    quat_xyzw = quat_wxyz_to_xyzw(quat_wxyz).astype(np.float32)
    for joint, parent in enumerate(figure.skeleton.parents):
        animate(joint, "rotation", quat_xyzw[:, joint])
        if parent < 0:
            animate(joint, "translation", figure.transl.astype(np.float32))
        elif figure.offsets is not None:
            own = figure.offsets[:, joint]
            if np.abs(own - figure.skeleton.offsets[joint]).max() > 0:
                animate(joint, "translation", own.astype(np.float32))


def make(motion: Motion, path: Path) -> None:
    """Write the people of a motion in the plain form ``rig``, in metres with Y up, as animated armatures.

    Raises:
        ValueError: no frame rate, or whatever :func:`write_figures` refuses.
    """
    skeleton = motion.skeleton
    if skeleton is None or motion.fps is None:
        lacking = "no skeleton" if skeleton is None else "no frame rate (convert --from-fps or fit --fps says it)"
        raise mismatch("motion for a glTF file", "a skeleton and a frame rate", lacking)
    figures = []
    for person in motion.people:
        rotations, offsets = rig_arrays(motion, person)
        moving = offsets if "joint_positions" in person.tracks else None
        name = person.id if len(motion.people) > 1 else "person"
        figures.append(Figure(name, skeleton, rotations, offsets[:, 0], moving, person.frames))
    write_figures(path, figures, motion.fps)


FORMAT = Format(
    NAME,
    "glTF, an animated skeleton",
    None,
    None,
    None,
    SUFFIXES,
    make=make,
    contents=("rig",),
    up="y",
    metres=1.0,
    keeps=("translation", "joint names", "people", "ids", "gaps", "frame numbers", "frame rate"),
)
