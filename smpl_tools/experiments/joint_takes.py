"""Takes on which rotations and the joints that they place are judged: with real errors, and with errors added."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from smoothnet_core import metrics
from smoothnet_core._checks import mismatch
from smoothnet_core.rotations import axis_angle_to_matrix
from smpl_tools.inverse_kinematics import JOINTS, SKELETON, TURNING
from smpl_tools.joint_refinement import descendants, from_root
from smpl_tools.motion import Motion, Person, Skeleton, Track
from smpl_tools.paired_scores import Measure
from smpl_tools.skeleton import person_pose, person_positions
from smpl_tools.sources import PairedClip
from smpl_tools.sources.clean import NO_BODY, clean_motions

Array = NDArray[np.float64]

# The subjects that the shipped network has not seen in clean motion either.
HELD_OUT = ("85", "94")
FPS = 30.0
# Shorter clips say little of a refiner, and of longer ones this much is enough.
_MIN_FRAMES, _MAX_FRAMES = 30, 300
# A white error in each frame and one that wanders, keeping so much of itself a frame, in degrees; how often a joint is
# far off, by how much and for how many frames at most. Those of the take that comes with the repository.
_MEMORY, _SPIKES, _SPIKE_DEGREES, _SPIKE_FRAMES = 0.9, 0.004, (12.0, 30.0), 3
_ROOT_JITTER_M, _ROOT_DRIFT_M = 0.006, 0.02
# What joints that are not of the spine get where errors are mainly there.
_ELSEWHERE = 0.2


@dataclass(frozen=True)
class Errors:
    """Errors to add to rotations: the standard deviation of jitter and drift in degrees, and whether at the spine."""

    name: str
    jitter: float
    drift: float
    at_spine: bool = False


ERRORS = (
    Errors("all joints, drift", 1.5, 3.0),
    Errors("all joints, jitter", 3.0, 1.0),
    Errors("spine", 1.5, 3.0, at_spine=True),
)


@dataclass(frozen=True, eq=False)
class Take:
    """A motion of one person with errors and without.

    Attributes:
        group: the mode of the estimator, or the name of the errors.
        motion: with errors; its skeleton says where the joints are, in metres.
        truth: without.
        scored: indices of the joints that are scored.
        ends: indices of hands and feet.
        turning: indices of the joints that have rotations.
    """

    group: str
    motion: Motion
    truth: Motion
    scored: Sequence[int]
    ends: Sequence[int]
    turning: Sequence[int]

    @property
    def skeleton(self) -> Skeleton:
        """Of both motions."""
        assert self.motion.skeleton is not None
        return self.motion.skeleton

    def views(self, motion: Motion) -> dict[str, Array]:
        """Return what measures look at: scored joints in the world and from the root, hands and feet, rotations."""
        person = motion.people[0]
        placed = person_positions(person, self.skeleton)
        near = from_root(placed, self.skeleton)
        return {
            "world": placed[:, self.scored],
            "root": near[:, self.scored],
            "ends": near[:, self.ends],
            "rotations": person_pose(person, self.skeleton)[0][:, self.turning],
        }


# The measure, and the view that it takes.
MEASURES: dict[str, tuple[Measure, str]] = {
    "geodesic_deg": (Measure("geodesic degrees", 2, lambda p, g, fps: metrics.geodesic_degrees(p, g)), "rotations"),
    "mpjpe_mm": (Measure("MPJPE mm", 1, lambda p, g, fps: metrics.mpjpe(p, g)), "root"),
    "ends_mm": (Measure("hands and feet mm", 1, lambda p, g, fps: metrics.mpjpe(p, g)), "ends"),
    "world_mm": (Measure("MPJPE in the world mm", 1, lambda p, g, fps: metrics.mpjpe(p, g)), "world"),
    "accel_mm_per_frame2": (Measure("Accel mm/frame²", 2, lambda p, g, fps: metrics.accel(p, g)), "world"),
    "speed_ratio": (Measure("speed", 2, lambda p, g, fps: metrics.speed_ratio(p, g), target=1.0), "ends"),
    "jitter_ratio": (Measure("jitter", 2, lambda p, g, fps: metrics.jitter_ratio(p, g), target=1.0), "world"),
}


def scores(takes: Sequence[Take], refiner: Callable[[Take], Motion]) -> dict[str, dict[str, float]]:
    """Return by group every measure of ``MEASURES``: means over takes, each counting by its frames."""
    found: dict[str, list[list[float]]] = {}
    frames: dict[str, list[int]] = {}
    for take in takes:
        output, truth = take.views(refiner(take)), take.views(take.truth)
        found.setdefault(take.group, []).append(
            [float(np.mean(measure.of(output[view], truth[view], FPS))) for measure, view in MEASURES.values()]
        )
        frames.setdefault(take.group, []).append(len(truth["world"]))
    return {
        group: dict(zip(MEASURES, np.average(rows, axis=0, weights=frames[group]).tolist(), strict=True))
        for group, rows in found.items()
    }


def paired_takes(clips: Iterable[PairedClip]) -> list[Take]:
    """Return clips of 6D rotations (``rotations.rotation_clips``) as takes of the small skeleton."""
    names = SKELETON.joints
    scored = [names.index(joint) for joint in JOINTS]
    ends = [names.index(f"{side}_{end}") for side in ("left", "right") for end in ("wrist", "foot_index")]
    turning = range(len(TURNING))

    def motion(values: NDArray[np.float32], confidence: NDArray[np.float32] | None) -> Motion:
        track = Track(values, "rotation_6d", "body", TURNING, confidence)
        return Motion("pairs", (Person("0", {"pose": track}, np.arange(len(values))),), FPS, skeleton=SKELETON)

    return [
        Take(clip.mode, motion(clip.estimate, clip.confidence), motion(clip.groundtruth, None), scored, ends, turning)
        for clip in clips
    ]


def clean_takes(path: Path, held_out: bool, every: int = 1, fps: float = FPS) -> list[Take]:
    """Return clean capture without fingers and eyes, the truth of itself.

    Args:
        path: the file of clean motion.
        held_out: of the subjects that are kept for the end, or of all others.
        every: take one clip of so many.
        fps: frames a second; clips whose own rate is no multiple of it are passed over.

    Raises:
        ValueError: there is no such clip.
    """
    takes = []
    for subject, whole in clean_motions(path):
        step = (whole.fps or FPS) / fps
        if (subject in HELD_OUT) == held_out and step.is_integer():
            motion = _body(whole, int(step), round(_MAX_FRAMES * fps / FPS))
            if len(motion.people[0].frames) >= _MIN_FRAMES * fps / FPS:
                takes.append(motion)
    if not takes:
        whose = f"of subjects {', '.join(HELD_OUT)}" if held_out else "of other subjects"
        raise mismatch(f"{path}, clips at {fps:g} frames a second {whose}", "at least one", "none")
    return [_clean(f"{fps:g}", motion) for motion in takes[::every]]


def with_errors(take: Take, errors: Errors, rng: np.random.Generator) -> Take:
    """Return a clean take with errors added to every rotation, on the right, and to the place of the root."""
    person = take.truth.people[0]
    rotations, offsets = person_pose(person, take.skeleton)
    frames, joints = rotations.shape[:2]

    def wander(shape: tuple[int, ...]) -> Array:
        # The input has the standard deviation that makes the output's one.
        white = rng.standard_normal((frames, *shape)) * np.sqrt(1 - _MEMORY**2)
        white[0] /= np.sqrt(1 - _MEMORY**2)
        return np.asarray(lfilter([1.0], [1.0, -_MEMORY], white, axis=0))

    # Standard deviations are those of the whole angle, hence the square root of its three components.
    turn = errors.jitter * rng.standard_normal((frames, joints, 3)) + errors.drift * wander((joints, 3))
    turn /= np.sqrt(3)
    if errors.at_spine:
        # What carries more than one hand or foot.
        spine = descendants(take.skeleton)[:, take.ends].sum(axis=1) > 1
        turn[:, ~spine] *= _ELSEWHERE
    for frame, joint in np.argwhere(rng.random((frames, joints)) < _SPIKES):
        axis = rng.standard_normal(3)
        length = rng.integers(1, _SPIKE_FRAMES + 1)
        turn[frame : frame + length, joint] += axis / np.linalg.norm(axis) * rng.uniform(*_SPIKE_DEGREES)
    shift = _ROOT_JITTER_M * rng.standard_normal((frames, 3)) + _ROOT_DRIFT_M * wander((3,))
    motion = _motion(rotations @ axis_angle_to_matrix(np.deg2rad(turn)), offsets[:, 0] + shift, take.truth)
    return replace(take, group=errors.name, motion=motion)


def _body(motion: Motion, step: int, frames: int) -> Motion:
    """Return the first frames of a clean motion, every n-th, without fingers and eyes."""
    assert motion.skeleton is not None
    whole = motion.skeleton
    kept = [j for j, name in enumerate(whole.joints) if not NO_BODY.search(name)]
    parents = np.array([kept.index(p) if p in kept else -1 for p in whole.parents[kept].tolist()])
    skeleton = Skeleton(tuple(whole.joints[j] for j in kept), parents, whole.offsets[kept])
    rotations, offsets = person_pose(motion.people[0], whole)
    like = replace(motion, skeleton=skeleton, fps=(motion.fps or FPS) / step)
    rows = slice(0, frames * step, step)
    return _motion(rotations[rows][:, kept], offsets[rows, 0], like)


def _motion(rotations: Array, root: Array, like: Motion) -> Motion:
    """Return rotations (T, J, 3, 3) and root (T, 3) in metres as a motion with another one's skeleton."""
    assert like.skeleton is not None
    joints = like.skeleton.joints
    tracks = {
        "global_orient": Track(rotations[:, :1], "rotation_matrix", "root", joints[:1]),
        "body_pose": Track(rotations[:, 1:], "rotation_matrix", "body", joints[1:]),
        "transl": Track(root[:, None], "position", "root", joints[:1], metres=1.0),
    }
    return replace(like, people=(Person("0", tracks, np.arange(len(root))),))


def _clean(group: str, motion: Motion) -> Take:
    assert motion.skeleton is not None
    names = motion.skeleton.joints
    leaves = np.flatnonzero(~descendants(motion.skeleton).any(axis=1))
    ends = [int(j) for j in leaves if not any(part in names[j].lower() for part in ("head", "neck"))]
    return Take(group, motion, motion, range(len(names)), ends, range(len(names)))
