"""What computes a refinement: the built-in engine, torch in this Python, or another Python as a process of its own.

All three take what ``smoothnet_core.refine`` takes and return a NumPy array. The last two may fail, which
:func:`run_with_fallback` makes a message beside the built-in engine's result.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np

import smoothnet_core
from smoothnet_core.model import load_model

from .engine_external import TIMEOUT, Array, Cancelled, EngineError, ExternalEngine, Tick, checked, report_share
from .engine_process import kill_all
from .engine_worker import TorchDevice, one_line

__all__ = [
    "PREFERENCES", "TIMEOUT", "BuiltInEngine", "Cancelled", "Engine", "EngineError", "ExternalEngine", "Measurement",
    "Tick", "TorchEngine", "built_in", "choose", "close_all", "has_torch", "measure", "run_with_fallback",
    "torch_engine",
]  # fmt: skip

PREFERENCES = ("BUILT_IN", "TORCH", "EXTERNAL")
# Of the take that engines are measured on; numbers of a unit quaternion that two engines may differ by (a GPU may round
# products to ten bits); how often each is timed.
_TEST_FRAMES, _TEST_JOINTS, _TOLERANCE, _ROUNDS = 900, 52, 2e-3, 3


# Joints times frames of a piece of work of the built-in engine, which can be stopped after each; what of the arguments
# is one value a joint.
_PIECE, _BY_COLUMN = 2**18, ("mask",)


class Engine(Protocol):
    """What computes."""

    def refine(self, track: Array, *, tick: Tick | None = None, **keywords: Any) -> Array:
        """Refine a track.

        Args:
            track: (T, ...) floats, as for ``smoothnet_core.refine``.
            tick: called now and then with the share done; what it raises ends the work and is passed on.
            keywords: of ``smoothnet_core.refine``, without ``backend``.

        Returns:
            The refined track, of the type and shape of ``track``.

        Raises:
            EngineError: the engine could not compute, whatever the reason.
            ValueError: from the built-in engine: an argument is wrong.
        """
        ...

    def describe(self) -> str:
        """Return what computes, on one line."""
        ...


class BuiltInEngine:
    """The networks on NumPy and SciPy."""

    hint = ""

    def refine(self, track: Array, *, tick: Tick | None = None, **keywords: Any) -> Array:
        """See :class:`Engine`."""
        report_share(tick, 0.0)
        model = load_model(keywords.pop("model", "default"))
        results: list[Array] = []
        # Body-aware networks see all joints at once.
        for share, columns in _pieces(np.shape(track), keywords) if model.body is None else [(1.0, slice(None))]:
            given, how = track, dict(keywords)
            if columns != slice(None):
                given = track[:, columns]
                how |= {name: np.asarray(how[name])[:, columns] for name in _BY_COLUMN if how.get(name) is not None}
            results.append(smoothnet_core.refine(given, backend="numpy", model=model, **how))
            report_share(tick, share)
        return results[0] if len(results) == 1 else np.concatenate(results, axis=1)

    def describe(self) -> str:
        """See :class:`Engine`."""
        return f"CPU, {os.cpu_count()} cores, SciPy"


class TorchEngine:
    """The networks on this Python's torch, on the GPU if torch has one; torch is imported at the first use."""

    def __init__(self) -> None:
        self._device: TorchDevice | None = None
        self._lock = threading.Lock()

    @property
    def hint(self) -> str:
        """What would make it faster; empty if nothing is known to."""
        return self._device.hint if self._device else ""

    def refine(self, track: Array, *, tick: Tick | None = None, **keywords: Any) -> Array:
        """See :class:`Engine`."""
        report_share(tick, 0.0)
        device = self._ready()
        report_share(tick, 0.0)
        try:
            result = device.refine(track, **keywords)
        except Exception as error:
            raise EngineError(f"torch in this Python failed: {one_line(error)}") from error
        report_share(tick, 1.0)
        return checked(result, np.asarray(track), "torch in this Python")

    def describe(self) -> str:
        """See :class:`Engine`; raises ``EngineError`` if torch cannot be imported."""
        return self._ready().name

    def _ready(self) -> TorchDevice:
        with self._lock:
            if self._device is None:
                if not has_torch():
                    raise EngineError("this Python has no torch")
                try:
                    self._device = TorchDevice()
                except Exception as error:
                    raise EngineError(f"torch in this Python does not load: {one_line(error)}") from error
            return self._device


