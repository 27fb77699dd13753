"""How near to the truth a take comes by Refine Motion, and by Blender's own smoothing of the same keys.

    python benchmarks/blender_accuracy.py FOLDER [--quick]

run by a Python that has the ``bpy`` module; FOLDER holds ``cmu/cmu_train.npz`` and ``paired/``. Clips of optical
capture are keyed onto an armature, a key a frame at 30 frames a second, rotations as quaternions or Euler angles, and
disturbed:

- ``jitter``: white noise, drift and spikes on all rotations, white noise and drift on the root's path;
- ``mediapipe``: errors that MediaPipe made on rendered people (``paired/``), each mode of it by itself, laid over the
  clip: by how much they turn the bones of a small skeleton that points as the joints show, the bones of the armature
  are turned; the root's path as before.

Refine Motion runs with its default settings. Butterworth and Gaussian of the graph editor run on all keys, with the
settings that did best on clips of the subjects ``TUNED_ON``, searched for each disturbance by itself, once for the
place of the joints, once for the angle of the bones. Numbers are means over clips of the subjects ``REPORTED_ON``,
which neither the network ``default`` nor the search has seen, with errors of people whom neither has seen.
World mm: mean distance of the bones' heads in the scene, the root's path included; PA mm: the same after the best
similarity transform of each frame; degrees: mean angle between the bones' rotation channels. Speed and jitter are
ratios to the truth's (1: as the truth).
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bpy

import blender_addon
from blender_addon.animation.curves import CurveKey, bone_path
from blender_addon.animation.quaternions import angle_between
from blender_addon.animation.rotation_modes import channel_name, from_quat_wxyz
from blender_addon.bridge import armatures, keyframes
from blender_addon.rigs.pose_channels import linear_sampler, sample_pose
from blender_addon.rigs.posing import world_positions
from smoothnet_core import metrics
from smoothnet_core.training.batches import Pair
from smoothnet_core.training.estimator_errors import seen_by_camera, transplanted
from smpl_tools.inverse_kinematics import JOINTS, SKELETON, TURNING, joints_to_rotations
from smpl_tools.motion import Motion
from smpl_tools.pairs.landmarks import landmarks
from smpl_tools.sources import as_pair, read_paired
from smpl_tools.sources.clean import NO_BODY, clean_motions

Array = NDArray[np.float64]

TUNED_ON = ("02", "05", "12", "35", "60", "01", "127")
REPORTED_ON = ("85", "94")
FPS = 30.0
TAKES, SHORTEST, LONGEST = 2, 60, 240
# Degrees of jitter and drift, how much of itself drift keeps a frame, share of frames and degrees of spikes; metres of
# jitter and drift of the root.
JITTER, DRIFT, MEMORY, SPIKES, SPIKE = 1.5, 3.0, 0.9, 0.004, (12.0, 30.0)
ROOT_JITTER, ROOT_DRIFT = 0.006, 0.02
DISTURBANCES = ("jitter", "mediapipe static", "mediapipe video", "mediapipe video smoothed")
MODES = ("QUATERNION", "XYZ")

# What the graph editor is asked for. Blender measures a Gaussian's sigma in shares of its width.
BUTTERWORTH = [
    {"cutoff_frequency": cutoff, "filter_order": order}
    for cutoff, order in itertools.product((1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0), (1, 2, 4, 8))
]
GAUSSIAN = [
    {"sigma": sigma, "filter_width": width, "factor": 1.0}
    for sigma, width in itertools.product((0.33, 0.5, 1.0), (2, 3, 4, 5, 6, 8, 10, 13, 16))
]
SEARCHED = {"butterworth": BUTTERWORTH, "gaussian": GAUSSIAN}
ERRORS = ("world mm", "degrees")

# Joints that turn the small skeleton's bones, by the names of the capture's rigs.
_NAMES = {
    "chest": "spine1|chest|thorax",
    "neck": "neck|lowerneck",
    "hip": "upleg|thigh|femur|hip",
    "knee": "leg|shin|tibia|knee",
    "ankle": "foot|ankle",
    "shoulder": "arm|shldr|humerus|shoulder",
    "elbow": "forearm|radius|elbow",
}


@dataclass(frozen=True, eq=False)
class Clip:
    """A captured motion at 30 frames a second.

    Attributes:
        name: of the clip.
        joints: J names.
        parents: (J,).
        offsets: (J, 3) metres, Y up.
        local: (T, J, 3, 3).
        root: (T, 3).
        points: (T, 15, 3) metres: the joints of paired files.
    """

    name: str
    joints: tuple[str, ...]
    parents: NDArray[np.int64]
    offsets: Array
    local: Array
    root: Array
    points: Array


def clips_of(folder: Path, subjects: Sequence[str], takes: int = TAKES) -> Iterator[Clip]:
    """Yield so many takes of each subject, those of SHORTEST frames or more, cut to LONGEST."""
    found: dict[str, list[Clip]] = defaultdict(list)
    for subject, motion in clean_motions(folder / "cmu" / "cmu_train.npz"):
        if subject in subjects and (clip := _clip(motion)) is not None:
            found[subject].append(clip)
    for own in found.values():
        yield from own[:: max(1, len(own) // takes)][:takes]


def _clip(motion: Motion) -> Clip | None:
    person, skeleton = motion.people[0], motion.skeleton
    assert skeleton is not None
    assert motion.fps is not None
    step = round(motion.fps / FPS)
    tracks = person.tracks
    turned = np.concatenate([tracks["global_orient"].values, tracks["body_pose"].values], axis=1)[::step]
    if len(turned) < SHORTEST:
        return None
    points = _points(motion)
    kept = [j for j, name in enumerate(skeleton.joints) if not NO_BODY.search(name)]
    count = min(len(turned), len(points), LONGEST)
    return Clip(
        str(motion.path),
        tuple(skeleton.joints[j] for j in kept),
        np.array([kept.index(p) if p >= 0 else -1 for p in skeleton.parents[kept]]),
        skeleton.offsets[kept],
        turned[:count, kept],
        tracks["transl"].values[::step, 0][:count],
        points[:count],
    )


def _points(motion: Motion) -> Array:
    found = landmarks(motion, motion.people[0], FPS)
    nose = found.points["neck"] + 0.18 * found.head[..., 1] + 0.12 * found.head[..., 2]
    rest = [found.points[name.replace("foot_index", "toe")] for name in JOINTS[1:]]
    return np.stack([nose, *rest], axis=1)


# What is done to a clip: local rotations (T, J, 3, 3) and root (T, 3).
Disturb = Callable[[Clip, np.random.Generator], tuple[Array, Array]]


def jittered(clip: Clip, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return a clip with white noise, drift and spikes on all rotations."""
    shape = clip.local.shape[:2]
    vectors = np.radians(JITTER) / np.sqrt(3) * rng.standard_normal((*shape, 3))
    vectors += np.radians(DRIFT) / np.sqrt(3) * _wander(rng, (*shape, 3))
    for frame, joint in np.argwhere(rng.random(shape) < SPIKES):
        axis = rng.standard_normal(3)
        axis *= np.radians(rng.uniform(*SPIKE)) / np.linalg.norm(axis)
        vectors[frame : frame + rng.integers(1, 4), joint] += axis
    turns = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(*shape, 3, 3)
    return clip.local @ turns, _shaken(clip.root, rng)


