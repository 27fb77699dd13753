"""Where feet and pelvis go when planted feet are kept: positions in, positions out, in metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, maximum_filter1d, minimum_filter1d

from smoothnet_core._checks import check_positive, mismatch
from smpl_tools.contacts.detection import ContactSettings, noise_level
from smpl_tools.contacts.feet import WholeLeg
from smpl_tools.contacts.planting import anchors, displacements, steady
from smpl_tools.contacts.two_bone import BentLeg, bend_leg, hinges, smallest_rotation

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# A leg that is shorter by this share than straight (36 degrees of bend) can follow its foot's height.
_BENT = 0.05
# Halvings in which the share of a change that a leg can follow is found.
_HALVINGS = 24


@dataclass(frozen=True)
class KeepSettings:
    """How planted feet are kept.

    The pairs are for a quiet motion and for a noisy one, as those of
    :class:`smpl_tools.contacts.detection.ContactSettings`.

    Attributes:
        ease: seconds before and after a contact over which the change comes and goes.
        farthest: metres along the ground that a foot may be off the middle of a contact to count as standing there.
        rise: the same up and down.
        level: share of the way to one height, 0 to 1, that a foot goes while it stands, if its leg is bent. The rest,
            and all of it if the leg is straight, would cost the knee more than it is worth, and follows the pelvis.
        straight: share of its whole length up to which a leg is stretched, unless it was longer before.
        pelvis: metres that the pelvis follows the feet up and down at most, and sinks further at most for them to
            reach.
        pelvis_ease: seconds over which it does.
    """

    ease: tuple[float, float] = (0.15, 0.25)
    farthest: tuple[float, float] = (0.03, 0.5)
    rise: tuple[float, float] = (0.02, 0.3)
    level: tuple[float, float] = (1.0, 0.3)
    straight: float = 0.99
    pelvis: float = 0.03
    pelvis_ease: float = 0.2

    def __post_init__(self) -> None:
        for name in ("ease", "farthest", "rise"):
            pair = getattr(self, name)
            if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
                raise mismatch(f"keep setting {name}", "two positive numbers, the first not above the second", pair)
        if len(self.level) != 2 or not all(0 <= share <= 1 for share in self.level):
            raise mismatch("keep setting level", "two numbers from 0 to 1", self.level)
        check_positive("keep setting", self, ("straight", "pelvis", "pelvis_ease"))
        if self.straight > 1:
            raise mismatch("keep setting straight", "at most 1", self.straight)


KEEP = KeepSettings()


@dataclass(frozen=True, eq=False)
class FootPlan:
    """Where one foot goes.

    Attributes:
        joints: (T, 3) of each of its joints, the ankle among them.
        turn: (T, 3, 3) rotation of the foot in the scene from before to after.
    """

    joints: dict[int, Array]
    turn: Array


@dataclass(frozen=True, eq=False)
class Plan:
    """Where everything goes.

    Attributes:
        contact: (T, F) contacts that are kept.
        lift: (T,) metres that the pelvis is raised, below 0 lowered.
        feet: one a leg.
        changed: (T,) frames in which something moves.
    """

    contact: Flags
    lift: Array
    feet: list[FootPlan]
    changed: Flags


def make_plan(
    x: Array,
    legs: Sequence[WholeLeg],
    contact: Flags,
    fps: float,
    up: Array,
    detection: ContactSettings,
    settings: KeepSettings,
    *,
    rigid: bool,
) -> Plan:
    """Decide where the feet go and how far the pelvis goes up or down.

    Args:
        x: (T, J, 3) metres.
        legs: L of them.
        contact: (T, F) of their points, leg by leg.
        fps: frames a second.
        up: (3,) of length 1.
        detection: what counts as quiet and as noisy.
        settings: see :class:`KeepSettings`.
        rigid: feet keep their length in every frame; else only while heel and toe both stand.
    """
    window = max(round(settings.pelvis_ease * fps), 1)
    ends = np.cumsum([len(leg.points) for leg in legs])
    columns = [slice(end - len(leg.points), end) for leg, end in zip(legs, ends.tolist(), strict=True)]
    points = [joint for leg in legs for joint in leg.points]
    noise = noise_level(x[:, points], fps=fps)
    ease = max(round(detection.between(noise, settings.ease) * fps), 1)
    farthest, rise = (detection.between(noise, pair) for pair in (settings.farthest, settings.rise))
    kept = contact.copy()
    for column, joint in enumerate(points):
        kept[:, column] = steady(x[:, joint], contact[:, column], farthest, rise, up, ease, max(ease // 2, 1))

    moves = []
    for leg, own in zip(legs, columns, strict=True):
        tracks, standing = [x[:, joint] for joint in leg.points], list(kept[:, own].T)
        length = 0.0
        if len(tracks) == 2:
            length = float(np.median(np.linalg.norm(tracks[1] - tracks[0], axis=-1)))
        moves.append(displacements(tracks, anchors(tracks, standing, length), standing, ease, fps))
    feet = [_foot(x, leg, m, kept[:, own], rigid) for leg, m, own in zip(legs, moves, columns, strict=True)]
    lift = _lift(
        x, legs, feet, [np.asarray(kept[:, own].any(axis=1), bool) for own in columns], up, settings.pelvis, window
    )
    level = detection.between(noise, settings.level)
    moves = [_with_pelvis(m, lift, up, level * _spare(x, leg)) for leg, m in zip(legs, moves, strict=True)]

    feet, needed = [], np.zeros(len(x))
    for leg, own, move in zip(legs, columns, moves, strict=True):
        foot = _foot(x, leg, move, kept[:, own], rigid)
        hip, ankle, reach = x[:, leg.hip] + lift[:, None] * up, x[:, leg.ankle], _reach(x, leg, settings.straight)
        share = _share(hip - settings.pelvis * up, ankle, foot.joints[leg.ankle], reach)
        if share.min() < 1:
            share = _smooth_window(minimum_filter1d(share, 2 * window + 1, mode="nearest"), window)
            foot = _foot(x, leg, [share[:, None] * m for m in move], kept[:, own], rigid)
        feet.append(foot)
        needed = np.maximum(needed, _sink(foot.joints[leg.ankle] - hip, reach, up))
    needed = maximum_filter1d(np.minimum(needed, settings.pelvis), 2 * window + 1, mode="nearest")
    lift = lift - _smooth_window(needed, window)
    lift[abs(lift) < 1e-12] = 0.0
    changed = (lift != 0) | np.any([(m != 0).any(axis=1) for move in moves for m in move], axis=0)
    return Plan(kept, lift, feet, changed)


def bent_leg(x: Array, leg: WholeLeg, legs: Sequence[WholeLeg], ankle: Array, shift: Array, fps: float) -> BentLeg:
    """Return a leg of positions (T, J, 3) that reaches for its new ankle (T, 3) from its hip moved by (T, 3)."""
    sides = {one.side: x[:, one.hip] for one in legs}
    lateral = sides["left"] - sides["right"] if len(sides) == 2 else np.zeros_like(ankle)
    old = x[:, leg.hip], x[:, leg.knee], x[:, leg.ankle]
    return bend_leg(*old, old[0] + shift, ankle, hinges(*old, lateral, fps))


def _foot(x: Array, leg: WholeLeg, moves: list[Array], standing: Flags, rigid: bool) -> FootPlan:
    """Return where a foot is when its points (rear and front, or one) are moved by (T, 3) each."""
    others = [joint for joint in (leg.ankle, leg.heel, leg.toe, leg.toe_end, leg.other) if joint is not None]
    if len(moves) == 1:
        turn = np.broadcast_to(np.eye(3), (len(x), 3, 3))
        return FootPlan({joint: x[:, joint] + moves[0] for joint in others}, turn)
    rear, front = leg.points
    start, end = x[:, rear] + moves[0], x[:, front] + moves[1]
    old, new = x[:, front] - x[:, rear], end - start
    turn = smallest_rotation(_unit(old), _unit(new))
    if rigid:
        # The point that stands keeps its place; between contacts it changes over from one to the other.
        number = standing.sum(axis=1)
        known = np.flatnonzero(number)
        share = np.full(len(x), 0.5)
        if len(known):
            share = np.interp(np.arange(len(x)), known, standing[known, 1] / number[known])
        spare = np.linalg.norm(new, axis=-1) - np.linalg.norm(old, axis=-1)
        start = start + (share * spare)[:, None] * _unit(new)
        end = start + np.einsum("tij,tj->ti", turn, old)
    places = {joint: start + np.einsum("tij,tj->ti", turn, x[:, joint] - x[:, rear]) for joint in others}
    places |= {rear: start, front: end}
    return FootPlan(places, turn)


def _lift(
    x: Array, legs: Sequence[WholeLeg], feet: list[FootPlan], standing: list[Flags], up: Array, most: float, window: int
) -> Array:
    """Return how far (T,) the pelvis goes up with the feet that stand, so that a straight leg need not bend for it."""
    total, weight = np.zeros(len(x)), np.zeros(len(x))
    for leg, foot, stands in zip(legs, feet, standing, strict=True):
        total += stands * ((foot.joints[leg.ankle] - x[:, leg.ankle]) @ up)
        weight += stands
    mean = total / np.maximum(weight, 1)
    return _smooth_window(_smooth_window(most * np.tanh(mean / most), window), window)


def _with_pelvis(moves: list[Array], lift: Array, up: Array, spare: Array) -> list[Array]:
    """Return moves (T, 3) of a foot whose height follows the pelvis as far as its leg has no length to spare."""
    result = []
    for move in moves:
        height = move @ up
        result.append(move + ((1 - spare) * (lift - height))[:, None] * up)
    return result


def _spare(x: Array, leg: WholeLeg) -> Array:
    """Return from 0 for a straight leg to 1 for one that is bent enough (T,) to reach up and down."""
    hip, knee, ankle = x[:, leg.hip], x[:, leg.knee], x[:, leg.ankle]
    whole = np.linalg.norm(knee - hip, axis=-1) + np.linalg.norm(ankle - knee, axis=-1)
    part = np.clip((1 - np.linalg.norm(ankle - hip, axis=-1) / whole) / _BENT, 0, 1)
    return part * part * (3 - 2 * part)


def _reach(x: Array, leg: WholeLeg, straight: float) -> Array:
    """Return how far (T,) a leg stretches: to nearly straight, or as far as it did."""
    hip, knee, ankle = x[:, leg.hip], x[:, leg.knee], x[:, leg.ankle]
    whole = np.linalg.norm(knee - hip, axis=-1) + np.linalg.norm(ankle - knee, axis=-1)
    return np.maximum(straight * whole, np.linalg.norm(ankle - hip, axis=-1))


def _share(hip: Array, ankle: Array, asked: Array, reach: Array) -> Array:
    """Return the largest share (T,) of the way from ankle to where it is asked for that the leg reaches."""
    low, high = np.zeros(len(hip)), np.ones(len(hip))
    fits = np.linalg.norm(asked - hip, axis=-1) <= reach
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        good = np.linalg.norm(ankle + middle[:, None] * (asked - ankle) - hip, axis=-1) <= reach
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return np.where(fits, 1.0, low)


def _sink(leg: Array, reach: Array, up: Array) -> Array:
    """Return how far (T,) a hip must sink for the vector (T, 3) from it to the ankle to be within reach."""
    below = -(leg @ up)
    spare = below**2 - (leg**2).sum(axis=-1) + reach**2
    needed = below - np.sqrt(np.maximum(spare, 0))
    return np.where((leg**2).sum(axis=-1) > reach**2 * (1 + 1e-12), np.maximum(needed, 0), 0.0)


def _smooth_window(values: Array, window: int) -> Array:
    """Return the mean of values (T,) over a Hann window that reaches ``window`` frames to either side."""
    kernel = np.hanning(2 * window + 3)[1:-1]
    return convolve1d(values, kernel / kernel.sum(), mode="nearest")


def _unit(vector: Array) -> Array:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-12)
