"""One joint of a motion, of its refinement and maybe of the truth, on a common time axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of
from smpl_tools.motion import Motion
from smpl_tools.poses import Poses, paired_people, poses

Array = NDArray[np.float64]

ZOOM_SECONDS = 1.0
_ZOOM_SHARE = 0.4


@dataclass(frozen=True)
class Curves:
    """One joint on a common time axis.

    Attributes:
        time: (T,) seconds, or frame numbers where no rate is known.
        before: (T, D), NaN where not observed.
        after: the same.
        clock: label of the time axis.
        per: what its unit is called.
        unit: that of the positions.
        truth: (T, D) where it is known.
    """

    time: Array
    before: Array
    after: Array
    clock: str
    per: str
    unit: str
    truth: Array | None = None

    def motions(self) -> dict[str, Array]:
        """Return the joint's positions by the names of the motions."""
        known = {"before": self.before, "after": self.after}
        return known if self.truth is None else {**known, "truth": self.truth}

    def derivative(self, order: int) -> tuple[Array, dict[str, Array]]:
        """Return times (T - order,) and the length of a derivative of the positions, 1 speed or 2 acceleration."""
        rate = 1.0 if self.per == "frame" else 1.0 / float(self.time[1] - self.time[0])
        time = self.time[:-1] + 0.5 / rate if order == 1 else self.time[1:-1]
        lengths = {
            name: np.linalg.norm(np.diff(values, order, axis=0), axis=1) * rate**order
            for name, values in self.motions().items()
        }
        return time, lengths

    def derivative_label(self, order: int) -> str:
        """Return the label of its axis."""
        return f"{('speed', 'acceleration')[order - 1]}\n({self.unit}/{self.per}{'' if order == 1 else '²'})"


@dataclass(frozen=True, eq=False)
class Compared:
    """A person of several motions.

    Attributes:
        person: id.
        tracks: of the motion before, after, and where there is one of the truth.
        joint: index of the joint to show.
    """

    person: str
    tracks: tuple[Poses, ...]
    joint: int


def compared(
    before: Motion, after: Motion, truth: Motion | None = None, *, joint: str | None = None, person: str | None = None
) -> Compared:
    """Return the same person of two or three motions.

    Args:
        before: the motion as captured.
        after: the same motion refined: the same people, frames and joints.
        truth: the true motion: the same people and frames, and the joint.
        joint: name of the joint; None takes the one that jitters most.
        person: id of the person; None takes the first.

    Raises:
        ValueError: the motions do not belong together, an unknown name, or nothing that can be drawn.
    """
    known = [old.id for old, _ in paired_people(before, after)]
    chosen = known[0] if person is None else one_of("person", person, known)
    one, other = paired_people(before, after)[known.index(chosen)]
    old, new = poses(before, one), poses(after, other)
    _check_frames("after", old, new)
    if old.joints != new.joints or old.positions.shape != new.positions.shape:
        raise mismatch("joints after", f"the {len(old.joints)} joints before", f"{len(new.joints)} joints")
    if len(one.frames) < 3:
        raise mismatch("frames to draw", "at least 3", len(one.frames))
    if not np.isfinite(old.positions).all(axis=-1).any():
        raise mismatch("values to draw", "at least one observed joint", "only NaN")
    index = _most_jittery(old) if joint is None else old.joints.index(one_of("joint", joint, old.joints))
    if truth is None:
        return Compared(chosen, (old, new), index)
    true = poses(truth, paired_people(before, truth)[known.index(chosen)][1])
    _check_frames("of the truth", old, true)
    one_of(f"joint of {truth.path}", old.joints[index], true.joints)
    if true.positions.shape[2] != old.positions.shape[2]:
        raise mismatch("positions of the truth", f"{old.positions.shape[2]}D as before", f"{true.positions.shape[2]}D")
    return Compared(chosen, (old, new, true), index)


def _check_frames(which: str, old: Poses, other: Poses) -> None:
    if not np.array_equal(old.frames, other.frames):
        raise mismatch(f"frames {which}", f"the {len(old.frames)} frames before", f"{len(other.frames)} frames")


def _most_jittery(track: Poses) -> int:
    lengths = np.linalg.norm(np.diff(track.positions, 2, axis=0), axis=-1)
    seen = np.isfinite(lengths)
    means = np.where(seen, lengths, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    # Where no three frames in a row were seen, at least one that was seen at all.
    return int(np.argmax(means + 1e-300 * np.isfinite(track.positions).all(axis=-1).any(axis=0)))


def curves_of(found: Compared, fps: float | None) -> Curves:
    """Put a joint on the uniform timeline, so that a line breaks where the person was missing."""
    old = found.tracks[0]
    numbers = old.frames - old.frames[0]
    time = np.arange(int(numbers[-1]) + 1, dtype=np.float64)

    def uniform(source: Poses) -> Array:
        values = np.full((len(time), source.positions.shape[2]), np.nan)
        values[numbers] = source.positions[:, source.joints.index(old.joints[found.joint])]
        return values

    seconds = fps is not None
    clock = (time + old.frames[0]) / (fps if seconds else 1.0)
    names = ("time (s)", "s") if seconds else ("frame", "frame")
    before, after, *truth = map(uniform, found.tracks)
    return Curves(clock, before, after, *names, old.unit, *truth)


def zoom(curves: Curves, fps: float | None) -> tuple[int, int]:
    """Return first and last index of the piece from which most jitter was taken, or in which the input jitters most."""
    length = max(8, min(round(_ZOOM_SHARE * len(curves.time)), round(ZOOM_SECONDS * (fps or 30.0))))
    length = min(length, len(curves.time))
    # Where the input merely accelerates most there is fast movement, which is kept.
    removed = curves.before - curves.after
    shown = removed if np.nan_to_num(removed).any() else curves.before
    acceleration = np.nan_to_num(np.linalg.norm(np.diff(shown, 2, axis=0), axis=1))
    sums = np.convolve(acceleration, np.ones(max(1, length - 2)), mode="valid")
    start = int(np.argmax(sums)) if sums.size else 0
    return start, min(start + length, len(curves.time)) - 1


def peak(curves: Curves, piece: tuple[int, int]) -> int:
    """Return the index in the zoomed piece at which the input accelerates most."""
    steps = np.diff(curves.before[piece[0] : piece[1] + 1], 2, axis=0)
    return piece[0] + 1 + int(np.argmax(np.nan_to_num(np.linalg.norm(steps, axis=1))))
