"""SmoothNet and what it is compared with, on arrays: networks, filters, metrics.

The names below are imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smoothnet_core import filters, metrics, rotations
    from smoothnet_core._checks import MissingExtraError
    from smoothnet_core._refine import RefineReport, refine, refine_with_report
    from smoothnet_core._repair import repair
    from smoothnet_core.model import Model, load_model, shipped_models
    from smoothnet_core.online import OnlineRefiner

__version__ = "0.1.0"

__all__ = [
    "MissingExtraError",
    "Model",
    "OnlineRefiner",
    "RefineReport",
    "filters",
    "load_model",
    "metrics",
    "refine",
    "refine_with_report",
    "repair",
    "rotations",
    "shipped_models",
]

_HOMES = {
    "MissingExtraError": "smoothnet_core._checks",
    "Model": "smoothnet_core.model",
    "OnlineRefiner": "smoothnet_core.online",
    "RefineReport": "smoothnet_core._refine",
    "load_model": "smoothnet_core.model",
    "refine": "smoothnet_core._refine",
    "refine_with_report": "smoothnet_core._refine",
    "repair": "smoothnet_core._repair",
    "shipped_models": "smoothnet_core.model",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in __all__:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
