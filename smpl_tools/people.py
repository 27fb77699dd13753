"""Which detection is which person: detectors list people in any order, and lose and find them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smoothnet_core.limits import check_limit

Array = NDArray[np.float64]

# A person not seen for longer than this is forgotten: whoever appears there afterwards is a new person.
MAX_GAP_SECONDS = 1.0
# Mean keypoint distance, in person sizes, above which two poses are never the same person.
GATE = 0.4
# Added in proportion to the keypoints seen on one side only: a fragment of a person must not take the place of the
# whole person because its few keypoints happen to lie closer.
UNSHARED = 0.1
# Weight of the newest displacement in a person's velocity: detections jitter, bodies have inertia.
VELOCITY_WEIGHT = 0.2
# Sizes below this share of the median size are raised to it: a single keypoint has no extent of its own.
SMALLEST_SIZE = 0.25


def _median(values: Array) -> Array:
    # For the few keypoints of a person this is ten times as fast as np.median, and it is called for each detection.
    ordered = np.sort(values, axis=0)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


@dataclass
class _Person:
    """A person being followed; ``pose`` (K, D) holds every keypoint ever seen, those unseen moved with the body."""

    id: int
    frame: int
    pose: Array
    velocity: Array
    steps: int = 0

    def predicted(self, frame: int) -> Array:
        return self.pose + self.velocity * (frame - self.frame)

    def update(self, frame: int, detection: Array) -> None:
        elapsed = frame - self.frame
        moved = detection - self.pose
        shared = np.isfinite(moved).all(axis=-1)
        if shared.any():
            self.steps += 1
            weight = max(VELOCITY_WEIGHT, 1.0 / self.steps)
            self.velocity = self.velocity + weight * (_median(moved[shared]) / elapsed - self.velocity)
        seen = np.isfinite(detection).all(axis=-1, keepdims=True)
        self.pose = np.where(seen, detection, self.predicted(frame))
        self.frame = frame


def person_sizes(poses: Array) -> Array:
    """Return the size of each of ``poses`` (P, K, D), NaN where not seen: (P,), 0 where nothing is seen.

    The size is four times the median distance of the seen keypoints from their median, which is about the height of
    an upright person and does not follow a single wrong keypoint.
    """
    sizes = np.zeros(len(poses))
    for p, pose in enumerate(poses):
        seen = pose[np.isfinite(pose).all(axis=-1)]
        if len(seen):
            sizes[p] = 4.0 * _median(np.linalg.norm(seen - _median(seen), axis=-1))
    return sizes


def _costs(predicted: Array, size: float, detections: Array, sizes: Array) -> tuple[Array, Array]:
    """Return the mean distance in person sizes (inf where none is shared) and the unshared fraction, each (P,)."""
    known = np.isfinite(predicted).all(axis=-1)
    seen = np.isfinite(detections).all(axis=-1)
    shared = known & seen
    count = shared.sum(axis=-1)
    distances = np.where(shared, np.linalg.norm(np.nan_to_num(detections - predicted), axis=-1), 0.0)
    mean = np.where(count > 0, distances.sum(axis=-1) / np.maximum(count, 1) / np.maximum(size, sizes), np.inf)
    return mean, 1.0 - count / np.maximum((known | seen).sum(axis=-1), 1)


def assign_people(
    detections: Sequence[Array], frames: Sequence[int] | NDArray[np.int64], *, max_gap: int
) -> list[NDArray[np.int64]]:
    """Give every detection a person's number that stays the same over time.

    Each person's pose is predicted with constant velocity, and the detections of a frame are assigned to the people
    known by least total cost (``scipy.optimize.linear_sum_assignment``): the mean distance over the keypoints that both
    have, divided by the person's size. A pair farther apart than ``GATE`` sizes is never joined; a detection that
    is joined to nobody begins a new person. The result does not depend on the order within a frame, except for the
    order in which new people are numbered.

    Args:
        detections: F arrays (P_f, K, D) of the P_f detections of a frame, NaN where a keypoint was not seen.
        frames: F frame numbers, strictly increasing.
        max_gap: a person not seen in this many frames keeps the number; after more, the number is not used again.

    Returns:
        F int64 arrays (P_f,): numbers from 0 in order of appearance, -1 for a detection without any keypoint seen.

    Raises:
        ValueError: not as many frame numbers as frames, or they do not increase.
    """
    if len(frames) != len(detections):
        raise mismatch("frame numbers", f"{len(detections)}, one for each frame", len(frames))
    if len(frames) > 1 and np.diff(np.asarray(frames)).min() < 1:
        raise mismatch("frame numbers", "strictly increasing", "a repeated or falling number")
    sizes = [person_sizes(poses) for poses in detections]
    positive = np.concatenate([np.zeros(0), *(s[s > 0] for s in sizes)])
    floor = SMALLEST_SIZE * float(np.median(positive)) if positive.size else 1.0
    people: list[_Person] = []
    count = 0
    numbers = []
    for frame, poses, size in zip(map(int, frames), detections, sizes, strict=True):
        people = [person for person in people if frame - person.frame <= max_gap + 1]
        # Each is compared with each.
        check_limit(f"people in frame {frame}, and known from those before", "people", max(len(poses), len(people)))
        ids = np.full(len(poses), -1, np.int64)
        visible = np.flatnonzero(np.isfinite(poses).all(axis=-1).any(axis=-1))
        for row, column in _matches(people, frame, poses[visible], np.maximum(size[visible], floor), floor):
            people[row].update(frame, poses[visible[column]])
            ids[visible[column]] = people[row].id
        for place in visible[ids[visible] < 0]:
            ids[place] = count
            people.append(_Person(count, frame, poses[place].copy(), np.zeros(poses.shape[-1])))
            count += 1
        numbers.append(ids)
    return numbers


def _matches(people: list[_Person], frame: int, poses: Array, sizes: Array, floor: float) -> list[tuple[int, int]]:
    if not people or not len(poses):
        return []
    # Here, since it takes most of a second to import and only this format needs it.
    from scipy.optimize import linear_sum_assignment

    distance = np.empty((len(people), len(poses)))
    unshared = np.empty_like(distance)
    for row, person in enumerate(people):
        known = max(float(person_sizes(person.pose[None])[0]), floor)
        distance[row], unshared[row] = _costs(person.predicted(frame), known, poses, sizes)
    allowed = distance <= GATE
    # A forbidden pair costs as much as leaving both alone, so that it never forces another pair apart.
    cost = np.where(allowed, distance + UNSHARED * unshared, GATE + UNSHARED)
    rows, columns = linear_sum_assignment(cost)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if allowed[r, c]]
