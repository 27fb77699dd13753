"""Whose row is which in a HumanData file: by id, or by image folders and frame numbers that start anew."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.formats._names import unique_names

_ID_KEYS = ("person_id", "track_id")
_FRAME_KEYS = ("frame_id",)

Rows = NDArray[np.int64]


def people_rows(path: Path, arrays: Mapping[str, NDArray[Any]], count: int) -> tuple[dict[str, Rows], Rows, list[str]]:
    """Return every person's rows in order of time, the frame number of every row, and remarks.

    Raises:
        ValueError: no ids, and images that several rows in a row are of; or one person twice in a frame.
    """
    images = arrays.get("image_path")
    paths = None
    if images is not None and images.shape == (count,) and images.dtype.kind in "UO":
        paths = [str(one).replace("\\", "/") for one in images.tolist()]
    idents = _column(arrays, _ID_KEYS, count, "iuU")
    numbers, remarks = _frame_numbers(arrays, paths, count)
    folders = [str(PurePosixPath(one).parent) for one in paths] if paths else [""] * count
    if idents is not None:
        texts = [str(one) for one in idents.tolist()]
        if len(set(folders)) > 1:
            # Data sets put many takes into one file, each with its own numbering of people.
            texts = [f"{folder}/{text}" for folder, text in zip(folders, texts, strict=True)]
        return (*_by_id(path, texts, numbers), remarks)
    if numbers is None:
        return {"0": np.arange(count, dtype=np.int64)}, np.arange(count, dtype=np.int64), remarks
    same = np.array([a == b for a, b in itertools.pairwise(folders)], bool)
    steps = np.diff(numbers)
    if (same & (steps == 0)).any():
        row = int(np.flatnonzero(same & (steps == 0))[0])
        raise mismatch(
            f"{path}: people", "person_id, where several rows are of one frame", f"rows {row} and {row + 1} without"
        )
    starts = np.concatenate([[0], np.flatnonzero(~same | (steps < 0)) + 1])
    takes = np.split(np.arange(count, dtype=np.int64), starts[1:])
    if len(takes) == 1:
        return {"0": takes[0]}, numbers, remarks
    names = unique_names([PurePosixPath(folders[start]).name or "0" for start in starts])
    remarks.append(f"{len(takes)} takes told apart by image folders and by frame numbers that start anew")
    return dict(zip(names, takes, strict=True)), numbers, remarks


def _by_id(path: Path, texts: list[str], numbers: Rows | None) -> tuple[dict[str, Rows], Rows]:
    found: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        found.setdefault(text, []).append(row)
    if numbers is None:
        numbers = np.zeros(len(texts), np.int64)
        for own in found.values():
            numbers[own] = np.arange(len(own))
    rows = {}
    for ident, own in found.items():
        rows[ident] = np.array(own, np.int64)[np.argsort(numbers[own], kind="stable")]
        if (np.diff(numbers[rows[ident]]) < 1).any():
            raise mismatch(f"{path}: frames of person {ident}", "a different one for each row", "one twice")
    return rows, numbers


def _column(arrays: Mapping[str, NDArray[Any]], keys: tuple[str, ...], count: int, kinds: str) -> NDArray[Any] | None:
    found = (arrays[key] for key in keys if key in arrays)
    return next((one for one in found if one.shape == (count,) and one.dtype.kind in kinds), None)


def _frame_numbers(
    arrays: Mapping[str, NDArray[Any]], paths: list[str] | None, count: int
) -> tuple[Rows | None, list[str]]:
    stated = _column(arrays, _FRAME_KEYS, count, "iu")
    if stated is not None:
        return stated.astype(np.int64), []
    found = [re.findall(r"[0-9]+", PurePosixPath(one).stem) for one in paths or ()]
    if found and all(groups and len(groups[-1]) < 18 for groups in found):
        return np.array([int(groups[-1]) for groups in found], np.int64), []
    return None, ["frame numbers not stated in the file: rows are taken in their order"]