def estimated(pairs: Sequence[Pair]) -> Disturb:
    """Return what lays the errors of one of some pairs over a clip."""

    def disturb(clip: Clip, rng: np.random.Generator) -> tuple[Array, Array]:
        pair = pairs[int(rng.integers(len(pairs)))]
        hips = [JOINTS.index(f"{side}_hip") for side in ("left", "right")]
        truth = seen_by_camera(rng, clip.points, hips)
        estimate, _, _ = transplanted(rng, pair, truth)
        # Both in the camera's axes; what turns one into the other there, in the scene's axes.
        wrong = _turned(estimate.astype(np.float64)) @ np.swapaxes(_turned(truth), -1, -2)
        flat = clip.points - clip.points[:, hips].mean(axis=1, keepdims=True)
        camera = np.linalg.lstsq(flat.reshape(-1, 3), truth.reshape(-1, 3), rcond=None)[0].T
        wrong = camera.T @ wrong @ camera
        return _with_errors(clip, wrong), _shaken(clip.root, rng)

    return disturb


def _turned(points: Array) -> Array:
    """Return (T, 14, 3, 3) how the small skeleton's bones are turned in the axes of joints (T, 15, 3)."""
    turned = joints_to_rotations(points)
    for j, parent in enumerate(SKELETON.parents[: len(TURNING)]):
        if parent >= 0:
            turned[:, j] = turned[:, parent] @ turned[:, j]
    return turned


