"""Colours and letters of a video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import require
from smpl_tools.pictures.paint import Image


def rgb(code: str) -> Image:
    """Return red, green and blue from 0 to 1 of ``#RRGGBB``."""
    return np.array([int(code[k : k + 2], 16) for k in (1, 3, 5)], np.float32) / 255


@dataclass(frozen=True, eq=False)
class Look:
    """What things are painted in; the hues are Okabe and Ito's, told apart by every kind of colour vision.

    Attributes:
        background: behind everything.
        floor: of the floor where people are.
        line: of its grid, and between panels.
        ink: of letters.
        faint: of letters that matter less.
        sides: of a skeleton's left, middle and right.
        motions: of skeletons that are drawn over each other: before, after, truth.
        trail: of a joint's way.
        clothes: of a body's parts; ``skin`` of those that are not named.
    """

    background: Image
    floor: Image
    line: Image
    ink: Image
    faint: Image
    sides: tuple[Image, ...]
    motions: tuple[Image, ...]
    trail: Image
    clothes: dict[str, Image]


_CLOTHES = {
    "skin": rgb("#C3B7AB"),
    "hair": rgb("#4A4640"),
    "shirt": rgb("#5E8CB8"),
    "sleeves": rgb("#5E8CB8"),
    "trousers": rgb("#56606D"),
    "shins": rgb("#56606D"),
    "shoes": rgb("#33393F"),
}
LOOKS = {
    "light": Look(
        background=rgb("#F4F5F7"),
        floor=rgb("#FFFFFF"),
        line=rgb("#AEB4BD"),
        ink=rgb("#1E2329"),
        faint=rgb("#6A727D"),
        sides=(rgb("#0A7BC0"), rgb("#8A919C"), rgb("#E8860C")),
        motions=(rgb("#E69F00"), rgb("#0072B2"), rgb("#3A3F46")),
        trail=rgb("#B83280"),
        clothes=_CLOTHES,
    ),
    "dark": Look(
        background=rgb("#15181D"),
        floor=rgb("#252A32"),
        line=rgb("#59616D"),
        ink=rgb("#F2F4F7"),
        faint=rgb("#9BA4B0"),
        sides=(rgb("#4FA8E8"), rgb("#9AA1AC"), rgb("#F5B54A")),
        motions=(rgb("#F5B54A"), rgb("#4FA8E8"), rgb("#E6E8EB")),
        trail=rgb("#EE8FC4"),
        clothes=_CLOTHES,
    ),
}


class Letters:
    """Writes text into pictures with the letters that Pillow brings.

    Raises:
        MissingExtraError: Pillow is not installed.
    """

    def __init__(self) -> None:
        self._font = require("PIL.ImageFont", "render")
        self._masks: dict[tuple[str, float, float], Any] = {}

    def write(
        self, picture: Image, text: str, at: tuple[float, float], size: float, colour: NDArray[np.floating], room: float
    ) -> None:
        """Write a line with its upper left corner at ``at``, cut where it is wider than ``room`` pixels."""
        mask = self._mask(text, size, room)
        x, y = round(at[0]), round(at[1])
        part = picture[y : y + mask.shape[0], x : x + mask.shape[1]]
        cover = mask[: part.shape[0], : part.shape[1], None]
        part += cover * (colour.astype(np.float32) - part)

    def width(self, text: str, size: float) -> int:
        """Return how many pixels wide a line is."""
        return self._mask(text, size, np.inf).shape[1]

    def _mask(self, text: str, size: float, room: float) -> Any:
        key = text, size, room
        if key not in self._masks:
            font = self._font.load_default(size)
            shown = text
            while len(shown) > 1 and font.getlength(shown) > room:
                shown = shown.removesuffix("…")[:-1] + "…"
            left, _, right, _ = font.getbbox(shown)
            ascent, descent = font.getmetrics()
            image = require("PIL.Image", "render").new("L", (max(1, right - min(left, 0) + 1), ascent + descent))
            require("PIL.ImageDraw", "render").Draw(image).text((0, 0), shown, fill=255, font=font)
            # The time is another text in every frame: what was written long ago is not kept.
            if len(self._masks) > 64:
                self._masks.clear()
            self._masks[key] = np.asarray(image, np.float32) / 255
        return self._masks[key]
