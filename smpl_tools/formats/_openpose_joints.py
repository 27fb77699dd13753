"""Names of OpenPose's keypoints (OpenPose documentation, "Output", and the BODY_25B model of openpose_train)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


BODY_25 = _words(
    "Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist MidHip RHip RKnee RAnkle LHip LKnee LAnkle REye LEye "
    "REar LEar LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel"
)
BODY_25B = _words(
    "Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee RKnee LAnkle RAnkle "
    "UpperNeck HeadTop LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel"
)
COCO_18 = _words(
    "Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist RHip RKnee RAnkle LHip LKnee LAnkle REye LEye REar LEar"
)
_FINGERS = ("Thumb", "Index", "Middle", "Ring", "Pinky")
HAND = ("Wrist", *(f"{finger}{joint}" for finger in _FINGERS for joint in range(1, 5)))
FACE = tuple(f"Face{index}" for index in range(70))


def names(count: int, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ``known`` names if there are ``count`` of them, numbered names if not."""
    return known if len(known) == count else tuple(f"keypoint_{index}" for index in range(count))


def body_names(poses: NDArray[np.float64]) -> tuple[tuple[str, ...], str | None]:
    """Return the names of the keypoints of ``poses`` (P, K, 2), NaN where not seen, and a remark about the choice.

    Two layouts have 25 keypoints and no file says which it is. BODY_25's keypoint 8 is the middle of the hips 9 and
    12, BODY_25B's keypoint 17 lies near the middle of the shoulders 5 and 6: the one that fits better is taken.
    """
    count = poses.shape[1]
    if count == len(COCO_18):
        return COCO_18, None
    if count != len(BODY_25):
        return names(count, ()), f"{count} keypoints: not a layout whose names are known"
    hips = _off_middle(poses, 8, 9, 12)
    shoulders = _off_middle(poses, 17, 5, 6)
    if hips == shoulders:
        return BODY_25, "25 keypoints: taken as BODY_25, the poses do not tell it from BODY_25B"
    return BODY_25 if hips < shoulders else BODY_25B, None


def _off_middle(poses: NDArray[np.float64], middle: int, first: int, second: int) -> float:
    """Return the median distance in pixels of a keypoint from the middle of two others, inf where never seen."""
    offsets = poses[:, middle] - (poses[:, first] + poses[:, second]) / 2
    distances = np.linalg.norm(offsets[np.isfinite(offsets).all(axis=-1)], axis=-1)
    return float(np.median(distances)) if distances.size else float("inf")
