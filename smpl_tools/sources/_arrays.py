"""Plain ``.npz`` archives of arrays, without pickles."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from smoothnet_core._checks import mismatch
from smpl_tools.formats._files import reason


def load(path: Path, only: Collection[str] | None = None) -> dict[str, Any]:
    """Return the arrays of an ``.npz`` by name, or only those of some names as far as they are there.

    Raises:
        ValueError: it cannot be read, or holds pickles.
    """
    try:
        with np.load(path) as archive:
            return {key: archive[key] for key in archive.files if only is None or key in only}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise mismatch(f"{path}", "an .npz file of arrays", reason(error)) from None
