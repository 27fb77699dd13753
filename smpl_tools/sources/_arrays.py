"""Plain ``.npz`` archives of arrays, without pickles."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from smoothnet_core._checks import mismatch
from smpl_tools.formats._files import reason


def load(path: Path) -> dict[str, Any]:
    """Return the arrays of an ``.npz`` by name.

    Raises:
        ValueError: it cannot be read, or holds pickles.
    """
    try:
        with np.load(path) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise mismatch(f"{path}", "an .npz file of arrays", reason(error)) from None
