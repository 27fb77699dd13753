"""How exact rotations are after their frame rate was changed and changed back, by way of interpolation.

    python benchmarks/frame_rate.py FOLDER

FOLDER holds ``cmu/cmu_train.npz``. Its clips of 60 frames a second go to 30, as every second frame or low-passed first
as :mod:`smpl_tools.resampling` does, and back up to 60. Prints the mean and median angle to the clip's own rotations in
degrees, the mean distance of joints from the clip's in mm (the root held), and of their accelerations in m/s^2. With
every second frame the angle is that of the frames between.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, RotationSpline

from smpl_tools import rotations as rot
from smpl_tools.kinematics import slerp
from smpl_tools.resampling import resample_rotations
from smpl_tools.skeleton import positions
from smpl_tools.sources.clean import clean_motions

Array = NDArray[np.float64]

FPS = 60.0
NOISE = 0.02


def spherical(slow: Array) -> Array:
    return slerp(np.arange(len(slow)), slow, np.arange(2 * len(slow) - 1) / 2)


def squad(slow: Array) -> Array:
    """Spherical quadrangle interpolation (K. Shoemake, SIGGRAPH course notes 1987)."""
    turned = slow.swapaxes(-1, -2)
    bent = slow.copy()
    ahead = rot.matrix_to_axis_angle(turned[1:-1] @ slow[2:])
    behind = rot.matrix_to_axis_angle(turned[1:-1] @ slow[:-2])
    bent[1:-1] = slow[1:-1] @ rot.axis_angle_to_matrix(-(ahead + behind) / 4)
    half = np.full(slow[1:].shape[:-2], 0.5)
    result = np.repeat(slow, 2, axis=0)[:-1]
    outer, inner = rot.interpolate(slow[:-1], slow[1:], half), rot.interpolate(bent[:-1], bent[1:], half)
    result[1::2] = rot.interpolate(outer, inner, half)
    return result


def rotation_spline(slow: Array) -> Array:
    times = np.arange(len(slow))
    at = np.arange(2 * len(slow) - 1) / 2
    joints = [RotationSpline(times, Rotation.from_matrix(joint))(at).as_matrix() for joint in slow.swapaxes(0, 1)]
    return np.stack(joints, axis=1)


def cubic(slow: Array) -> Array:
    return np.asarray(resample_rotations(slow, FPS / 2, FPS))


WAYS: dict[str, Callable[[Array], Array]] = {
    "slerp": spherical,
    "squad": squad,
    "RotationSpline": rotation_spline,
    "cubic quaternions": cubic,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    rng = np.random.default_rng(0)
    errors: dict[tuple[str, str], list[tuple[Array, Array, Array]]] = {}
    clips = 0
    for _, motion in clean_motions(folder / "cmu" / "cmu_train.npz"):
        if motion.fps != FPS or motion.skeleton is None:
            continue
        clips += 1
        tracks = motion.people[0].tracks
        truth = np.concatenate([tracks["global_orient"].values, tracks["body_pose"].values], axis=1).astype(float)
        truth = truth[: len(truth) - (len(truth) + 1) % 2]
        noise = rot.axis_angle_to_matrix(rng.normal(0, NOISE, (*truth[::2].shape[:2], 3)))
        slow = {
            "every second frame": truth[::2],
            "low-passed": np.asarray(resample_rotations(truth, FPS, FPS / 2)),
            f"every second frame, noise of {NOISE} rad": truth[::2] @ noise,
        }
        still = np.zeros((len(truth), 3))
        where = positions(truth, still, motion.skeleton)
        for start, rotations in slow.items():
            for name, way in WAYS.items():
                found = way(rotations)
                angle = rot.geodesic_angle(found, truth)[slice(None) if start == "low-passed" else slice(1, None, 2)]
                off = positions(found, still, motion.skeleton) - where
                bent = np.linalg.norm(np.diff(off, 2, axis=0), axis=-1) * FPS**2
                errors.setdefault((start, name), []).append((angle, np.linalg.norm(off, axis=-1), bent))
    print(f"{clips} clips")
    print("| to 30 | back by | angle deg | median deg | joints mm | acceleration m/s^2 |\n|---|---|---|---|---|---|")
    for (start, name), parts in errors.items():
        angle, off, bent = (np.concatenate([np.ravel(p[k]) for p in parts]) for k in range(3))
        print(
            f"| {start} | {name} | {np.rad2deg(angle.mean()):.4f} | {np.rad2deg(np.median(angle)):.4f} "
            f"| {off.mean() * 1000:.3f} | {bent.mean():.2f} |"
        )


if __name__ == "__main__":
    main()
