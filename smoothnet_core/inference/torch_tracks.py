"""A network over a whole track of tensors in plain torch: what the fused kernels are compared with.

Windows are cut, refined and blended as :func:`smoothnet_core.windows.refine_windows` does, in the precision and on the
device of the values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoothnet_core._checks import mismatch
from smoothnet_core.inference.select import CHANNEL_NETWORKS, TRACK_NETWORKS
from smoothnet_core.windows import blend_weights, end_weights

# Numbers of windows whose hidden activations are held at once.
_BLOCK = 2**20


class TorchTracks:
    """The network on one device, in one precision.

    Args:
        architecture: one of ``TRACK_NETWORKS``.
        tensors: by the torch module's names.
        device: as torch names it.
        dtype: of the weights and of all arithmetic within windows.

    Raises:
        ValueError: the network is of another architecture.
    """

    def __init__(
        self, architecture: str, tensors: Mapping[str, NDArray[Any]], device: Any, dtype: torch.dtype = torch.float32
    ) -> None:
        check_architecture(architecture)
        from smoothnet_core.models import published, vector_filter

        modules = {"smoothnet": published, "vector_filter": vector_filter}
        self.by_channel = architecture in CHANNEL_NETWORKS
        self.network = modules[architecture].from_tensors(tensors).to(device, dtype).eval()
        self.window = window_of(architecture, tensors)

    def __call__(self, values: Tensor, quality: Tensor | None = None, *, hop: int, blend: str) -> Tensor:
        """Refine every window of a track and blend the overlaps.

        Args:
            values: (T, N, D) of floats, any strides.
            quality: (T, N, 2): confidence in [0, 1], and 1 where the frame was observed; None where all of it is 1.
            hop: frames between the starts of windows, 1 to the window.
            blend: ``uniform`` or ``taper``.

        Returns:
            (T, N, D) of the dtype of ``values``.
        """
        check_track(values, quality, hop, self.window)
        return on_whole_windows(self._refined, values, quality, self.window, hop, blend)

    @torch.inference_mode()
    def _refined(self, values: Tensor, quality: Tensor | None, hop: int, blend: str) -> Tensor:
        frames, count, size = values.shape
        window, dtype = self.window, next(self.network.parameters()).dtype
        exact = torch.promote_types(values.dtype, torch.float32)
        weights, late = (
            torch.as_tensor(own, device=values.device, dtype=exact)
            for own in (blend_weights(blend, window), end_weights(blend_weights(blend, window)))
        )
        total = torch.zeros((frames + window, count, size), device=values.device, dtype=exact)
        norm = torch.zeros(frames + window, device=values.device, dtype=exact)
        regular = (frames - window) // hop + 1
        groups = [(0, regular, hop)]
        if (frames - window) % hop:
            groups.append((frames - window, 1, hop))
        block = max(1, _BLOCK // max(1, count * size * window))
        for origin, number, step in groups:
            for start in range(0, number, block):
                here = min(block, number - start)
                at = origin + start * step
                windows = values[at : at + (here - 1) * step + window].unfold(0, window, step).to(exact)
                seen = None
                if quality is not None:
                    seen = quality[at : at + (here - 1) * step + window].unfold(0, window, step)
                middle = torch.zeros_like(windows[..., :1]) if self.by_channel else windows.mean(dim=3, keepdim=True)
                refined = self._windows(windows - middle, seen, dtype)
                if not self.by_channel:
                    # What changes is added up: a window that does not move then comes out as it went in.
                    refined = refined - (windows - middle)
                own = late if origin else weights
                refined = refined * own
                for part in range(0, window, step):
                    piece = refined[..., part : part + step]
                    width = piece.shape[3]
                    first = at + part
                    rows = total[first : first + here * step].view(here, step, count, size)[:, :width]
                    rows += piece.permute(0, 3, 1, 2)
                    norm[first : first + here * step].view(here, step)[:, :width] += own[part : part + width]
        result = total[:frames] / norm[:frames, None, None]
        return (result if self.by_channel else result + values).to(values.dtype)

    def _windows(self, windows: Tensor, quality: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Return (M, N, D, W) of the dtype of ``windows``; ``quality`` is (M, N, 2, W)."""
        number, count, size, window = windows.shape
        if self.by_channel:
            flat = windows.reshape(1, -1, window).to(dtype)
            return self.network(flat).reshape(windows.shape).to(windows.dtype)
        flat = windows.reshape(-1, size, window).transpose(1, 2).to(dtype)
        if quality is None:
            seen = torch.ones((1, window, 2), device=windows.device, dtype=dtype).expand(len(flat), -1, -1)
        else:
            seen = quality.reshape(-1, 2, window).transpose(1, 2).to(dtype)
        refined = self.network(flat, seen)
        return refined.transpose(1, 2).reshape(number, count, size, window).to(windows.dtype)


def check_architecture(architecture: str) -> None:
    """Raise ``ValueError`` unless networks of this architecture run on whole tracks."""
    if architecture not in TRACK_NETWORKS:
        raise mismatch("architecture of the weights", " or ".join(TRACK_NETWORKS), repr(architecture))


def window_of(architecture: str, tensors: Mapping[str, NDArray[Any]]) -> int:
    """Return the frames a window, as the tensors have them."""
    return tensors["decoder.weight" if architecture in CHANNEL_NETWORKS else "synthesis"].shape[0]


def check_track(values: Tensor, quality: Tensor | None, hop: int, window: int) -> None:
    """Raise ``ValueError`` unless a track, its quality and the hop are as :class:`TorchTracks` takes them."""
    if values.ndim != 3 or not values.is_floating_point() or not len(values):
        raise mismatch("values", "floats (T, N, D), T >= 1", f"{values.dtype} {tuple(values.shape)}")
    if quality is not None and tuple(quality.shape) != (*values.shape[:2], 2):
        raise mismatch("quality", (*values.shape[:2], 2), tuple(quality.shape))
    if not 1 <= hop <= window:
        raise mismatch("hop", f"a whole number of frames from 1 to the window, {window}", hop)


def on_whole_windows(
    refined: Callable[[Tensor, Tensor | None, int, str], Tensor],
    values: Tensor,
    quality: Tensor | None,
    window: int,
    hop: int,
    blend: str,
) -> Tensor:
    """Return ``refined`` of a track, continued beyond its ends where it is shorter than one window.

    By point reflection, the quality by reflection, as :func:`smoothnet_core.windows.lengthened` does.
    """
    frames = len(values)
    if frames >= window:
        return refined(values, quality, hop, blend)
    before = (window - frames) // 2
    ends = (before, window - frames - before)
    # Both are linear in the frames: what they make of the frames' unit vectors are their matrices.
    odd = np.pad(np.eye(frames), (ends, (0, 0)), mode="reflect", reflect_type="odd")
    longer = torch.tensordot(torch.as_tensor(odd, device=values.device), values.double(), 1).to(values.dtype)
    at = torch.as_tensor(np.pad(np.arange(frames), ends, mode="reflect"), device=values.device)
    seen = None if quality is None else quality[at]
    return refined(longer, seen, hop, blend)[before : before + frames]