def _with_errors(clip: Clip, wrong: Array) -> Array:
    """Return local rotations (T, J, 3, 3) of joints turned by (T, 14, 3, 3) in the scene, others with their parent."""
    source = [_turning(name) for name in clip.joints]
    source[0] = "pelvis"
    turned, error, local = clip.local.copy(), np.empty_like(clip.local), clip.local.copy()
    for j, parent in enumerate(clip.parents):
        if source[j]:
            error[:, j] = wrong[:, TURNING.index(source[j])]
        elif parent >= 0:
            error[:, j] = error[:, parent]
        if parent < 0:
            local[:, j] = error[:, j] @ clip.local[:, j]
            continue
        turned[:, j] = turned[:, parent] @ clip.local[:, j]
        back = np.swapaxes(error[:, parent] @ turned[:, parent], -1, -2)
        local[:, j] = back @ error[:, j] @ turned[:, j]
    return local


def _turning(joint: str) -> str:
    """Return the name that a joint of a rig has among ``TURNING``; empty for others."""
    name = joint.lower()
    middle = next((own for own in ("chest", "neck") if re.fullmatch(_NAMES[own], name)), "")
    side = re.match("left_?|right_?|l|r", name)
    if middle or side is None:
        return middle
    base = name[side.end() :]
    limb = next((own for own in TURNING if "_" in own and re.fullmatch(_NAMES[own.split("_")[1]], base)), "")
    return f"{'left' if name[0] == 'l' else 'right'}_{limb.split('_')[1]}" if limb else ""


