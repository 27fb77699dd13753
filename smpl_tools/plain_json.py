"""What JSON can hold, of what it cannot."""

from __future__ import annotations

import math
from typing import Any


def plain(value: Any) -> Any:
    """Return dictionaries, lists, text and numbers in place of arrays, paths and the like; None for NaN and inf."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
