"""The same clips in other numbers: points in the picture, positions, and rotations in several forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from smpl_tools.experiments.frame import Bench
from smpl_tools.experiments.images import image_clips, picture_size
from smpl_tools.experiments.refiners import raw
from smpl_tools.experiments.rotations import rotation_clips
from smpl_tools.inverse_kinematics import rotations_to_joints
from smpl_tools.paired_scores import COLUMNS, MEASURES, PIXEL_MEASURES, Measure
from smpl_tools.rotations import (
    axis_angle_to_matrix,
    matrix_to_axis_angle,
    matrix_to_quat_wxyz,
    quat_wxyz_to_matrix,
    rotation_6d_to_matrix,
)
from smpl_tools.sources import PairedClip

# The measures that all spaces have, each in its own unit.
METRES: dict[str, Measure] = dict(
    zip(("mpjpe", "pa_mpjpe", "accel", "speed_ratio", "jitter_ratio"), (MEASURES[key] for key in COLUMNS), strict=True)
)
PIXELS: dict[str, Measure] = dict(zip(METRES, PIXEL_MEASURES.values(), strict=True))


@dataclass(frozen=True, eq=False)
class Space:
    """Numbers in which a network may see motion.

    Attributes:
        clips: of these numbers (T, J, D), as networks see them; where nobody was detected NaN, or filled in.
        measures: of such numbers; the keys of ``METRES``.
    """

    clips: Callable[[Sequence[PairedClip]], list[PairedClip]]
    measures: Mapping[str, Measure]


def positions() -> Space:
    """Return joints in metres, hip-centred, as the paired clips have them."""
    return Space(list, METRES)


def picture(bench: Bench) -> Space:
    """Return 2D keypoints from -1 to 1 over the picture, as the paper has them; measured in pixels.

    All pictures are taken to be as large as those of the first validation clip.

    Raises:
        ValueError: a file has no image points, or does not say how large its pictures are.
    """
    half = np.array(picture_size(bench, bench.validation[0])) / 2

    def clips(paired: Sequence[PairedClip]) -> list[PairedClip]:
        return [_mapped(clip, lambda points: points / half - 1) for clip in image_clips(bench, paired)]

    return Space(clips, _measured(PIXELS, lambda numbers: half * (numbers + 1)))


def rotations() -> dict[str, Space]:
    """Return what inverse kinematics makes of the joints, estimate and truth alike, in four forms by name.

    Rotations are those of 14 joints of one small skeleton, each by itself (see ``smpl_tools.inverse_kinematics``); an
    angle-axis is at most pi long and the real part of a quaternion not negative, wherever that makes them jump; of
    these two, gaps are filled. Joints are those of that skeleton, so all forms have the same errors before they are
    refined.
    """

    def in_form(encode: Callable[[Any], Any], decode: Callable[[Any], Any]) -> Space:
        def clips(paired: Sequence[PairedClip]) -> list[PairedClip]:
            # Gaps are filled before, since between numbers that jump there is no rotation to be had.
            filled = [replace(clip, estimate=raw(clip)) for clip in rotation_clips(paired)]
            return [_mapped(clip, lambda track: encode(rotation_6d_to_matrix(track))) for clip in filled]

        return Space(clips, _measured(METRES, lambda track: rotations_to_joints(decode(track))))

    def joints(paired: Sequence[PairedClip]) -> list[PairedClip]:
        turned = rotation_clips(paired)
        placed = [_mapped(clip, lambda track: rotations_to_joints(rotation_6d_to_matrix(track))) for clip in turned]
        return [replace(new, confidence=clip.confidence) for new, clip in zip(placed, paired, strict=True)]

    return {
        "angle-axis": in_form(matrix_to_axis_angle, axis_angle_to_matrix),
        "quaternion": in_form(matrix_to_quat_wxyz, quat_wxyz_to_matrix),
        "6D rotation": Space(
            rotation_clips, _measured(METRES, lambda track: rotations_to_joints(rotation_6d_to_matrix(track)))
        ),
        "3D position": Space(joints, METRES),
    }


def _mapped(clip: PairedClip, change: Callable[[Any], Any]) -> PairedClip:
    estimate, truth = (np.asarray(change(track), np.float32) for track in (clip.estimate, clip.groundtruth))
    return replace(clip, estimate=estimate, groundtruth=truth)


def _measured(measures: Mapping[str, Measure], decode: Callable[[Any], Any]) -> dict[str, Measure]:
    """Return measures of numbers from those of what ``decode`` makes of them."""

    def decoded(measure: Measure) -> Measure:
        return replace(measure, of=lambda output, truth, fps: measure.of(decode(output), decode(truth), fps))

    return {name: decoded(measure) for name, measure in measures.items()}
