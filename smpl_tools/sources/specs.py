"""Any mix of sources, as a configuration lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of
from smpl_tools.sources.clean import read_clean
from smpl_tools.sources.clips import PairedClip, at_rate
from smpl_tools.sources.joint_maps import with_joints
from smpl_tools.sources.paired import MODES, read_paired
from smpl_tools.sources.published import DATASETS, read_published

# For each kind the keys that it needs and those that may be left out; lists are of text.
_PUBLISHED_KEYS = (
    {"folder": str, "estimator": str},
    {"representation": str, "split": str, "exclude_mpjpe_mm": (int, float)},
)
_KEYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "paired": ({"folder": str, "splits": list}, {"modes": list, "exclude_subjects": list, "joints": str}),
    "clean": ({"file": str}, {"exclude_subjects": list}),
    **dict.fromkeys(DATASETS, _PUBLISHED_KEYS),
}
_TYPE_NAMES = {str: "text", list: "a list of text", (int, float): "a number"}


class Sources(NamedTuple):
    """What was read: paired clips, and clean tracks (T, J, 3) in metres."""

    pairs: list[PairedClip]
    clean: list[NDArray[np.float32]]


def read_sources(
    specs: Sequence[Mapping[str, Any]], data: Sequence[Path], fps: float | None, shard: int = 0, shards: int = 1
) -> Sources:
    """Read the sources that a configuration lists, at ``fps`` frames a second, or each clip at its own rate.

    Each is a mapping with ``kind`` and that kind's own keys, of which those on the right may be left out; paths are
    relative to the first of the folders ``data`` in which they exist. For published data the kind is a key of
    ``DATASETS``::

        {kind: paired, folder: paired, splits: [train, extra_train]}    modes, exclude_subjects, joints
        {kind: clean, file: cmu/cmu_train.npz}                          exclude_subjects
        {kind: pw3d, folder: poses, estimator: spin}                    representation, split, exclude_mpjpe_mm

    Clean clips whose own rate is no multiple of ``fps`` are left out; pairs are brought to it by :func:`at_rate`.

    Of ``shards`` shards number ``shard`` has every so many-th paired file, clean clip and published sequence of each
    source. Of the others nothing is read, except published archives, which are pickles and have to be read whole.

    Raises:
        ValueError: an unknown kind or key, a missing or wrong value, a source of fewer clips than shards, or what
            reading the files raises.
    """
    result = Sources([], [])
    every = slice(shard, None, shards)
    for number, spec in enumerate(specs, start=1):
        kind, given = _checked(f"source {number}", spec)
        if kind == "clean":
            found = read_clean(_found(data, given["file"]), given.get("exclude_subjects", []), fps, every)
            result.clean.extend(found)
        else:
            found = _paired(data, given, every) if kind == "paired" else _published(data, kind, given)[every]
            result.pairs.extend(clip if fps is None else at_rate(clip, fps) for clip in found)
        if shards > 1 and not found:
            raise mismatch(f"source {number} ({kind}), shard {shard + 1} of {shards}", "a clip (take fewer)", "none")
    return result


def _found(data: Sequence[Path], name: str) -> Path:
    """Return where a path exists; where none does, in the first folder, so that reading it says so."""
    return next((folder / name for folder in data if (folder / name).exists()), data[0] / name)


def _checked(what: str, spec: Any) -> tuple[str, dict[str, Any]]:
    """Return the kind of a source and its other keys, all of the right types."""
    if not isinstance(spec, Mapping) or "kind" not in spec:
        raise mismatch(what, "a mapping with the key kind", repr(spec))
    kind = one_of(f"{what}, kind", spec["kind"], _KEYS)
    given = {key: value for key, value in spec.items() if key != "kind"}
    needed, optional = _KEYS[kind]
    if missing := [key for key in needed if key not in given]:
        raise mismatch(f"{what} ({kind})", f"the key {missing[0]}", ", ".join(map(str, given)) or "no keys")
    types = needed | optional
    for key, value in given.items():
        one_of(f"{what} ({kind}), key", key, types)
        texts = not isinstance(value, list) or all(isinstance(item, str) for item in value)
        if not isinstance(value, types[key]) or isinstance(value, bool) or not texts:
            raise mismatch(f"{what} ({kind}), {key}", _TYPE_NAMES[types[key]], repr(value))
    return kind, given


def _paired(data: Sequence[Path], given: Mapping[str, Any], every: slice) -> list[PairedClip]:
    modes = [one_of("mode of paired files", mode, MODES) for mode in given.get("modes", MODES)]
    excluded = given.get("exclude_subjects", [])
    clips = read_paired(_found(data, given["folder"]), given["splits"], every)
    kept = [clip for clip in clips if clip.mode in modes and clip.subject not in excluded]
    return [with_joints(clip, given["joints"]) for clip in kept] if "joints" in given else kept


def _published(data: Sequence[Path], dataset: str, given: Mapping[str, Any]) -> list[PairedClip]:
    options = {key: given[key] for key in _PUBLISHED_KEYS[1] if key in given}
    return read_published(_found(data, given["folder"]), dataset, given["estimator"], **options)
