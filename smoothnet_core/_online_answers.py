"""What the windows of a stream say of each frame, added up until the frame is due."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from smoothnet_core import _rotation_planes as planes
from smoothnet_core._online_history import History, cubic
from smoothnet_core._steady_rotations import steadied_row
from smoothnet_core.tracks import settled

Array = NDArray[np.float64]
# From a window (W, N, D) and its quality (W, N, 2) to the last so many frames of the refined window.
Run = Callable[[Array, Array, int], Array]

# Frames before and after one that smoothing it further looks at: four standard deviations, the rest is nothing.
STEADY_REACH = 20


class Answers:
    """Refined vectors of the frames that are not due yet.

    Rotations are seen as quaternions where they turn little from frame to frame all through a window, else as the nine
    numbers of their matrices, as in whole takes; there the choice is one for the whole take.

    Args:
        history: of the stream.
        run: the network.
        weights: (W,) that a window's frames count by.
        steady: smooth rotations further where they are noisier than they are fast.
    """

    def __init__(self, history: History, run: Run, weights: Array, *, is_rotation: bool, steady: bool) -> None:
        self._history = history
        self._rows = history.rows
        self._run = run
        self._weights = weights
        self._is_rotation = is_rotation
        self._steady = steady

    @staticmethod
    def columns(count: int, size: int, by_quats: bool) -> dict[str, tuple[int, ...]]:
        """Return the columns of the table for N vectors of D numbers."""
        made = {"stamp": (), "values": (count, size), "quality": (count, 2)}
        made |= {"values_sum": (count, size), "values_from": (count, size), "values_norm": (count,)}
        if size == 9:
            made |= {"quats": (count, 4), "calm": (count,)}
        if by_quats:
            made |= {"quats_sum": (count, 4), "quats_from": (count, 4), "quats_norm": (count,)}
        return made

    def begin(self) -> None:
        """Note what the newest frame's answers are relative to: what never moves so comes out bit for bit."""
        for name in ("values", "quats") if self._steady else ("values",):
            self._rows[f"{name}_from"][-1] = self._rows[name][-1]

    def add_window(self, on_clock: bool, own: int) -> None:
        """Run the window that ends at the newest frame, for the newest ``own`` frames."""
        if not self._steady:
            self._add("values", slice(None), on_clock, own)
            return
        calm = self._history.calm()
        for name, columns in (("quats", calm), ("values", ~calm)):
            if columns.all():
                self._add(name, slice(None), on_clock, own)
            elif columns.any():
                self._add(name, np.flatnonzero(columns), on_clock, own)

    def add_short(self, lengthened: Callable[[Array, Array], tuple[Array, Array, int]]) -> None:
        """Run one window for a whole stream that is shorter than that."""
        frames = len(self._rows)
        calm = self._rows["calm"][1:].all(axis=0) if self._steady else np.zeros(self._rows["values"].shape[1], bool)
        for name, columns in (("quats", np.flatnonzero(calm)), ("values", np.flatnonzero(~calm))):
            if len(columns):
                values, quality = self._history.by_frames(frames, name)
                values, quality, start = lengthened(values[:, columns], quality[:, columns])
                new = self._run(values, quality, len(values) - start)[:frames]
                part = (slice(None), columns)
                self._rows[f"{name}_sum"][part] = new - self._rows[f"{name}_from"][part]
                self._rows[f"{name}_norm"][part] = 1.0

    def _add(self, name: str, columns: slice | NDArray[np.intp], on_clock: bool, own: int) -> None:
        window = len(self._weights)
        if on_clock:
            values, quality = self._history.by_frames(window, name)
            rows = min(own, len(self._rows), window)
            new = self._run(values[:, columns], quality[:, columns], rows)
            weights = self._weights[window - rows :]
        else:
            values, quality = self._history.by_clock(name)
            refined = self._run(values[:, columns], quality[:, columns], window)
            stamp = self._rows["stamp"][-own:]
            place = stamp - stamp[-1] + (window - 1)
            place = place[place >= 0]
            rows = len(place)
            new = cubic(np.arange(float(window)), refined, place)
            weights = np.interp(place, np.arange(window), self._weights)
        part = (slice(-rows, None), columns)
        new -= self._rows[f"{name}_from"][part]
        new *= weights[:, None, None]
        self._rows[f"{name}_sum"][part] += new
        self._rows[f"{name}_norm"][part] += weights[:, None]

    def refined(self, row: int) -> Array:
        """Return the refined vectors (N, D) of a row; where no window has seen it, as they are."""
        if not self._steady:
            return settled(self._mean("values", slice(row, row + 1)), self._is_rotation)[0]
        rows = self._rows
        norm = (rows["quats_norm"] + rows["values_norm"])[row : row + STEADY_REACH + 1]
        seen = np.asarray((norm > 0).all(axis=1))
        stop = row + (len(seen) if seen.all() else int(seen.argmin()))
        new = rows["values"][row].copy()
        if stop > row:
            starts = self._history.begun_rows(max(0, row - STEADY_REACH), row)
            for start in np.unique(starts):
                columns = np.flatnonzero(starts == start)
                by_quats = ~(rows["values_norm"][start:stop, columns] > 0).any(axis=0)
                for one, by in ((by_quats, self._by_quats), (~by_quats, self._by_matrices)):
                    if one.any():
                        new[columns[one]] = by(slice(start, stop), row - start, columns[one])
        return new

    def _by_quats(self, around: slice, row: int, columns: NDArray[np.intp]) -> Array:
        before = self._rows["quats"][around, columns]
        after = self._steadied(before, self._mean("quats", around)[:, columns], around, row)
        new = planes.matrix_of_quat(after.T).T
        still = (after == before[row]).all(axis=1)
        new[still] = self._rows["values"][around][row, columns][still]
        return new

    def _by_matrices(self, around: slice, row: int, columns: NDArray[np.intp]) -> Array:
        before = self._rows["values"][around, columns]
        after = self._steadied(before, self._mean_matrices(around)[:, columns], around, row)
        return settled(after[None], True)[0]

    def _steadied(self, before: Array, after: Array, around: slice, row: int) -> Array:
        stamp = self._rows["stamp"][around]
        usual = float(np.median(np.diff(stamp))) if len(stamp) > 1 else 1.0
        return steadied_row(before, after, row, frames=1.0 / usual)

    def _mean(self, name: str, rows: slice) -> Array:
        norm = self._rows[f"{name}_norm"][rows, :, None]
        total = self._rows[f"{name}_sum"][rows]
        # Frames that were bridged since are relative to what they were held at; without an answer they are as they are.
        start = np.where(norm > 0, self._rows[f"{name}_from"][rows], self._rows[name][rows])
        return start + total / np.where(norm > 0, norm, 1.0)

    def _mean_matrices(self, rows: slice) -> Array:
        """Return the means of all answers, whether they were quaternions or matrices."""
        values, quats = self._mean("values", rows), self._mean("quats", rows)
        by_values, by_quats = (self._rows[f"{name}_norm"][rows, :, None] for name in ("values", "quats"))
        shape = quats.shape
        turned = planes.matrix_of_quat(quats.reshape(-1, 4).T).T.reshape(*shape[:2], 9)
        both = by_values + by_quats
        return (by_values * values + by_quats * turned) / np.where(both > 0, both, 1.0) + (both == 0) * values
