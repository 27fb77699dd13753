"""The classical filters, each called as :func:`smoothnet_core.refine` is.

What all of them share:

- ``track``: (T, ...) NumPy array or torch tensor of floats, T frames; NaN is not observed. The result has its type,
  dtype, device and shape, and is finite.
- ``fps``: frames a second; None means 30. A filter whose parameters are in frames only checks it.
- ``kind``: ``position`` (last axis 2 or 3), ``rotation_6d``, ``rotation_matrix``, ``quat_wxyz``, ``axis_angle``
  (radians), or ``channels``: anything, each number by itself.
- ``strength``: 0 leaves the track as it is, 1 is the filter's answer; between them straight, for rotations geodesic.
- ``mask``: True = observed; (T,), (T, J) or the track's shape.
- ``confidence``: in [0, 1], same shapes; what has 0 counts as not observed, unless all has. Only the Kalman filter
  weighs by it.
- ``order``: order of ``rotation_6d``: ``interleaved``, ``columns`` or ``rows``.

What was not observed is interpolated in time first, and held at the ends. A linear filter takes rotations as the nine
entries of their matrices and returns the nearest rotation to what comes out: the chordal mean with the filter's
weights (M. Moakher, "Means and averaging in the group of rotations", SIAM J. Matrix Anal. Appl. 24(1), 2002).
Turning the scene, or a bone's roll, turns the result.
All raise ``ValueError`` for an argument that is not as said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smoothnet_core.filters.kalman import kalman
from smoothnet_core.filters.linear import butterworth, gaussian, savgol
from smoothnet_core.filters.median import median
from smoothnet_core.filters.one_euro import one_euro

__all__ = ["FILTERS", "butterworth", "gaussian", "kalman", "median", "one_euro", "savgol"]

# By the names of the command line.
FILTERS: dict[str, Callable[..., Any]] = {
    "one-euro": one_euro,
    "savgol": savgol,
    "gaussian": gaussian,
    "butterworth": butterworth,
    "median": median,
    "kalman": kalman,
}
