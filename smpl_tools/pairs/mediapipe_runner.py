"""MediaPipe Pose as an estimator's command; run by the Python of MediaPipe's own environment, not by this package's.

    python mediapipe_runner.py FRAMES OUTPUT.npz MODE FPS

Needs MediaPipe 0.10.21, which carries its models, and what that installs; nothing of this package, no network.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

# Nose, then left and right shoulder, elbow, wrist, hip, knee, ankle, foot index among MediaPipe's 33 landmarks.
LANDMARKS = (0, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28, 31, 32)
MODES: dict[str, dict[str, bool]] = {
    "static": {"static_image_mode": True},
    "video": {"static_image_mode": False, "smooth_landmarks": False},
    "video smoothed": {"static_image_mode": False, "smooth_landmarks": True},
}


def main(frames: str, output: str, mode: str, fps: str) -> None:
    """Run the estimator on a folder of pictures and write what it found.

    MediaPipe's smoothing takes 30 frames a second for granted, whatever ``fps`` says.
    """
    del fps
    mediapipe: Any = importlib.import_module("mediapipe")
    pictures = sorted(Path(frames).iterdir())
    est_3d = np.full((len(pictures), len(LANDMARKS), 3), np.nan, np.float32)
    est_2d = np.full((len(pictures), len(LANDMARKS), 2), np.nan, np.float32)
    visibility = np.full((len(pictures), len(LANDMARKS)), np.nan, np.float32)
    with mediapipe.solutions.pose.Pose(model_complexity=1, **MODES[mode]) as pose:
        for row, path in enumerate(pictures):
            picture = mediapipe.Image.create_from_file(str(path)).numpy_view()
            height, width = picture.shape[:2]
            found = pose.process(np.ascontiguousarray(picture[..., :3]))
            if found.pose_landmarks is None:
                continue
            world, image = found.pose_world_landmarks.landmark, found.pose_landmarks.landmark
            est_3d[row] = [(world[k].x, world[k].y, world[k].z) for k in LANDMARKS]
            est_2d[row] = [(image[k].x * width, image[k].y * height) for k in LANDMARKS]
            visibility[row] = [image[k].visibility for k in LANDMARKS]
    np.savez(output, est_3d=est_3d, est_2d=est_2d, visibility=visibility)


if __name__ == "__main__":
    main(*sys.argv[1:])
