"""A small reader of glTF for tests: numbers by accessor, world matrices of nodes at a time, skinned vertices."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

TYPES = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
SHAPES = {"SCALAR": (), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}


class Gltf:
    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        if path.suffix == ".glb":
            magic, version, length = struct.unpack_from("<4sII", content)
            assert (magic, version, length) == (b"glTF", 2, len(content))
            size, kind = struct.unpack_from("<I4s", content, 12)
            assert kind == b"JSON"
            assert size % 4 == 0
            self.json = json.loads(content[20 : 20 + size])
            rest, kind = struct.unpack_from("<I4s", content, 20 + size)
            assert kind == b"BIN\0"
            self.binary = content[28 + size :]
            assert len(self.binary) == rest
        else:
            self.json = json.loads(content)
            head, _, text = self.json["buffers"][0]["uri"].partition(",")
            assert head == "data:application/octet-stream;base64"
            self.binary = base64.b64decode(text, validate=True)
        assert self.json["buffers"][0]["byteLength"] == len(self.binary)

    def numbers(self, index: int) -> np.ndarray:
        accessor = self.json["accessors"][index]
        view = self.json["bufferViews"][accessor["bufferView"]]
        dtype, shape = np.dtype(TYPES[accessor["componentType"]]), SHAPES[accessor["type"]]
        count = accessor["count"] * int(np.prod(shape, dtype=int))
        assert view["byteOffset"] % 4 == 0
        assert view["byteLength"] == count * dtype.itemsize
        values = np.frombuffer(self.binary, dtype, count, view["byteOffset"]).reshape(accessor["count"], *shape)
        for name, extreme in (("min", values.min), ("max", values.max)):
            if name in accessor:
                np.testing.assert_array_equal(accessor[name], np.atleast_1d(extreme(axis=0)))
        return values.swapaxes(1, 2) if shape == (4, 4) else values

    def node(self, name: str, *, within: str | None = None) -> int:
        found = [i for i, node in enumerate(self.json["nodes"]) if node["name"] == name]
        if within is not None:
            inside = self.below(self.node(within))
            found = [i for i in found if i in inside]
        assert len(found) == 1, (name, found)
        return found[0]

    def below(self, node: int) -> list[int]:
        children = self.json["nodes"][node].get("children", [])
        return [*children, *(other for child in children for other in self.below(child))]

    def sampler(self, node: int, path: str) -> tuple[np.ndarray, np.ndarray] | None:
        animation = self.json["animations"][0]
        for channel in animation["channels"]:
            if channel["target"] == {"node": node, "path": path}:
                sampler = animation["samplers"][channel["sampler"]]
                assert sampler["interpolation"] == "LINEAR"
                return self.numbers(sampler["input"]), self.numbers(sampler["output"])
        return None

    def world(self, seconds: float | None) -> dict[int, np.ndarray]:
        """World matrices (4, 4) by node at a time, at rest for None."""
        found: dict[int, np.ndarray] = {}

        def visit(index: int, above: np.ndarray) -> None:
            node = self.json["nodes"][index]
            assert not {"matrix", "scale"} & set(node)
            matrix = np.eye(4)
            matrix[:3, 3] = node.get("translation", [0, 0, 0])
            moved = None if seconds is None else self.sampler(index, "translation")
            if moved is not None:
                matrix[:3, 3] = [np.interp(seconds, moved[0], moved[1][:, k]) for k in range(3)]
            turned = None if seconds is None else self.sampler(index, "rotation")
            if turned is not None:
                times, quat_xyzw = turned
                inside = np.clip(seconds, times[0], times[-1])
                rotations = Rotation.from_quat(quat_xyzw)
                turn = Slerp(times, rotations)(inside) if len(times) > 1 else rotations[0]
                matrix[:3, :3] = turn.as_matrix()
            found[index] = above @ matrix
            for child in node.get("children", []):
                visit(child, found[index])

        for root in self.json["scenes"][self.json["scene"]]["nodes"]:
            visit(root, np.eye(4))
        return found

    def places(self, skin: int, seconds: float | None) -> dict[str, np.ndarray]:
        """World positions (3,) of a skin's joints by name."""
        world = self.world(seconds)
        return {self.json["nodes"][j]["name"]: world[j][:3, 3] for j in self.json["skins"][skin]["joints"]}

    def skinned(self, node: int, seconds: float | None) -> tuple[np.ndarray, np.ndarray]:
        """World vertices (V, 3) of a node's mesh and its faces (F, 3)."""
        own = self.json["nodes"][node]
        skin = self.json["skins"][own["skin"]]
        (primitive,) = self.json["meshes"][own["mesh"]]["primitives"]
        attributes = {name: self.numbers(index) for name, index in primitive["attributes"].items()}
        world = self.world(seconds)
        matrices = np.stack([world[j] for j in skin["joints"]]) @ self.numbers(skin["inverseBindMatrices"])
        blended = np.einsum("vk,vkab->vab", attributes["WEIGHTS_0"], matrices[attributes["JOINTS_0"].astype(int)])
        places = np.c_[attributes["POSITION"], np.ones(len(blended))]
        vertices = np.einsum("vab,vb->va", blended, places)[:, :3]
        return vertices, self.numbers(primitive["indices"]).reshape(-1, 3).astype(int)
