"""In the place of an estimator: errors drawn from a model fitted to pairs of a real one, with nothing rendered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.rates import same_rate
from smoothnet_core.training.estimator_errors import ErrorModel, fit_errors
from smpl_tools.pairs.estimator import array_shapes
from smpl_tools.sources import as_pair, read_paired

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SimulatedErrors:
    """What stands in the place of an :class:`smpl_tools.pairs.estimator.Estimator`.

    Attributes:
        name: for the metadata of what it makes.
        models: by mode.
        offsets: as of an estimator; none, since the model was fitted to errors from the very joints of the truth.
    """

    name: str
    models: Mapping[str, ErrorModel]
    offsets: Mapping[str, tuple[float, ...]]

    def estimate(self, truth: Array, mode: str, fps: float, rng: np.random.Generator) -> dict[str, Array]:
        """Return the arrays of an estimate of a motion (T, 15, 3), hip-centred, camera axes; pixels are not drawn."""
        drawn, confidence, observed = self.models[mode].sample(rng, truth, fps)
        seen = observed > 0
        found = {name: np.full(shape, np.nan, np.float32) for name, shape in array_shapes(len(truth)).items()}
        found["est_3d"] = np.where(seen[..., None], drawn, np.float32(np.nan))
        found["visibility"] = np.where(seen, confidence, np.float32(np.nan))
        return found


def errors_like(folder: Path, modes: Sequence[str], fps: float) -> SimulatedErrors:
    """Return errors as the training clips of a paired folder have them, one model for each mode.

    Raises:
        ValueError: no paired folder, a mode of which it has no clips, or clips at another frame rate.
    """
    clips = read_paired(folder, ["train"])
    models = {}
    for mode in modes:
        of_mode = [clip for clip in clips if clip.mode == mode]
        if not of_mode:
            known = ", ".join(dict.fromkeys(clip.mode for clip in clips))
            raise mismatch(f"{folder}: training clips of the mode {mode}", "at least one", f"only of {known or 'none'}")
        if other := [clip for clip in of_mode if not same_rate(clip.fps, fps)]:
            raise mismatch(f"{folder}: clip {other[0].name}", f"{fps:g} frames a second", f"{other[0].fps:g}")
        models[mode] = fit_errors([as_pair(clip) for clip in of_mode], fps)
    return SimulatedErrors(f"errors like those of {folder.resolve().name}", models, {})
