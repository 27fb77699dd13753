"""Clips drawn at random from all motions together, and changed in many ways, so that few motions show much.

Estimators go wrong by pose and by view; so what a refiner learns from is worth more the more poses and views it shows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from smoothnet_core._checks import mismatch
from smpl_tools.pairs.body import Body, bone_places, make_body, random_shape, truth
from smpl_tools.pairs.camera import View
from smpl_tools.pairs.landmarks import Landmarks, landmarks
from smpl_tools.pairs.motions import Source
from smpl_tools.pairs.retarget import retarget
from smpl_tools.pairs.stage import Settings, Stage, set_up

Array = NDArray[np.float64]

# Length of a clip, and how fast it is played.
_SECONDS, _SHORTEST_SECONDS = (3.0, 5.0), 4 / 3
_RATES = (0.8, 1.25)
# How often both arms, both legs or only the left one of them move as in another motion, and in a mirror.
_LIMBS, _ARMS, _ONE_SIDE, _MIRRORED = 0.35, 0.6, 0.3, 0.5
# How often somebody is turned about a horizontal axis: lies, falls, stands on the hands. Unless told otherwise.
TILTED = 0.15
# How long somebody takes to turn over once, and how high at most somebody jumps who does.
_OVER_SECONDS, _JUMP = (0.5, 1.2), 0.5
# How often a camera stands anywhere around; otherwise in front, give or take so many degrees.
_ANYWHERE, _FRONT = 0.6, 50.0
_HEIGHTS, _FIELDS = (0.7, 2.1), (30.0, 65.0)
_OCCLUDERS = (0, 0, 0, 1, 1, 2)
_LIMB_BONES = {
    "arms": ("spine_03", ("clavicle", "upperarm", "lowerarm", "hand")),
    "legs": ("pelvis", ("thigh", "calf", "foot")),
}


class Pool:
    """Motions to draw clips from.

    A subject is drawn as often as the root of how long he moves says, so that those of whom there is little are seen
    too; one of his motions as often as its length says.
    """

    def __init__(self, sources: Sequence[Source], fps: float, tilted: float = TILTED, tumbling: float = 0.0) -> None:
        """Take motions, which are to be seen at ``fps``.

        A share ``tilted`` of the clips shows somebody turned about a horizontal axis, and a share ``tumbling`` of the
        others somebody who turns over and over.

        Raises:
            ValueError: a motion cannot be used, or none is long enough.
        """
        self._fps, self._tilted, self._tumbling = fps, tilted, tumbling
        by_subject: dict[str, list[tuple[Source, Landmarks]]] = {}
        for source in sources:
            points = landmarks(source.motion, source.person, fps)
            if len(points.head) >= _SHORTEST_SECONDS * fps:
                by_subject.setdefault(source.subject, []).append((source, points))
        if not by_subject:
            raise mismatch("motions", f"one of at least {_SHORTEST_SECONDS:.2f} s", "none")
        self._subjects = sorted(by_subject)
        self._motions = [by_subject[subject] for subject in self._subjects]
        self._frames = [np.array([len(points.head) for _, points in own], float) for own in self._motions]
        odds = np.sqrt([frames.sum() for frames in self._frames])
        self._odds = odds / odds.sum()

    def stage(self, number: int, settings: Settings) -> Stage:
        """Draw all that clip ``number`` is rendered from, by the settings' seed, whatever other clips are drawn."""
        rng = np.random.default_rng([settings.seed, number])
        while True:
            subject, motion = self._pick(rng)
            body = make_body(random_shape(rng))
            wanted = int(rng.integers(round(_SECONDS[0] * self._fps), round(_SECONDS[1] * self._fps) + 1))
            rotations, root, rate = self._moved(motion, wanted, rng, body)
            if len(root) >= _SHORTEST_SECONDS * self._fps:
                break
        described: dict[str, Any] = {"motion": motion[0].name, "rate": rate}
        if rng.random() < _LIMBS:
            other, another = self._pick(rng)
            lent, _, _ = self._moved(another, len(root), rng, body)
            if len(lent) >= len(root):
                name = "arms" if rng.random() < _ARMS else "legs"
                left_only = rng.random() < _ONE_SIDE
                rotations = _with_limbs(rotations, lent[: len(root)], body, name, left_only)
                described |= {name: another[0].name, "left_only": left_only, "limbs_of": other}
        if rng.random() < _MIRRORED:
            rotations, root = _mirrored(rotations, root, body)
            described["mirrored"] = True
        floor = None
        if rng.random() < self._tilted:
            turn, angle = _tilt(len(root), self._fps, rng)
            rotations, root = _on_the_floor(turn[:, None] @ rotations, root, body)
            floor = 0.0
            described["tilt_deg"] = round(float(np.degrees(angle)), 1)
        elif self._tumbling and rng.random() < self._tumbling:
            turn, height, turns = _tumble(len(root), self._fps, rng)
            rotations, root = _on_the_floor(turn[:, None] @ rotations, root, body)
            root = root + height[:, None] * [0.0, 1.0, 0.0]
            floor = 0.0
            described["turns_over"] = turns
        azimuth = rng.uniform(-180, 180) if rng.random() < _ANYWHERE else rng.normal(0, _FRONT)
        view = View(float(azimuth), float(rng.uniform(*_HEIGHTS)), float(rng.uniform(*_FIELDS)))
        stage = set_up(body, rotations, root, view, settings, rng, floor)
        about = {**stage.described, "subject": subject, "drawn": described}
        return dataclasses.replace(stage, occluders=int(rng.choice(_OCCLUDERS)), described=about)

    def _pick(self, rng: np.random.Generator) -> tuple[str, tuple[Source, Landmarks]]:
        who = rng.choice(len(self._subjects), p=self._odds)
        frames = self._frames[who]
        return self._subjects[who], self._motions[who][rng.choice(len(frames), p=frames / frames.sum())]

    def _moved(
        self, motion: tuple[Source, Landmarks], frames: int, rng: np.random.Generator, body: Body
    ) -> tuple[Array, Array, float]:
        """Return a part of a motion, at most so many frames of it, as a body moves, and at which rate it is played."""
        points = motion[1]
        rate = float(rng.uniform(*_RATES))
        count = min(frames, int((len(points.head) - 2) / rate))
        start = rng.uniform(0, max(len(points.head) - 1 - count * rate, 0) + 1e-6)
        return *retarget(points.at(np.asarray(start + rate * np.arange(count), np.float64)), body), rate


