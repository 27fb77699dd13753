"""A model: weights, what they were trained for, and the engine that runs them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._body import Body, body_of
from smoothnet_core._checks import mismatch
from smoothnet_core.checkpoints import parted, read_weights
from smoothnet_core.inference.select import CHANNEL_NETWORKS, select_engine, select_track_network
from smoothnet_core.windows import overlap_weights

if TYPE_CHECKING:
    from smoothnet_core.inference.plan import Network

Array = NDArray[np.float32]
Run = Callable[[Array, Array], Array]

# In an installed package the weights lie inside it; in a source tree they are one of the assets.
_FOLDERS = (Path(__file__).parent / "weights", Path(__file__).parent.parent / "assets" / "models")


@dataclass(frozen=True, eq=False)
class Model:
    """Weights ready to run.

    Attributes:
        name: the shipped name, or the file they came from.
        tensors: float32 arrays by their names in the file.
        metadata: what the file says: architecture, window, hop, sizes, fps, data, version.
    """

    name: str
    tensors: Mapping[str, Array]
    metadata: Mapping[str, Any]
    _engines: dict[tuple[str, str], Run] = field(init=False, default_factory=dict, repr=False)
    _track_networks: dict[tuple[str, int], Network | None] = field(init=False, default_factory=dict, repr=False)

    @property
    def architecture(self) -> str:
        """``smoothnet``, ``motion_aware`` (the paper's), ``vector_filter``, ``robust_fit``, ``body_aware`` (ours)."""
        return self.metadata["architecture"]

    @property
    def window(self) -> int:
        """Frames a window."""
        return int(self.metadata["window"])

    @property
    def hop(self) -> int:
        """Frames between windows unless the caller says otherwise."""
        return int(self.metadata["hop"])

    @property
    def fps(self) -> float | None:
        """Frames a second that the weights were trained for; None where the file does not say."""
        rate = self.metadata.get("fps")
        return None if rate is None else float(rate)

    @property
    def is_published(self) -> bool:
        """True for the paper's networks, which see every channel alone and no confidence."""
        return self.architecture in CHANNEL_NETWORKS

    @property
    def body(self) -> Body | None:
        """The joints that body-aware weights know; None for weights of any other architecture."""
        return body_of(self.metadata)

    @cached_property
    def first(self) -> Model | None:
        """The network that refines joint by joint before body-aware weights see the take; None for any other."""
        if self.body is None:
            return None
        _, tensors = parted(self.tensors)
        metadata = self.metadata["first"]
        return Model(str(metadata.get("name", "first")), tensors, metadata)

    @property
    def own_blend(self) -> str:
        """How overlapping windows are blended unless the caller says otherwise."""
        return "uniform" if self.is_published else "taper"

    def track_network(self, blend: str, hop: int) -> Network | None:
        """Return what runs all windows of a track on NumPy; None where a network is run window by window."""
        key = (blend, hop)
        if key not in self._track_networks:
            own, _ = parted(self.tensors)
            weights = overlap_weights(blend, self.window, hop)
            self._track_networks[key] = select_track_network(self.architecture, own, weights)
        return self._track_networks[key]

    def engine(self, backend: str, device: str = "cpu") -> Run:
        """Return the function that refines windows on a backend and device, see ``select_engine``.

        Raises:
            ValueError: the backend is unknown or cannot run this model.
            MissingExtraError: the backend is not installed.
        """
        key = (backend, device)
        if key not in self._engines:
            own, _ = parted(self.tensors)
            self._engines[key] = select_engine(self.architecture, own, self.metadata, backend, device)
        return self._engines[key]


def shipped_models() -> dict[str, dict[str, Any]]:
    """Return the metadata of the models that come with the package, by name."""
    return {name: dict(load_model(name).metadata) for name in sorted(_shipped_paths())}


def load_model(path_or_name: str | os.PathLike[str] | Model) -> Model:
    """Load weights.

    Args:
        path_or_name: a shipped name such as ``"default"``, or the path of a published ``.pth.tar``, an MMPose-style
            ``.pth`` or a ``.safetensors`` file. A :class:`Model` is returned as it is.

    Raises:
        ValueError: neither a file nor a shipped name, or not weights of a known network.
    """
    if isinstance(path_or_name, Model):
        return path_or_name
    if not isinstance(path_or_name, (str, os.PathLike)):
        raise mismatch("model", "a shipped name, a path or a Model", f"a {type(path_or_name).__name__}")
    if isinstance(path_or_name, str) and _shipped_path(path_or_name):
        return _load_shipped(path_or_name)
    path = Path(path_or_name)
    if not path.is_file():
        names = ", ".join(sorted(_shipped_paths())) or "(none)"
        raise mismatch("model", f"one of the shipped names {names}, or a file of weights", repr(str(path_or_name)))
    return _load(str(path), path)


def _shipped_paths() -> dict[str, Path]:
    return {p.stem: p for folder in _FOLDERS if folder.is_dir() for p in folder.glob("*.safetensors")}


@lru_cache(maxsize=64)
def _shipped_path(name: str) -> Path | None:
    """Return the file of a shipped name; None if it is none. To look for it takes as long as to refine a second."""
    if not name or Path(name).name != name:
        return None
    return next((path for folder in _FOLDERS if (path := folder / f"{name}.safetensors").is_file()), None)


@lru_cache(maxsize=16)
def _load_shipped(name: str) -> Model:
    path = _shipped_path(name)
    assert path is not None
    return _load(name, path)


def _load(name: str, path: Path) -> Model:
    weights = read_weights(path)
    return Model(name, weights.tensors, weights.metadata)
