"""Meshes as files: one frame as OBJ or PLY, all frames as an ``.npz``. A model's licence goes into each of them."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch, one_of, require
from smpl_tools.formats._files import replacing

Array = NDArray[np.float64]

# How many of a unit make a metre.
UNITS = {"m": 1.0, "cm": 100.0, "mm": 1000.0}


def vertex_normals(vertices: ArrayLike, faces: ArrayLike) -> Array:
    """Return the outward unit normals (V, 3) of a mesh: the sum of those of the faces around, weighted by their areas.

    Args:
        vertices: (V, 3).
        faces: (F, 3) indices, counter-clockwise seen from outside.

    Returns:
        Float64; (0, 1, 0) for a vertex that no face with an area has.
    """
    places, corners = _mesh(vertices, faces)
    first, second, third = (places[corners[:, k]] for k in range(3))
    across = np.cross(second - first, third - first)
    normals = np.zeros_like(places)
    for axis in range(3):
        amounts = np.repeat(across[:, axis], 3)
        normals[:, axis] = np.bincount(corners.ravel(), amounts, minlength=len(places))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 0, normals / np.where(length > 0, length, 1), [0.0, 1.0, 0.0])


def write_mesh(
    path: str | os.PathLike[str],
    vertices: ArrayLike,
    faces: ArrayLike,
    *,
    unit: str = "m",
    licence: str | None = None,
) -> str | None:
    """Write one mesh with its normals as Wavefront OBJ or binary PLY, by the ending of ``path``, whole or not at all.

    Args:
        path: ends in ``.obj`` or ``.ply``.
        vertices: (V, 3) in metres; axes are kept.
        faces: (F, 3) indices, counter-clockwise seen from outside, as those of a ``BodyModel``.
        unit: what the file counts in: ``m``, ``cm`` or ``mm``. It is stated in the file's comment.
        licence: the model's; it is written into the file's comment.

    Returns:
        ``licence``, for whoever has to tell the user.

    Raises:
        ImportError: trimesh is not installed.
        ValueError: another ending or unit, vertices or faces that are no mesh, a vertex that is not finite, or nothing
            can be written there.
    """
    path = Path(path)
    ending = one_of(f"ending of {path.name}", path.suffix.lower(), (".obj", ".ply"))
    places, corners = _mesh(vertices, faces)
    factor = UNITS[one_of("unit of a mesh", unit, UNITS)]
    broken = np.flatnonzero(~np.isfinite(places).all(axis=1))
    if len(broken):
        raise mismatch("vertices of a mesh", "finite numbers", f"vertex {broken[0]} at {places[broken[0]].tolist()}")
    trimesh = require("trimesh", "meshes")
    mesh = trimesh.Trimesh(
        places * factor, corners, vertex_normals=vertex_normals(places, corners), process=False, validate=False
    )
    remarks = [f"unit: {unit}", *(f"licence: {line}" for line in (licence or "").splitlines() if line.strip())]
    if ending == ".obj":
        text = trimesh.exchange.obj.export_obj(mesh, include_normals=True, header="\n# ".join(remarks))
        content = (text.rstrip("\n") + "\n").encode()
    else:
        content = trimesh.exchange.ply.export_ply(mesh, vertex_normal=True)
        first, second, rest = content.split(b"\n", 2)
        comments = [f"comment {remark}".encode("ascii", "replace") for remark in remarks]
        content = b"\n".join([first, second, *comments, rest])
    with replacing(path) as file:
        file.write(content)
    return licence


def write_vertices_npz(
    path: str | os.PathLike[str],
    frames: Iterable[ArrayLike],
    faces: ArrayLike,
    *,
    count: int,
    fps: float,
    unit: str = "m",
    frame_numbers: ArrayLike | None = None,
    licence: str | None = None,
) -> str | None:
    """Write the vertices of all frames as an uncompressed ``.npz``, one piece at a time, whole or not at all.

    The file holds ``vertices`` (T, V, 3) float32, ``faces`` (F, 3) int32, ``fps``, ``unit``, ``frame_numbers`` (T,)
    int64 and, of a model with one, ``licence``. No more than one piece is in memory.

    Args:
        path: the file.
        frames: pieces (V, 3) or (n, V, 3) in metres that together are ``count`` frames. NaN is kept.
        faces: (F, 3) indices.
        count: T, the number of frames.
        fps: frames a second.
        unit: what the file counts in: ``m``, ``cm`` or ``mm``.
        frame_numbers: (T,) of each frame in the motion; 0 to T - 1 where None.
        licence: the model's.

    Returns:
        ``licence``, for whoever has to tell the user.

    Raises:
        ValueError: another unit, a rate that is not positive, more or fewer frames or another number of vertices than
            stated, no frame, faces of other vertices, or nothing can be written there.
    """
    path = Path(path)
    factor = UNITS[one_of("unit of a mesh", unit, UNITS)]
    if not (math.isfinite(fps) and fps > 0):
        raise mismatch("fps", "a positive number", repr(fps))
    numbers = np.arange(count) if frame_numbers is None else np.asarray(frame_numbers)
    if numbers.shape != (count,):
        raise mismatch("shape of frame_numbers", (count,), numbers.shape)
    pieces = _pieces(frames)
    first = next(pieces, None)
    if first is None or count < 1:
        raise mismatch("frames of a mesh", "at least one", 0)
    corners = _mesh(first[0], faces)[1]

    others: dict[str, NDArray[Any]] = {
        "faces": corners.astype(np.int32),
        "fps": np.array(float(fps)),
        "unit": np.array(unit),
        "frame_numbers": numbers.astype(np.int64),
    }
    if licence is not None:
        others["licence"] = np.array(licence)
    shape = (count, *first.shape[1:])
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        with archive.open("vertices.npy", "w", force_zip64=True) as member:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(member, header)
            written = 0
            piece: NDArray[Any] | None = first
            while piece is not None:
                if piece.shape[1:] != shape[1:]:
                    raise mismatch(f"vertices of frame {written}", shape[1:], piece.shape[1:])
                written += len(piece)
                if written > count:
                    raise mismatch("frames of a mesh", count, "more")
                member.write(np.ascontiguousarray(piece * factor, dtype="<f4").tobytes())
                piece = next(pieces, None)
            if written < count:
                raise mismatch("frames of a mesh", count, written)
        for name, array in others.items():
            with archive.open(name + ".npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return licence


def _pieces(frames: Iterable[ArrayLike]) -> Any:
    for given in frames:
        piece = np.asarray(given, np.float64)
        if piece.ndim == 2:
            piece = piece[None]
        if piece.ndim != 3 or piece.shape[2] != 3:
            raise mismatch("shape of a piece of frames", "(V, 3) or (n, V, 3)", piece.shape)
        if len(piece):
            yield piece


def _mesh(vertices: ArrayLike, faces: ArrayLike) -> tuple[Array, NDArray[np.int64]]:
    places, corners = np.asarray(vertices, np.float64), np.asarray(faces)
    if places.ndim != 2 or places.shape[1] != 3:
        raise mismatch("shape of vertices", "(V, 3)", places.shape)
    if corners.ndim != 2 or corners.shape[1] != 3 or corners.dtype.kind not in "iu":
        raise mismatch("faces", "whole numbers of shape (F, 3)", f"{corners.dtype} of shape {corners.shape}")
    if corners.size and (corners.min() < 0 or corners.max() >= len(places)):
        raise mismatch("faces", f"indices of {len(places)} vertices", f"{corners.min()} to {corners.max()}")
    return places, corners.astype(np.int64)
