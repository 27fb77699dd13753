"""The frames of a video of motions side by side, or over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch, one_of
from smpl_tools.motion import Motion
from smpl_tools.pictures.bodies import BodyPainter, Skin, clothed, dressed, plain_motion
from smpl_tools.pictures.camera import Camera, follow
from smpl_tools.pictures.floor import Floor
from smpl_tools.pictures.look import LOOKS, Letters
from smpl_tools.pictures.paint import Canvas, Image, paint_limb, paint_trail
from smpl_tools.pictures.stage import Actor, Stage, joint_index, staged

Picture = NDArray[np.uint8]

LABELS = ("before", "after", "truth")
# How much of the background is mixed into what lies under the refined motion.
_PALER = 0.3
_TRAIL_SECONDS = 1.0
_SHORTEST, _LONGEST = 64, 4096


@dataclass(frozen=True)
class Choices:
    """What a video is to show, and how.

    Attributes:
        size: width and height in pixels, even.
        fps: frames a second of the video; None for the motions' own, halved until they are at most ``most_fps``.
        most_fps: see there.
        start: seconds after the motion's first frame.
        end: seconds after the motion's first frame; None for its end.
        speed: 1 as captured, 0.25 for a quarter of that.
        view: see ``smpl_tools.pictures.camera.view_angles``.
        overlay: over each other instead of side by side.
        person: id of the person to show; None shows all.
        trails: joints whose way of the last second is drawn.
        background: one of ``LOOKS``.
        body: one of ``smpl_tools.bodies.choice.BODIES`` in place of the skeleton.
        models: folder of body model files.
    """

    size: tuple[int, int] = (1280, 720)
    fps: float | None = None
    most_fps: float = 60.0
    start: float = 0.0
    end: float | None = None
    speed: float = 1.0
    view: str = "three-quarter"
    overlay: bool = False
    person: str | None = None
    trails: Sequence[str] = ()
    background: str = "light"
    body: str | None = None
    models: Path | None = None


class Film:
    """Makes the frames of a video, each by itself.

    Every frame of the video shows one frame of the motions as it is: nothing is interpolated, which would smooth what
    is to be seen. The camera is the same for all motions.

    Args:
        motions: two, or three with the truth.
        choices: what to show, and how.

    Raises:
        ValueError: the motions do not belong together, or a choice is out of its range.
        MissingExtraError: the extra ``render`` is not installed.
    """

    def __init__(self, motions: Sequence[Motion], choices: Choices | None = None) -> None:
        self._choices = choices = choices or Choices()
        _check(choices)
        self._letters = Letters()
        self._look = LOOKS[one_of("background", choices.background, LOOKS)]
        if choices.body is not None:
            motions = [plain_motion(motion) for motion in motions]
        stage = staged(motions, person=choices.person)
        self._skins: list[list[Skin]] = [[] for _ in motions]
        if choices.body is not None:
            stage, self._skins = dressed(stage, motions, choices.body, choices.models)
        self.stage: Stage = stage
        self._trails = [joint_index(stage, name) for name in choices.trails]
        self.fps = _rate(choices, stage.fps)
        self.rows = _rows(choices, stage)
        self._boxes = _boxes(1 if choices.overlay else len(motions), choices.size)
        height, width = self._boxes[0][2:]
        self.camera: Camera = follow(stage, choices.view, (width, height), self.rows)
        look = self._look
        self._floor = None
        if stage.floor is not None:
            self._floor = Floor(self.camera, stage.floor, look.background, look.line, look.floor)
        self._painters = {
            id(skin.model): BodyPainter(skin.model, self.camera) for skins in self._skins for skin in skins
        }

    @property
    def frame_count(self) -> int:
        """Frames of the video."""
        shown = (self.rows.stop - self.rows.start) / self.stage.fps
        return max(1, round(shown * self.fps / self._choices.speed))

    def shown(self, number: int) -> int:
        """Return which frame of the stage's timeline a frame of the video shows."""
        passed = number / self.fps * self._choices.speed * self.stage.fps
        return min(self.rows.start + int(passed + 1e-6), self.rows.stop - 1)

    def draw(self, number: int) -> Picture:
        """Return a frame of the video, (H, W, 3) uint8."""
        frame = self.shown(number)
        width, height = self._choices.size
        picture = np.empty((height, width, 3), np.float32)
        if width % len(self._boxes) or height % len(self._boxes):
            picture[:] = self._look.background
        empty = self._empty(frame)
        motions = range(len(self.stage.casts))
        groups = [list(motions)] if self._choices.overlay else [[m] for m in motions]
        for group, (top, left, tall, wide) in zip(groups, self._boxes, strict=True):
            canvas = Canvas(empty.copy(), np.full((tall, wide), np.inf, np.float32))
            self._paint(canvas, group, frame)
            picture[top : top + tall, left : left + wide] = canvas.colours
            self._label(picture, group, top, left, wide)
        self._frame_marks(picture, number, frame)
        picture *= 255
        picture += 0.5
        return np.clip(picture, 0, 255, out=picture).astype(np.uint8)

    def _empty(self, frame: int) -> Image:
        if self._floor is not None:
            return self._floor.draw(frame)
        width, height = self.camera.size
        return np.broadcast_to(self._look.background, (height, width, 3))

    def _paint(self, canvas: Canvas, group: list[int], frame: int) -> None:
        over = len(group) > 1
        if self._floor is not None:
            # One shadow is enough of people who stand in the same place.
            for motion in group[1:2] if over else group:
                for actor in self.stage.casts[motion]:
                    self._floor.shade(canvas.colours, actor.points[frame], actor.figure, frame)
        # The refined motion lies over the others, whatever is nearer: they look out where they differ.
        for motion in sorted(group, key=lambda m: m == 1):
            canvas.depths[:] = np.inf
            colours = [self._look.motions[motion]] * 3 if over else list(self._look.sides)
            if over and motion != 1:
                colours = [colour + _PALER * (self._look.background - colour) for colour in colours]
            for k, actor in enumerate(self.stage.casts[motion]):
                if self._skins[motion]:
                    self._paint_body(canvas, self._skins[motion][k], frame, colours[1] if over else None)
                else:
                    self._paint_skeleton(canvas, actor, frame, colours)
        for motion in group:
            colour = self._look.motions[motion] if over else self._look.trail
            for actor in self.stage.casts[motion]:
                for joint in self._trails:
                    self._paint_trail(canvas, actor, joint, frame, colour)

    def _paint_body(self, canvas: Canvas, skin: Skin, frame: int, colour: Image | None) -> None:
        vertices = skin.vertices(frame)
        if vertices is not None:
            colours = clothed(skin.model, self._look.clothes) if colour is None else colour[None]
            self._painters[id(skin.model)].paint(canvas, vertices, frame, np.broadcast_to(colours, vertices.shape))

    def _paint_skeleton(self, canvas: Canvas, actor: Actor, frame: int, colours: list[Image]) -> None:
        seen = self.camera.seen(actor.points[frame], frame)
        with np.errstate(invalid="ignore"):
            pixels, depths = self.camera.project(seen), seen[:, 2]
        figure = actor.figure
        there = np.isfinite(depths[figure.ends]).all(axis=1) & (depths[figure.ends] > 0.05).all(axis=1)
        # From behind to the front, so that smooth edges lie over what is behind them.
        for limb in sorted(np.flatnonzero(there), key=lambda k: -depths[figure.ends[k]].sum()):
            ends = figure.ends[limb]
            sizes = self.camera.focal_px / depths[ends]
            paint_limb(
                canvas,
                pixels[ends],
                depths[ends],
                figure.radii[limb] * sizes,
                colours[figure.sides[limb]],
                float(sizes.mean()),
            )

    def _paint_trail(self, canvas: Canvas, actor: Actor, joint: int, frame: int, colour: Image) -> None:
        first = max(0, frame - round(_TRAIL_SECONDS * self.stage.fps))
        seen = self.camera.seen(actor.points[first : frame + 1, joint], frame)
        seen[~(seen[:, 2] > 0.05)] = np.nan
        strengths = np.linspace(0.05, 0.95, max(1, len(seen) - 1))
        # In front of the limb that ends in the joint.
        depths = seen[:, 2] - 0.06
        paint_trail(canvas, self.camera.project(seen), depths, strengths, self.camera.size[1] / 400, colour)

    def _label(self, picture: Image, group: list[int], top: int, left: int, wide: int) -> None:
        unit = self._choices.size[1] / 720 if len(self._boxes) == 1 or self._boxes[1][0] == 0 else wide / 720
        unit = min(unit, wide / 420)
        # Letters stay readable in a small picture.
        unit = max(unit, 0.65)
        x, y = left + 24 * unit, top + 18 * unit
        for motion in group:
            colour = self._look.motions[motion] if len(group) > 1 else self._look.ink
            self._letters.write(picture, LABELS[motion], (x, y), 30 * unit, colour, wide - 48 * unit)
            name = self.stage.names[motion]
            room = wide - 48 * unit
            if len(group) > 1:
                room = (wide - 48 * unit) / len(group) - 16 * unit
            self._letters.write(picture, name, (x, y + 37 * unit), 16 * unit, self._look.faint, room)
            x += room + 16 * unit

    def _frame_marks(self, picture: Image, number: int, frame: int) -> None:
        width, height = self._choices.size
        unit = max(min(height / 720, width / 840), 0.65)
        for top, left, _, _ in self._boxes[1:]:
            mark = picture[:, left : left + 1] if left else picture[top : top + 1]
            mark += 0.6 * (self._look.line - mark)
        text = f"{frame / self.stage.fps:.2f} s"
        if self._choices.speed != 1:
            text += f"   {self._choices.speed:g}x speed"
        self._letters.write(picture, text, (24 * unit, height - 36 * unit), 16 * unit, self._look.faint, width)
        done = round(width * (number + 1) / self.frame_count)
        thick = max(2, round(3 * unit))
        picture[height - thick :, :done] = self._look.faint


