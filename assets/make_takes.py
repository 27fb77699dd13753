"""Make the takes of ``assets/takes`` from the reference data beside the repository (``make takes``).

``dance_smplh.npz`` is a clip of optical motion capture on the joints of SMPL-H with the errors of an estimator added,
``dance_smplh_truth.npz`` the same clip without them; ``reactidle_000.bvh`` is a piece of a real markerless capture,
its lines as they were. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.spatial.transform import Rotation

TAKES = Path(__file__).resolve().parent / "takes"
SHARED = Path(__file__).resolve().parents[2] / "shared"

# The 288 frames (12 s at 24 fps) of the recording in which the joints move and shake most.
BVH_FIRST, BVH_COUNT = 1912, 288
CLIP = "mdu_05_07"  # subject 05, modern dance, 596 frames at 60 fps

# Joints of SMPL-H in order, without its 30 finger joints: name, parent, joint of the clip's skeleton that turns it.
# A joint without one is left unturned relative to its parent.
BODY: tuple[tuple[str, int, str | None], ...] = (
    ("pelvis", -1, "Hips"),
    ("left_hip", 0, "LeftUpLeg"),
    ("right_hip", 0, "RightUpLeg"),
    ("spine1", 0, "LowerBack"),
    ("left_knee", 1, "LeftLeg"),
    ("right_knee", 2, "RightLeg"),
    ("spine2", 3, "Spine"),
    ("left_ankle", 4, "LeftFoot"),
    ("right_ankle", 5, "RightFoot"),
    ("spine3", 6, "Spine1"),
    ("left_foot", 7, "LeftToeBase"),
    ("right_foot", 8, "RightToeBase"),
    ("neck", 9, "Neck1"),
    ("left_collar", 9, "LeftShoulder"),
    ("right_collar", 9, "RightShoulder"),
    ("head", 12, "Head"),
    ("left_shoulder", 13, "LeftArm"),
    ("right_shoulder", 14, "RightArm"),
    ("left_elbow", 16, "LeftForeArm"),
    ("right_elbow", 17, "RightForeArm"),
    ("left_wrist", 18, None),
    ("right_wrist", 19, None),
)
FINGER_JOINTS = 30
# Where the limb after a joint points in SMPL's rest pose (a T pose facing +z, y up), and the next joint of the clip's
# skeleton, which says where it points there: that skeleton rests with its legs 20 degrees apart. The trunk, the
# collars and the toes rest alike in both.
REST = {
    "left_hip": ((0.1, -1.0, 0.0), "LeftLeg"),
    "right_hip": ((-0.1, -1.0, 0.0), "RightLeg"),
    "left_knee": ((-0.05, -1.0, -0.1), "LeftFoot"),
    "right_knee": ((0.05, -1.0, -0.1), "RightFoot"),
    "left_ankle": ((0.2, -0.4, 0.9), "LeftToeBase"),
    "right_ankle": ((-0.2, -0.4, 0.9), "RightToeBase"),
    "left_shoulder": ((1.0, 0.0, 0.0), "LeftForeArm"),
    "right_shoulder": ((-1.0, 0.0, 0.0), "RightForeArm"),
    "left_elbow": ((1.0, 0.0, 0.0), "LeftHand"),
    "right_elbow": ((-1.0, 0.0, 0.0), "RightHand"),
}

SEED = 20220808
JITTER_DEG, DRIFT_DEG, DRIFT_MEMORY = 1.5, 3.0, 0.9
SPIKE_RATE, SPIKE_DEG, SPIKE_FRAMES = 0.004, (12.0, 30.0), 3
LIMB_FACTOR = 1.5
TRANS_JITTER_M, TRANS_DRIFT_M = 0.006, 0.02


def clip_rotations(data: dict[str, NDArray]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the clip on SMPL's body joints: local rotations (T, 22, 3, 3) and pelvis (T, 3) in metres, Y up, 30 fps.

    The world rotation of every joint is that of the clip's joint times a constant that turns the limb's rest direction
    in SMPL into its rest direction in the clip's skeleton, so that the limbs point where they do in the clip.
    """
    quat_xyzw = data[f"{CLIP}/q"][::2].astype(np.float64) / 32767
    root = data[f"{CLIP}/root"][::2].astype(np.float64)
    skeleton = "skel/mdu_05"
    names = [str(n) for n in data[f"{skeleton}/names"]]
    world: list[Rotation] = []
    for joint, parent in enumerate(data[f"{skeleton}/parents"]):
        local = Rotation.from_quat(quat_xyzw[:, joint])
        world.append(local if parent < 0 else world[parent] * local)

    turned: list[Rotation] = []
    alignment: list[Rotation] = []
    local_matrices = []
    for name, parent, source in BODY:
        if name in REST:
            direction, following = REST[name]
            align = _shortest_turn(np.array(direction), data[f"{skeleton}/offsets"][names.index(following)])
        else:
            align = alignment[parent] if name.endswith(("_foot", "_wrist")) else Rotation.identity()
        alignment.append(align)
        turned.append(turned[parent] if source is None else world[names.index(source)] * align)
        local = turned[-1] if parent < 0 else turned[parent].inv() * turned[-1]
        local_matrices.append(local.as_matrix())
    return np.stack(local_matrices, axis=1), root


def _shortest_turn(start: NDArray, end: NDArray) -> Rotation:
    """Return the rotation about the common normal of two directions (3,) that turns the first into the second."""
    axis = np.cross(start, end)
    angle = np.arctan2(np.linalg.norm(axis), start @ end)
    return Rotation.from_rotvec(axis / max(float(np.linalg.norm(axis)), 1e-12) * angle)