def _wander(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    shaken = rng.standard_normal(shape) * np.sqrt(1 - MEMORY**2)
    shaken[0] /= np.sqrt(1 - MEMORY**2)
    return np.asarray(lfilter([1.0], [1.0, -MEMORY], shaken, axis=0))


def _shaken(path: Array, rng: np.random.Generator) -> Array:
    return path + ROOT_JITTER * rng.standard_normal(path.shape) + ROOT_DRIFT * _wander(rng, path.shape)


class Stage:
    """An armature for a clip, and the keys on it, in a new file."""

    def __init__(self, clip: Clip, mode: str) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        scene = bpy.context.scene
        scene.render.fps = round(FPS)
        self.clip, self.mode = clip, mode
        self.armature = _armature(clip)
        for bone in self.armature.pose.bones:
            bone.rotation_mode = mode
        self.rig = armatures.read_rig(self.armature)
        self.rests = np.array([np.array(self.armature.data.bones[name].matrix_local)[:3, :3] for name in clip.joints])
        self.order = [self.rig.names.index(name) for name in clip.joints]
        self.frames = np.arange(1.0, len(clip.root) + 1)
        self.truth = self.key(clip.local, clip.root)

    def key(self, local: Array, root: Array) -> tuple[Array, Array]:
        """Key a motion in a new action, which the armature plays; return its pose as :meth:`pose` does."""
        for action in list(bpy.data.actions):
            bpy.data.actions.remove(action)
        source = keyframes.make(self.armature, "Take")
        keyframes.assign(self.armature, source)
        turns = np.swapaxes(self.rests, -1, -2) @ local @ self.rests
        xyzw = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_quat().reshape(*turns.shape[:2], 4)
        values = from_quat_wxyz(xyzw[..., [3, 0, 1, 2]], self.mode)
        for j, name in enumerate(self.clip.joints):
            path = bone_path(name, channel_name(self.mode))
            for index in range(values.shape[2]):
                keyframes.replace_keys(source, CurveKey(path, index), self.frames, values[:, j, index], group=name)
        place = (root - self.clip.offsets[0]) @ self.rests[0]
        for index in range(3):
            key = CurveKey(bone_path(self.clip.joints[0], "location"), index)
            keyframes.replace_keys(source, key, self.frames, place[:, index])
        return self.pose()

    def pose(self) -> tuple[Array, Array]:
        """Return heads (T, J, 3) in the scene and rotation channels (T, J, 4) as quat_wxyz of what is played now."""
        source = keyframes.active_source(self.armature)
        assert source is not None
        sampler = linear_sampler(keyframes.read_curves(source, marks=False), self.frames)
        pose = sample_pose(self.rig.names, armatures.rest_channels(self.armature), sampler, len(self.frames))
        return world_positions(self.rig, *pose)[:, self.order], pose.quats[:, self.order]

    def scores(self) -> dict[str, float]:
        """Return how far what is played now is from the truth."""
        heads, quats = self.pose()
        true_heads, true_quats = self.truth
        return {
            "world mm": metrics.mean(metrics.mpjpe(heads, true_heads)),
            "PA mm": metrics.mean(metrics.pa_mpjpe(heads, true_heads)),
            "degrees": float(np.degrees(angle_between(quats, true_quats)).mean()),
            "speed": metrics.speed_ratio(heads, true_heads),
            "jitter": metrics.jitter_ratio(heads, true_heads),
        }

    def smoothed(self, name: str, settings: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
        """Return the scores of Blender's own smoothing of all keys with each of some settings; the keys stay."""
        source = keyframes.active_source(self.armature)
        assert source is not None
        before = {curve.key: curve.values for curve in keyframes.read_curves(source, marks=False)}
        found = []
        for setting in settings:
            smooth(source, name, setting)
            found.append(self.scores())
            keyframes.write_values(source, before)
        return found

    def refined(self) -> dict[str, float]:
        """Return the scores of Refine Motion with its default settings."""
        assert bpy.ops.smoothnet.refine() == {"FINISHED"}
        return self.scores()


def smooth(source: keyframes.Source, name: str, setting: dict[str, Any]) -> None:
    """Run an operator of the graph editor (``butterworth`` or ``gaussian``) on all keys of the active object."""
    from blender_addon.bridge.actions import holder

    for curve in holder(source).fcurves:
        curve.select = True
        curve.keyframe_points.foreach_set("select_control_point", np.ones(len(curve.keyframe_points), bool))
    window = bpy.context.window_manager.windows[0]
    # Without a window's size the largest area still is one, and any area can become a graph editor.
    area = max(window.screen.areas, key=lambda area: area.width * area.height)
    area.type = "GRAPH_EDITOR"
    area.spaces.active.dopesheet.show_only_selected = False
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        assert getattr(bpy.ops.graph, f"{name}_smooth")(**setting) == {"FINISHED"}


def _armature(clip: Clip) -> Any:
    data = bpy.data.armatures.new("Actor")
    obj = bpy.data.objects.new("Actor", data)
    # The capture has Y up, the scene Z.
    obj.rotation_euler = (np.pi / 2, 0.0, 0.0)
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    bpy.ops.object.mode_set(mode="EDIT")
    heads = clip.offsets.copy()
    for j, (name, parent) in enumerate(zip(clip.joints, clip.parents.tolist(), strict=True)):
        bone = data.edit_bones.new(name)
        if parent >= 0:
            heads[j] += heads[parent]
            bone.parent = data.edit_bones[parent]
        child = next((k for k in np.flatnonzero(clip.parents == j) if np.linalg.norm(clip.offsets[k]) > 0.01), None)
        along = clip.offsets[j] if child is None else clip.offsets[child]
        bone.head = heads[j]
        bone.tail = heads[j] + (along if np.linalg.norm(along) > 0.01 else np.array([0.0, 0.1, 0.0]))
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.context.view_layer.update()
    return obj


def pairs_of(folder: Path, splits: Sequence[str]) -> dict[str, Disturb]:
    """Return by name the disturbances, those of the estimator with the errors of some splits of the paired set."""
    pairs: dict[str, list[Pair]] = defaultdict(list)
    for clip in read_paired(folder / "paired", splits):
        if clip.detected.all() and len(clip.estimate) >= LONGEST:
            pairs[clip.mode].append(as_pair(clip))
    return {"jitter": jittered, **{f"mediapipe {mode}": estimated(own) for mode, own in pairs.items()}}


def search(clips: Sequence[Clip], disturb: Disturb, mode: str) -> dict[str, dict[str, Any]]:
    """Return for each ``NAME, tuned for ERROR`` the operator, the setting and what it reached on the clips."""
    sums: dict[str, list[list[dict[str, float]]]] = {name: [] for name in SEARCHED}
    for number, clip in enumerate(clips):
        stage = Stage(clip, mode)
        stage.key(*disturb(clip, np.random.default_rng([1, number])))
        for name, settings in SEARCHED.items():
            sums[name].append(stage.smoothed(name, settings))
    found: dict[str, dict[str, Any]] = {}
    for error in ERRORS:
        for name, settings in SEARCHED.items():
            reached = np.mean([[scores[error] for scores in of_clip] for of_clip in sums[name]], axis=0)
            best = int(reached.argmin())
            found[f"{name}, tuned for {error}"] = {"operator": name, "setting": settings[best], error: reached[best]}
    return found


def compare(
    clips: Sequence[Clip], disturb: Disturb, mode: str, rivals: dict[str, dict[str, Any]]
) -> list[dict[str, dict[str, float]]]:
    """Return for each clip the scores of ``disturbed``, the rivals and ``refined``."""
    found = []
    for number, clip in enumerate(clips):
        stage = Stage(clip, mode)
        stage.key(*disturb(clip, np.random.default_rng([2, number])))
        scores = {"disturbed": stage.scores()}
        for title, rival in rivals.items():
            scores[title] = stage.smoothed(rival["operator"], [rival["setting"]])[0]
        scores["refined"] = stage.refined()
        found.append(scores)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="two clips of each kind, jitter alone, quaternions alone")
    options = parser.parse_args()
    learning = list(
        clips_of(options.folder, TUNED_ON[:2] if options.quick else TUNED_ON, 1 if options.quick else TAKES)
    )
    tested = list(clips_of(options.folder, REPORTED_ON, 1 if options.quick else 6))
    at_training, at_test = pairs_of(options.folder, ("train",)), pairs_of(options.folder, ("val",))
    print(f"{len(learning)} clips for the search, {len(tested)} held out, bpy {bpy.app.version_string}", flush=True)
    for name in DISTURBANCES[: 1 if options.quick else None]:
        for mode in MODES[: 1 if options.quick else None]:
            rivals = search(learning, at_training[name], mode)
            _print(name, mode, compare(tested, at_test[name], mode, rivals), rivals)


def _print(name: str, mode: str, found: list[dict[str, dict[str, float]]], rivals: dict[str, dict[str, Any]]) -> None:
    columns = list(found[0]["refined"])
    print(f"\n{name}, {mode}\n\n| | {' | '.join(columns)} | refined is nearer, of {len(found)}: mm | degrees |")
    print("|---|" + "--:|" * (len(columns) + 2))
    for title in found[0]:
        means = [f"{np.mean([scores[title][column] for scores in found]):.2f}" for column in columns]
        wins = [sum(scores["refined"][e] < scores[title][e] for scores in found) for e in ERRORS]
        told = ["", ""] if title == "refined" else list(map(str, wins))
        setting = ", ".join(f"{v:g}" for v in rivals[title]["setting"].values()) if title in rivals else ""
        print(f"| {title}{f' ({setting})' if setting else ''} | {' | '.join([*means, *told])} |", flush=True)


if __name__ == "__main__":
    blender_addon.register()
    try:
        main()
    finally:
        blender_addon.unregister()
