"""Clean motion capture without any estimate."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from smoothnet_core._checks import mismatch
from smpl_tools.skeleton import Skeleton, positions
from smpl_tools.sources._arrays import load


def read_clean(path: Path, exclude_subjects: Collection[str], fps: float) -> list[NDArray[np.float32]]:
    """Read clean motion capture: joint positions (T, J, 3) in metres at ``fps`` (a whole fraction of each clip's own).

    The file holds ``index`` (JSON), and for every clip quaternions ``q`` (int16 times 1/32767, xyzw), ``root`` (T, 3)
    and the skeleton's ``names``, ``parents`` and ``offsets``.

    Raises:
        ValueError: a missing or different file.
    """
    arrays = load(path)
    tracks = []
    try:
        for clip in json.loads(str(arrays["index"])):
            step = clip["fps"] / fps
            if str(clip["subject"]) in exclude_subjects or step != int(step):
                continue
            tracks.append(_clean_positions(arrays, clip)[:: int(step)])
    except KeyError as error:
        raise mismatch(f"{path}", "the arrays of clean motion", f"none named {error}") from None
    return tracks


def _clean_positions(arrays: dict[str, Any], clip: dict[str, Any]) -> NDArray[np.float32]:
    quat_xyzw = arrays[clip["clip"] + "/q"].astype(np.float64)
    place = f"skel/{clip['skeleton']}/"
    skeleton = Skeleton(
        tuple(map(str, arrays[place + "names"])), arrays[place + "parents"], arrays[place + "offsets"].astype(float)
    )
    matrices = Rotation.from_quat(quat_xyzw.reshape(-1, 4)).as_matrix().reshape((*quat_xyzw.shape[:2], 3, 3))
    return positions(matrices, arrays[clip["clip"] + "/root"].astype(float), skeleton).astype(np.float32)