def _with_limbs(rotations: Array, lent: Array, body: Body, name: str, left_only: bool) -> Array:
    """Return rotations (T, B, 3, 3) with limbs that move against the trunk as they do in another motion."""
    trunk, limbs = _LIMB_BONES[name]
    base = body.bones.index(trunk)
    bones = [b for b, bone in enumerate(body.bones) if bone[:-2] in limbs and (bone.endswith("_l") or not left_only)]
    carried = rotations[:, base] @ np.swapaxes(lent[:, base], 1, 2)
    result = rotations.copy()
    result[:, bones] = carried[:, None] @ lent[:, bones]
    return result


def _mirrored(rotations: Array, root: Array, body: Body) -> tuple[Array, Array]:
    mirror = np.diag([-1.0, 1.0, 1.0])
    return (mirror @ rotations @ mirror)[:, _swap(body.bones)], root * [-1.0, 1.0, 1.0]


@lru_cache(maxsize=1)
def _swap(bones: tuple[str, ...]) -> list[int]:
    other = {"_l": "_r", "_r": "_l"}
    return [bones.index(bone[:-2] + other[bone[-2:]]) if bone[-2:] in other else b for b, bone in enumerate(bones)]


def _tilt(frames: int, fps: float, rng: np.random.Generator) -> tuple[Array, float]:
    """Return rotations (T, 3, 3) about a horizontal axis that sway about a drawn angle, and their mean angle."""
    direction = rng.uniform(0, 2 * np.pi)
    time = np.arange(frames) / fps
    angle = rng.uniform(-np.pi, np.pi) + 0.5 * rng.normal() * np.sin(
        2 * np.pi * time * rng.uniform(0.1, 0.5) + rng.uniform(0, 6)
    )
    axis = np.array([np.cos(direction), 0.0, np.sin(direction)])
    return Rotation.from_rotvec(angle[:, None] * axis).as_matrix(), float(angle.mean())


def _tumble(frames: int, fps: float, rng: np.random.Generator) -> tuple[Array, Array, int]:
    """Return rotations (T, 3, 3) of somersaults and cartwheels, the height in the air (T,), and how many they are."""
    time = np.arange(frames) / fps
    rotation, height = Rotation.identity(frames), np.zeros(frames)
    count = int(rng.integers(1, 4))
    for _ in range(count):
        lasts = rng.uniform(*_OVER_SECONDS)
        done = np.clip((time - rng.uniform(-0.5 * lasts, time[-1] - 0.5 * lasts)) / lasts, 0, 1)
        direction = rng.uniform(0, 2 * np.pi)
        axis = np.array([np.cos(direction), 0.0, np.sin(direction)])
        angle = 2 * np.pi * done * done * (3 - 2 * done)
        rotation = Rotation.from_rotvec(angle[:, None] * axis) * rotation
        # As thrown: a parabola.
        height += rng.choice([0.0, 1.0]) * rng.uniform(0, _JUMP) * 4 * done * (1 - done)
    return rotation.as_matrix(), height, count


def _on_the_floor(rotations: Array, root: Array, body: Body) -> tuple[Array, Array]:
    """Return rotations, and the root moved up or down so that the lowest joint of every frame is at height 0."""
    lowest = truth(body, rotations, bone_places(body, rotations, root))[..., 1].min(axis=1)
    return rotations, root - lowest[:, None] * [0.0, 1.0, 0.0]