def estimator_errors(frames: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what an estimator adds: rotation vectors (T, 22, 3) in radians and a shift of the root (T, 3) in metres.

    Each is white noise (jitter) plus a first-order autoregressive one (drift, which keeps ``DRIFT_MEMORY`` of itself a
    frame); single joints are far off for one to ``SPIKE_FRAMES`` frames. Knees, ankles, elbows and wrists err more.
    """
    joints = len(BODY)

    def wander(shape: tuple[int, ...]) -> NDArray[np.float64]:
        # The input has the standard deviation that makes the output's one.
        white = rng.standard_normal((frames, *shape)) * np.sqrt(1 - DRIFT_MEMORY**2)
        white[0] /= np.sqrt(1 - DRIFT_MEMORY**2)
        return np.asarray(lfilter([1.0], [1.0, -DRIFT_MEMORY], white, axis=0))

    # Standard deviations are those of the whole angle, hence the square root of its three components.
    turn = np.deg2rad(JITTER_DEG) / np.sqrt(3) * rng.standard_normal((frames, joints, 3))
    turn += np.deg2rad(DRIFT_DEG) / np.sqrt(3) * wander((joints, 3))
    limbs = [name.endswith(("_knee", "_ankle", "_elbow", "_wrist")) for name, _, _ in BODY]
    turn[:, limbs] *= LIMB_FACTOR
    for frame, joint in np.argwhere(rng.random((frames, joints)) < SPIKE_RATE):
        axis = rng.standard_normal(3)
        length = rng.integers(1, SPIKE_FRAMES + 1)
        angle = np.deg2rad(rng.uniform(*SPIKE_DEG))
        turn[frame : frame + length, joint] += axis / np.linalg.norm(axis) * angle
    shift = TRANS_JITTER_M * rng.standard_normal((frames, 3)) + TRANS_DRIFT_M * wander((3,))
    return turn, shift


def smplh_arrays(local: NDArray[np.float64], root: NDArray[np.float64]) -> dict[str, NDArray]:
    """Return the arrays of an AMASS SMPL-H file: rotations (T, 22, 3, 3) and pelvis (T, 3), both Y up, become Z up."""
    to_z_up = Rotation.from_euler("x", 90, degrees=True)
    frames = len(local)
    poses = np.zeros((frames, len(BODY) + FINGER_JOINTS, 3))
    for joint in range(len(BODY)):
        rotation = Rotation.from_matrix(local[:, joint])
        poses[:, joint] = (to_z_up * rotation if joint == 0 else rotation).as_rotvec()
    return {
        "poses": poses.reshape(frames, -1).astype(np.float32),
        "trans": to_z_up.apply(root).astype(np.float32),
        "betas": np.zeros(16, np.float32),
        "dmpls": np.zeros((frames, 8), np.float32),
        "gender": np.array("neutral"),
        "mocap_framerate": np.array(30.0),
    }


def smplh_takes(data: dict[str, NDArray]) -> dict[str, dict[str, NDArray]]:
    """Return the arrays of the two SMPL-H takes by file name."""
    local, root = clip_rotations(data)
    turn, shift = estimator_errors(len(local), np.random.default_rng(SEED))
    return {
        "dance_smplh_truth.npz": smplh_arrays(local, root),
        "dance_smplh.npz": smplh_arrays(
            local @ Rotation.from_rotvec(turn.reshape(-1, 3)).as_matrix().reshape(local.shape), root + shift
        ),
    }


def bvh_take(recording: bytes) -> bytes:
    """Return ``BVH_COUNT`` frames of a BVH file from ``BVH_FIRST`` on; only the number of frames is written anew."""
    lines = recording.splitlines(keepends=True)
    count = next(i for i, line in enumerate(lines) if line.startswith(b"Frames:"))
    first = count + 2 + BVH_FIRST
    words = lines[count].replace(lines[count].split()[1], str(BVH_COUNT).encode())
    return b"".join([*lines[:count], words, lines[count + 1], *lines[first : first + BVH_COUNT]])


def write_npz(path: Path, arrays: dict[str, NDArray]) -> None:
    """Write a compressed ``.npz`` whose members carry a fixed date, as ``numpy.savez`` dates them with today's."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED, 9)


def make(shared: Path, folder: Path) -> list[Path]:
    """Write the takes and the licences of their sources into ``folder``; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    recording = shared / "data" / "real" / "reactidle"
    with np.load(shared / "data" / "cmu" / "cmu_train.npz") as data:
        takes = smplh_takes({k: data[k] for k in data.files if k.startswith((f"{CLIP}/", "skel/mdu_05/"))})
    for name, arrays in takes.items():
        write_npz(folder / name, arrays)
    (folder / "reactidle_000.bvh").write_bytes(bvh_take((recording / "000_genuine.bvh").read_bytes()))
    (folder / "reactidle_000.LICENSE.txt").write_bytes((recording / "LICENSE.txt").read_bytes())
    return [folder / name for name in (*takes, "reactidle_000.bvh", "reactidle_000.LICENSE.txt")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the takes of assets/takes from the reference data.")
    parser.add_argument("--shared", type=Path, default=SHARED, help="the folder of reference data")
    parser.add_argument("--folder", type=Path, default=TAKES, help="where to write")
    options = parser.parse_args()
    for path in make(options.shared, options.folder):
        print(f"{path} ({path.stat().st_size} bytes)")