def _check(choices: Choices) -> None:
    wide, tall = choices.size
    for length in choices.size:
        if length % 2 or not _SHORTEST <= length <= _LONGEST:
            raise mismatch("size", f"even numbers from {_SHORTEST} to {_LONGEST}", f"{wide}x{tall}")
    for what, value, low, high in (("speed", choices.speed, 0.01, 100.0), ("fps", choices.fps, 1.0, 240.0)):
        if value is not None and not low <= value <= high:
            raise mismatch(what, f"a number from {low:g} to {high:g}", f"{value:g}")


def _rate(choices: Choices, fps: float) -> float:
    if choices.fps is not None:
        return choices.fps
    while fps > choices.most_fps:
        fps /= 2
    return fps


def _rows(choices: Choices, stage: Stage) -> slice:
    length = stage.frame_count / stage.fps
    end = length if choices.end is None else min(choices.end, length)
    first, last = round(choices.start * stage.fps), round(end * stage.fps)
    if not 0 <= first < last:
        raise mismatch(
            "start and end", f"seconds in order, between 0 and {length:.3g}", f"{choices.start:g} and {end:g}"
        )
    return slice(first, last)


def _boxes(count: int, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Return top, left, height and width of each panel: beside each other, or in a tall picture one below the other."""
    width, height = size
    if width >= height:
        wide = width // count
        return [(0, k * wide, height, wide) for k in range(count)]
    tall = height // count
    return [(k * tall, 0, tall, width) for k in range(count)]
