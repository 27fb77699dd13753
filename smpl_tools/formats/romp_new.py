"""New results of simple_romp from SMPL poses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smpl_tools.formats._files import write_npz
from smpl_tools.formats._records import timeline, whole_numbers
from smpl_tools.formats._smpl import pose, shapes, translation
from smpl_tools.motion import Motion


def make(motion: Motion, path: Path) -> None:
    """Write new ``video_results.npz``: frames ``00000012.png`` of the people there, and the same by track.

    ``cam`` is the weak perspective camera of the translation (scale 2 / z, shift by it), 0 behind the camera;
    ``center_confs`` are 1. There are no vertices, joints or 2D points: only the body model could tell them.

    Raises:
        ValueError: nobody is in it, a negative frame number, or nothing can be written there.
    """
    frames = timeline(motion.people, "ROMP results")
    idents = whole_numbers(motion.people, first=1)
    dtype = np.result_type(*(person.tracks["global_orient"].values for person in motion.people))
    poses = [pose(person, 24).reshape(len(person.frames), 72) for person in motion.people]
    betas = [shapes(person, 10) for person in motion.people]
    places = [translation(person) for person in motion.people]
    results: dict[str, dict[str, NDArray[Any]]] = {}
    sequences: dict[int, dict[str, list[Any]]] = {ident: {"frame_id": []} for ident in idents}
    for position, (number, there) in enumerate(frames):
        thetas = np.array([poses[i][row] for i, row in there], dtype).reshape(-1, 72)
        where = np.array([places[i][row] for i, row in there], dtype).reshape(-1, 3)
        record = {
            "cam": _cameras(where),
            "global_orient": thetas[:, :3].copy(),
            "body_pose": thetas[:, 3:].copy(),
            "smpl_betas": np.array([betas[i][row] for i, row in there], dtype).reshape(-1, 10),
            "smpl_thetas": thetas,
            "center_confs": np.ones((len(there), 1), dtype),
            "track_ids": np.array([idents[i] for i, _ in there], np.int32),
            "cam_trans": where,
        }
        results[f"{number:08d}.png"] = record
        for index, (i, _) in enumerate(there):
            sequence = sequences[idents[i]]
            sequence["frame_id"].append(position)
            for key, values in record.items():
                sequence.setdefault(key, []).append(values[index])
    write_npz(path, {"results": _boxed(results), "sequence_results": _boxed(sequences)}, compressed=False)


def _cameras(places: NDArray[Any]) -> NDArray[Any]:
    depth = places[:, 2:]
    before = depth > 0
    scale = np.divide(2.0, depth, out=np.zeros_like(depth), where=before)
    return np.concatenate([scale, places[:, :2] * scale / 2], axis=1)


def _boxed(value: Any) -> NDArray[Any]:
    box = np.empty((), object)
    box[()] = value
    return box