def _pieces(shape: tuple[int, ...], keywords: dict[str, Any]) -> list[tuple[float, slice]]:
    """Return the columns of a track that are refined one after the other, each with the share done after it.

    The results are those of all at once. A joint that no frame shows follows the others, so where there is one all stay
    together.
    """
    kind, mask = keywords.get("kind", "position"), keywords.get("mask")
    if len(shape) != (2 if kind == "channels" else 4 if kind == "rotation_matrix" else 3):
        return [(1.0, slice(None))]
    apart = set(keywords) <= {"fps", "kind", "strength", "order", "hop", "blend", *_BY_COLUMN}
    if mask is not None and (np.shape(mask) != shape[:2] or not np.asarray(mask).any(axis=0).all()):
        apart = False
    count = min(shape[1], -(-shape[0] * shape[1] // _PIECE))
    if not apart or count < 2:
        return [(1.0, slice(None))]
    edges = np.linspace(0, shape[1], count + 1).astype(int).tolist()
    return [(end / shape[1], slice(start, end)) for start, end in itertools.pairwise(edges)]


def built_in() -> Engine:
    """Return the engine that is always there."""
    return BuiltInEngine()


def has_torch() -> bool:
    """Return whether this Python has a torch, without importing it."""
    try:
        return importlib.util.find_spec("torch") is not None
    except ValueError:
        return False  # somebody put something else in its place


@cache
def torch_engine() -> TorchEngine:
    """Return the engine on this Python's torch, always the same one."""
    return TorchEngine()


_chosen: list[ExternalEngine] = []


def choose(preference: str, *, python: str | os.PathLike[str] = "", timeout: float = TIMEOUT) -> Engine:
    """Return the engine that is preferred; whether it can compute shows when it does.

    The external engine is the same one as long as its Python is, so that its process is kept; that of another Python
    is ended.

    Args:
        preference: one of ``PREFERENCES``.
        python: file of the other Python, for ``EXTERNAL``.
        timeout: see :class:`ExternalEngine`.

    Raises:
        ValueError: the preference is unknown.
    """
    if preference not in PREFERENCES:
        raise ValueError(f"engine: expected one of {', '.join(PREFERENCES)}, received {preference!r}")
    kept = next((e for e in _chosen if preference == "EXTERNAL" and e.python == os.fspath(python)), None)
    if kept is None:
        for engine in _chosen:
            engine.close()
        _chosen.clear()
        if preference != "EXTERNAL":
            return torch_engine() if preference == "TORCH" else built_in()
        kept = ExternalEngine(python)
        _chosen.append(kept)
    kept.timeout = timeout
    return kept


def close_all() -> None:
    """End every process that an engine started; engines stay usable."""
    _chosen.clear()
    kill_all()


def run_with_fallback(engine: Engine, track: Array, *, tick: Tick | None = None, **keywords: Any) -> tuple[Array, str]:
    """Refine with an engine, or with the built-in one where that fails.

    Args:
        engine: what shall compute.
        track: see :class:`Engine`.
        tick: likewise.
        keywords: likewise.

    Returns:
        The refined track; and what went wrong, empty if nothing did.

    Raises:
        ValueError: an argument is wrong.
        Cancelled: the engine was told to stop.
    """
    try:
        return engine.refine(track, tick=tick, **keywords), ""
    except EngineError as error:
        return built_in().refine(track, tick=tick, **keywords), f"Computed with the built-in engine: {error}"


@dataclass(frozen=True)
class Measurement:
    """How fast an engine is.

    Attributes:
        device: what computes.
        frames_per_second: of a take of 52 joints.
        built_in: the same of the built-in engine.
        hint: what would make the engine faster; empty if nothing is known to.
    """

    device: str
    frames_per_second: float
    built_in: float
    hint: str


def measured_take() -> Array:
    """Return the take that engines are measured on: (900, 52, 4) quat_wxyz of joints that swing, with jitter."""
    frames, joints = np.arange(_TEST_FRAMES)[:, None], np.arange(_TEST_JOINTS)
    angle = 0.6 * np.sin(frames * (0.05 + 0.002 * joints) + joints)
    angle += np.random.default_rng(0).normal(scale=0.01, size=angle.shape)
    axis = np.stack([np.sin(joints), np.cos(joints), np.zeros(_TEST_JOINTS)], axis=-1)
    return np.concatenate([np.cos(angle / 2)[..., None], np.sin(angle / 2)[..., None] * axis], axis=-1)


def measure(engine: Engine, tick: Tick | None = None) -> Measurement:
    """Try an engine on the test take: whether it agrees with the built-in one, and how fast both are once warm.

    Raises:
        EngineError: it does not compute, or something else than the built-in engine.
    """
    take, keywords = measured_take(), {"fps": 30.0, "kind": "quat_wxyz"}
    if isinstance(engine, ExternalEngine):
        engine.start(tick)
    result = engine.refine(take, tick=_waiting(tick, 0.2), **keywords)
    off = float(np.abs(result - built_in().refine(take, **keywords)).max())
    if off > _TOLERANCE:
        raise EngineError(f"{engine.describe()} differs from the built-in engine by {off:.2g}, expected {_TOLERANCE:g}")
    speed = _speed(engine, take, keywords, _waiting(tick, 0.4))
    same = isinstance(engine, BuiltInEngine)
    own = speed if same else _speed(built_in(), take, keywords, _waiting(tick, 0.7))
    report_share(tick, 1.0)
    return Measurement(engine.describe(), speed, own, getattr(engine, "hint", ""))


def _speed(engine: Engine, take: Array, keywords: dict[str, Any], tick: Tick | None) -> float:
    seconds = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        engine.refine(take, tick=tick, **keywords)
        seconds.append(time.perf_counter() - begun)
    return len(take) / sorted(seconds)[_ROUNDS // 2]


def _waiting(tick: Tick | None, share: float) -> Tick | None:
    return None if tick is None else lambda _: tick(share)
