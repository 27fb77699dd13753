"""A network over a whole track in one fused kernel, of the form of :mod:`smoothnet_core.inference.torch_tracks`.

Where there is no GPU the kernels run in Triton's interpreter, slowly, if ``TRITON_INTERPRET=1`` was set before triton
was imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoothnet_core._checks import mismatch, one_of
from smoothnet_core.inference.select import WIDEST_FUSED
from smoothnet_core.inference.torch_tracks import check_architecture, check_track, on_whole_windows, window_of
from smoothnet_core.inference.triton_launch import Launch, tuned
from smoothnet_core.inference.triton_published import published_kernel
from smoothnet_core.inference.triton_vector_filter import vector_filter_kernel
from smoothnet_core.inference.triton_weights import Arrangement, Packed, packed
from smoothnet_core.windows import blend_weights, end_weights

PRECISIONS = ("fp32", "bf16")


class TritonTracks:
    """The network on one device, in one precision; weights are brought into the kernel's form once for each hop.

    Args:
        architecture: one of ``TRACK_NETWORKS``.
        tensors: float32, by the torch module's names.
        device: as torch names it.
        precision: ``fp32`` (products of three of shorter numbers, which leave float32's digits), or ``bf16`` with
            float32 sums.
        launch: how work is divided; None means what was found fastest.

    Raises:
        ValueError: the network is of another architecture, or the precision unknown.
    """

    def __init__(
        self,
        architecture: str,
        tensors: Mapping[str, NDArray[Any]],
        device: Any,
        precision: str = "fp32",
        launch: Launch | None = None,
    ) -> None:
        check_architecture(architecture)
        one_of("precision", precision, PRECISIONS)
        self.architecture = architecture
        self.window = window_of(architecture, tensors)
        if self.window > WIDEST_FUSED:
            raise mismatch("window of the weights for the fused kernel", f"{WIDEST_FUSED} frames or fewer", self.window)
        self.tensors = {name: np.asarray(value, np.float64) for name, value in tensors.items()}
        self.device = torch.device(device)
        self.precision = precision
        self.launch = tuned(architecture, tensors, precision) if launch is None else launch
        self._packed: dict[tuple[int, str, bool, bool], Packed] = {}
        self._processors = 1
        if self.device.type == "cuda":
            self._processors = torch.cuda.get_device_properties(self.device).multi_processor_count

    def __call__(
        self,
        values: Tensor,
        quality: Tensor | None = None,
        *,
        hop: int,
        blend: str,
        out: Tensor | None = None,
    ) -> Tensor:
        """Refine every window of a track and blend the overlaps, in one launch.

        Args:
            values: (T, N, D) of floats on the device, any strides.
            quality: (T, N, 2): confidence in [0, 1], and 1 where the frame was observed; None where all of it is 1.
            hop: frames between the starts of windows, 1 to the window.
            blend: ``uniform`` or ``taper``.
            out: (T, N, D), any floats and strides, which is written to and returned; not ``values``. A track shorter
                than one window ignores it.

        Returns:
            (T, N, D) of the dtype of ``values``; windows are read as float32.
        """
        check_track(values, quality, hop, self.window)
        if values.shape[0] < self.window or out is None:
            return on_whole_windows(self._into_new, values, quality, self.window, hop, blend)
        if out.shape != values.shape or out.device != values.device:
            raise mismatch("out", f"{tuple(values.shape)} on {values.device}", f"{tuple(out.shape)} on {out.device}")
        return self._refined(values, quality, hop, blend, out)

    def _into_new(self, values: Tensor, quality: Tensor | None, hop: int, blend: str) -> Tensor:
        return self._refined(values, quality, hop, blend, torch.empty_like(values))

    def _refined(self, values: Tensor, quality: Tensor | None, hop: int, blend: str, out: Tensor) -> Tensor:
        frames, vectors, size = values.shape
        if not values.numel():
            return out
        if values.device != self.device and values.device.type != self.device.type:
            raise mismatch("device of values", self.device, values.device)
        launch = self.launch
        late = bool((frames - self.window) % hop)
        key = (hop, blend, late, quality is None)
        if key not in self._packed:
            self._packed[key] = packed(self.architecture, self.tensors, self.device, self.precision, *key, launch)
        ready = self._packed[key]
        how: Arrangement = ready.arrangement
        rows = max(launch.rows, 2 * how.carry)
        count = (frames - self.window) // hop + 1
        blocks = -(-frames // hop)
        by_channel = self.architecture == "smoothnet"
        tracks = vectors * size if by_channel else vectors
        # As many tiles in a row as leave every processor a few programs.
        tiles = -(-blocks // (rows - how.lag)) * tracks
        most = min(launch.steps, tiles // (self._processors * launch.programs), -(-(blocks + how.lag) // rows))
        # Each number of steps is compiled once.
        steps = next(s for s in (64, 32, 16, 4, 1) if s <= max(1, most))
        grid = (tracks * -(-blocks // (steps * rows - how.lag)),)
        # Frames that lie far apart are read one by one, but only once if that is much less often.
        together = 1 << ((rows - 1) * hop + self.window - 1).bit_length()
        left = _left(blend, self.window)
        once = 2 * together <= rows * how.columns and values.stride(0) != 1
        kernel: Any = published_kernel if by_channel else vector_filter_kernel
        common = {
            "SIZE": size, "WINDOW": self.window, "COLUMNS": how.columns, "HOP": hop, "R": how.r, "Q": how.q,
            "DELAY": int(late), "LEFT": left, "LAG": how.lag, "ROWS": rows, "STEPS": steps, "STAGES": launch.stages,
            "FRAMES": together if once else 0, "num_warps": launch.warps, "num_stages": launch.stages,
        }  # fmt: skip
        with torch.cuda.device(self.device if self.device.type == "cuda" else -1):
            if by_channel:
                kernel[grid](
                    values, out, *ready.weights, frames, count, vectors, 0, *values.stride(), *out.stride(),
                    **ready.sizes, **common,
                )  # fmt: skip
            else:
                given = ready.weights[0] if quality is None else quality
                by_quality = (0, 0, 0) if quality is None else quality.stride()
                kernel[grid](
                    values, given, out, *ready.weights, frames, count, vectors, 0, *values.stride(), *by_quality,
                    *out.stride(), **ready.sizes, **common, QUALITY=quality is not None,
                )  # fmt: skip
        return out


@cache
def _left(blend: str, window: int) -> int:
    """Return how many of its first frames the window aligned with the end leaves to the others."""
    return int(end_weights(blend_weights(blend, window))[0] == 0)
