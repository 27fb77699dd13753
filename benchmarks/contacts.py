"""How well foot contacts are found in noisy motion, and what keeping planted feet in place costs and brings.

    python benchmarks/contacts.py FOLDER [--tuned-on]

FOLDER holds ``cmu/cmu_train.npz`` and ``paired/``. The truth comes from clean optical capture by a rule of its own, see
:func:`true_contacts`. Noisy copies: white noise on joint positions; errors of an estimator drawn from a model fitted to
MediaPipe's on the paired training clips, laid over 15 joints in the world; white noise, drift and spikes on the
rotations of a skeleton and on the path of its root. Each is refined by the network ``default``, the estimator's also by
``body``. Contacts are found in
the noisy copy and in the refined one, and kept in the refined one. The thresholds of the detector were chosen on the
subjects ``TUNED_ON``; numbers are of ``REPORTED_ON``, unless the option asks for the others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfiltfilt
from scipy.spatial.transform import Rotation

from smoothnet_core import metrics, refine
from smoothnet_core.training.estimator_errors import ErrorModel, fit_errors
from smpl_tools.contacts.detection import contacts, foot_slide
from smpl_tools.contacts.feet import WholeLeg, foot_points, whole_legs
from smpl_tools.contacts.keeping import keep_contacts, keep_contacts_positions
from smpl_tools.motion import Motion, Skeleton
from smpl_tools.pairs.landmarks import landmarks
from smpl_tools.skeleton import positions
from smpl_tools.sources import as_pair, read_paired
from smpl_tools.sources.clean import clean_motions

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

TUNED_ON = ("02", "05", "12", "61", "94", "09", "127")
REPORTED_ON = ("01", "06", "08", "10", "26", "32", "35", "60", "13", "85")
TAKES, SHORTEST, LONGEST = 6, 90, 900
WHITE = (0.005, 0.01, 0.02)
# Rotations: degrees of jitter and drift, how much of itself drift keeps a frame at 30 a second, rate and degrees of
# spikes; metres of jitter and drift of the root.
JITTER, DRIFT, MEMORY, SPIKES, SPIKE = 1.5, 3.0, 0.9, 0.004, (12.0, 30.0)
ROOT_JITTER, ROOT_DRIFT = 0.006, 0.02
# The truth.
CUTOFF, LOW, SLOW, GAP, SHORT = 8.0, 0.05, 0.2, 0.05, 0.1


# Titles of the columns, and how they are written.
TABLES = {
    "contacts found": {
        "in the noisy copy: precision": "{precision_given:.3f}",
        "recall": "{recall_given:.3f}",
        "F1": "{F1_given:.3f}",
        "in the refined one: precision ": "{precision_refined:.3f}",
        "recall ": "{recall_refined:.3f}",
        "F1 ": "{F1_refined:.3f}",
        "kept: precision  ": "{precision_kept:.3f}",
        "recall  ": "{recall_kept:.3f}",
    },
    "slide, mm/s": {
        "clean": "{slide_clean:.0f}",
        "noisy": "{slide_given:.0f}",
        "refined": "{slide_refined:.0f}",
        "kept": "{slide_kept:.0f}",
    },
    "cost": {
        "MPJPE mm: noisy": "{mpjpe_given:.1f}",
        "refined": "{mpjpe_refined:.1f}",
        "kept": "{mpjpe_kept:.1f}",
        "Accel mm/frame²: refined ": "{accel_refined:.2f}",
        "kept ": "{accel_kept:.2f}",
        "change": "{accel_change}",
        "of legs: refined  ": "{leg_accel_refined:.2f}",
        "kept  ": "{leg_accel_kept:.2f}",
        "pelvis": "{pelvis:.2f}",
        "knees °/s: clean": "{knee_clean:.0f}",
        "refined   ": "{knee_refined:.0f}",
        "kept   ": "{knee_kept:.0f}",
        "flips": "{flips:.0f}",
    },
}


@dataclass(frozen=True, eq=False)
class Take:
    """A clean motion: positions (T, J, 3) in metres, Y up; with a skeleton, what they come from."""

    name: str
    fps: float
    joints: tuple[str, ...]
    clean: Array
    skeleton: Skeleton | None = None
    rotations: Array | None = None
    transl: Array | None = None

    @property
    def legs(self) -> tuple[WholeLeg, ...]:
        return whole_legs(self.joints)


@dataclass(frozen=True, eq=False)
class Outcome:
    """One noisy copy: positions of what was given, refined and kept, contacts found, and the truth."""

    take: Take
    truth: Flags
    given: Array
    refined: Array
    kept: Array
    found_given: Flags
    found: Flags
    held: Flags


def true_contacts(x: Array, kinds: list[int], fps: float) -> Flags:
    """Return (T, F): where clean feet (T, F, 3) stand.

    Positions are low-passed at ``CUTOFF`` (Butterworth of order 2, both ways). A joint's floor is the 20 % quantile of
    its heights in frames in which it is slower than half of ``SLOW``, or for joints of one kind the lowest of theirs if
    they are more than 4 cm apart. It stands where it is at most ``LOW`` above that and at most as fast as ``SLOW``;
    gaps of up to ``GAP`` are closed, and contacts shorter than ``SHORT`` left out.
    """
    pad = min(len(x) - 1, round(fps))
    x = sosfiltfilt(butter(2, CUTOFF, fs=fps, output="sos"), x, axis=0, padlen=pad)
    speed = np.linalg.norm(np.gradient(x, axis=0), axis=-1) * fps
    height = x[..., 1]
    floors = []
    for h, v in zip(height.T, speed.T, strict=True):
        still = v < max(SLOW / 2, np.quantile(v, 0.05))
        floors.append(np.quantile(h[still], 0.2))
    for kind in set(kinds):
        own = [k for k, other in enumerate(kinds) if other == kind]
        lowest = min(floors[k] for k in own)
        for k in own:
            floors[k] = floors[k] if floors[k] < lowest + 0.04 else lowest
    standing = (height <= np.array(floors) + LOW) & (speed <= SLOW)
    for flags in standing.T:
        _switch_short(flags, False, GAP * fps)
        _switch_short(flags, True, SHORT * fps)
    return standing


def _switch_short(flags: Flags, value: bool, frames: float) -> None:
    edges = np.flatnonzero(np.diff(np.concatenate([[not value], flags, [not value]])))
    for start, stop in zip(edges[::2], edges[1::2], strict=False):
        if flags[start] == value and stop - start < frames and start > 0 and stop < len(flags):
            flags[start:stop] = not value


def motions(folder: Path, subjects: tuple[str, ...]) -> Iterator[Motion]:
    """Yield up to ``TAKES`` takes of each subject."""
    of: dict[str, list[Motion]] = {subject: [] for subject in subjects}
    for subject, motion in clean_motions(folder / "cmu" / "cmu_train.npz"):
        if subject in of and len(motion.people[0].frames) >= SHORTEST:
            of[subject].append(motion)
    for own in of.values():
        yield from own[:: max(1, len(own) // TAKES)][:TAKES]


def skeleton_take(motion: Motion) -> Take:
    tracks, skeleton = motion.people[0].tracks, motion.skeleton
    assert skeleton is not None
    assert motion.fps is not None
    turned = np.concatenate([tracks["global_orient"].values, tracks["body_pose"].values], axis=1)[:LONGEST]
    transl = tracks["transl"].values[:LONGEST, 0]
    place = positions(turned, transl, skeleton)
    arrays = (np.asarray(values, np.float64) for values in (turned, transl))
    return Take(str(motion.path), motion.fps, skeleton.joints, place, skeleton, *arrays)


def landmark_take(motion: Motion) -> Take | None:
    """Return the 15 joints of paired files at 30 frames a second, in the world."""
    try:
        found = landmarks(motion, motion.people[0], 30.0)
    except ValueError:
        return None
    at = found.points
    nose = at["neck"] + 0.18 * found.head[..., 1] + 0.12 * found.head[..., 2]
    names = ["nose"] + [
        f"{side}_{joint}"
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot_index")
        for side in ("left", "right")
    ]
    place = np.stack([nose] + [at[name.replace("foot_index", "toe")] for name in names[1:]], axis=1)[: LONGEST // 2]
    return Take(str(motion.path), 30.0, tuple(names), place) if len(place) >= SHORTEST // 2 else None


def white(size: float) -> Callable[[Take, np.random.Generator], Outcome]:
    def run(take: Take, rng: np.random.Generator) -> Outcome:
        given = take.clean + size * rng.standard_normal(take.clean.shape)
        return _of_positions(take, given, refine(given, fps=take.fps))

    return run


def estimated(model: ErrorModel, refiner: str) -> Callable[[Take, np.random.Generator], Outcome]:
    def run(take: Take, rng: np.random.Generator) -> Outcome:
        # A camera at the height of the hips that looks along a random direction; its axes are x right, y down.
        angle = rng.uniform(0, 2 * np.pi)
        forward = np.array([np.sin(angle), 0, np.cos(angle)])
        down = np.array([0.0, -1.0, 0.0])
        camera = np.stack([np.cross(down, forward), down, forward])
        hips = [take.joints.index(f"{side}_hip") for side in ("left", "right")]
        centred = (take.clean - take.clean[:, hips].mean(axis=1, keepdims=True)) @ camera.T
        estimate, confidence, observed = model.sample(rng, centred[None], take.fps)
        # The path of the hips through the scene is the true one: this estimator does not say it.
        path = take.clean - centred @ camera
        given = estimate[0].astype(np.float64)
        seen = {"mask": observed[0] > 0, "confidence": confidence[0]}
        smooth = refine(given, fps=take.fps, model=refiner, joints=take.joints, **seen)
        return _of_positions(take, given @ camera + path, smooth @ camera + path)

    return run


def turned(take: Take, rng: np.random.Generator) -> Outcome:
    assert take.rotations is not None
    assert take.transl is not None
    assert take.skeleton is not None
    frames, joints = take.rotations.shape[:2]
    memory = MEMORY ** (30 / take.fps)

    def wander(*shape: int) -> Array:
        shaken = rng.standard_normal((frames, *shape)) * np.sqrt(1 - memory**2)
        shaken[0] /= np.sqrt(1 - memory**2)
        return np.asarray(lfilter([1.0], [1.0, -memory], shaken, axis=0))

    vectors = np.radians(JITTER) / np.sqrt(3) * rng.standard_normal((frames, joints, 3))
    vectors += np.radians(DRIFT) / np.sqrt(3) * wander(joints, 3)
    for frame, joint in np.argwhere(rng.random((frames, joints)) < SPIKES):
        axis = rng.standard_normal(3)
        vectors[frame : frame + rng.integers(1, 4), joint] += (
            axis / np.linalg.norm(axis) * np.radians(rng.uniform(*SPIKE))
        )
    given = take.rotations @ Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(frames, joints, 3, 3)
    path = take.transl + ROOT_JITTER * rng.standard_normal((frames, 3)) + ROOT_DRIFT * wander(3)
    smooth = refine(given, fps=take.fps, kind="rotation_matrix")
    smooth_path = refine(path[:, None], fps=take.fps)[:, 0]
    kept, kept_path, report = keep_contacts(smooth, smooth_path, take.skeleton, fps=take.fps)
    before, after = positions(given, path, take.skeleton), positions(smooth, smooth_path, take.skeleton)
    points, kinds = foot_points(take.legs)
    return Outcome(
        take,
        true_contacts(take.clean[:, points], kinds, take.fps),
        before,
        after,
        positions(kept, kept_path, take.skeleton),
        contacts(before[:, points], fps=take.fps, kinds=kinds),
        contacts(after[:, points], fps=take.fps, kinds=kinds),
        report.contact,
    )


def _of_positions(take: Take, given: Array, refined: Array) -> Outcome:
    points, kinds = foot_points(take.legs)
    kept, report = keep_contacts_positions(refined, take.joints, fps=take.fps)
    return Outcome(
        take,
        true_contacts(take.clean[:, points], kinds, take.fps),
        given,
        refined,
        kept,
        contacts(given[:, points], fps=take.fps, kinds=kinds),
        contacts(refined[:, points], fps=take.fps, kinds=kinds),
        report.contact,
    )


def clean(take: Take, rng: np.random.Generator) -> Outcome:
    return _of_positions(take, take.clean, take.clean)


def scores(outcomes: list[Outcome]) -> dict[str, Any]:
    """Return the numbers of one row; means over frames, contacts over joints and frames."""
    row: dict[str, Any] = {}
    for name, which in (("given", "found_given"), ("refined", "found"), ("kept", "held")):
        hits = sum((getattr(o, which) & o.truth).sum() for o in outcomes)
        claims, there = sum(getattr(o, which).sum() for o in outcomes), sum(o.truth.sum() for o in outcomes)
        row[f"precision {name}"], row[f"recall {name}"] = hits / claims, hits / there
        row[f"F1 {name}"] = 2 * hits / (claims + there)
    for name in ("clean", "given", "refined", "kept"):
        total = count = 0.0
        for o in outcomes:
            points, _ = foot_points(o.take.legs)
            x = o.take.clean if name == "clean" else getattr(o, name)
            steps = (o.truth[1:] & o.truth[:-1]).sum(axis=0)
            slide = foot_slide(x[:, points], o.truth, fps=o.take.fps)
            total, count = total + np.nansum(slide * steps), count + steps.sum()
        row[f"slide {name}"] = total / count
    for name in ("given", "refined", "kept"):
        for metric in ("mpjpe", "accel"):
            values = [getattr(metrics, metric)(getattr(o, name), o.take.clean) for o in outcomes]
            row[f"{metric} {name}"] = metrics.mean(np.concatenate(values))
    for name in ("refined", "kept"):
        own = [metrics.accel(getattr(o, name)[:, _legs(o)], o.take.clean[:, _legs(o)]) for o in outcomes]
        row[f"leg accel {name}"] = metrics.mean(np.concatenate(own))
    change = row["accel kept"] / row["accel refined"] - 1 if row["accel refined"] > 1e-9 else None
    row["pelvis"] = _fastest(outcomes, "kept", _pelvis) / _fastest(outcomes, "refined", _pelvis)
    for name in ("clean", "refined", "kept"):
        row[f"knee {name}"] = _fastest(
            outcomes, name, lambda x, take: abs(np.diff(_bends(x, take)[0], axis=0)) * take.fps
        )
    row["accel change"] = "-" if change is None else f"{change:+.1%}"
    row["flips"] = sum(_flips(o) for o in outcomes)
    return row


def _legs(o: Outcome) -> list[int]:
    return [joint for leg in o.take.legs for joint in {leg.knee, leg.ankle, *leg.points}]


def _fastest(outcomes: list[Outcome], name: str, of: Callable[[Array, Take], Array]) -> float:
    """Return the 99.9 % quantile over all frames."""
    shown = [(o.take.clean if name == "clean" else getattr(o, name), o.take) for o in outcomes]
    return float(np.quantile(np.concatenate([of(x, take).ravel() for x, take in shown]), 0.999))


def _pelvis(x: Array, take: Take) -> Array:
    """Return how much (T-2,) the middle of the hips accelerates."""
    middle = x[:, [leg.hip for leg in take.legs]].mean(axis=1)
    return np.linalg.norm(np.diff(middle, 2, axis=0), axis=-1) * take.fps**2


def _bends(x: Array, take: Take) -> tuple[Array, Array]:
    """Return by how many degrees (T, L) knees are bent, and the axes (T, L, 3) about which they are."""
    bends, axes = [], []
    for leg in take.legs:
        thigh, shin = x[:, leg.knee] - x[:, leg.hip], x[:, leg.ankle] - x[:, leg.knee]
        axes.append(np.cross(thigh, shin))
        bends.append(np.degrees(np.arctan2(np.linalg.norm(axes[-1], axis=-1), (thigh * shin).sum(axis=-1))))
    return np.stack(bends, axis=1), np.stack(axes, axis=1)


def _flips(o: Outcome) -> int:
    """Return in how many frames a knee that is bent by 15 degrees before and after is so to the other side."""
    (before, old), (after, new) = _bends(o.refined, o.take), _bends(o.kept, o.take)
    return int(((before > 15) & (after > 15) & ((old * new).sum(axis=-1) < 0)).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tuned-on", action="store_true", help="the subjects that thresholds were chosen on")
    options = parser.parse_args()
    found = list(motions(options.folder, TUNED_ON if options.tuned_on else REPORTED_ON))
    whole = [skeleton_take(motion) for motion in found]
    marks = [take for take in map(landmark_take, found) if take is not None]
    pairs = read_paired(options.folder / "paired", ["train"])
    rows: list[tuple[str, list[Take], Callable[[Take, np.random.Generator], Outcome]]] = [("clean", whole, clean)]
    rows += [(f"white noise, {1000 * size:g} mm", whole, white(size)) for size in WHITE]
    rows.append(("rotations", whole, turned))
    for mode in ("static", "video"):
        model = fit_errors([as_pair(clip) for clip in pairs if clip.mode == mode])
        rows += [(f"estimator, {mode}", marks, estimated(model, "default"))]
        rows += [(f"estimator, {mode}, refined by `body`", marks, estimated(model, "body"))]
    frames = [f"{len(takes)} takes, {sum(len(take.clean) for take in takes):,} frames" for takes in (whole, marks)]
    print(f"{frames[0]}; of the estimator {frames[1]}\n")
    results = {}
    for name, takes, run in rows:
        rng = np.random.default_rng(7)
        results[name] = scores([run(take, rng) for take in takes])
    for title, columns in TABLES.items():
        print(f"| {title} | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
        for name, row in results.items():
            cells = [
                shown.format(**{key.replace(" ", "_"): value for key, value in row.items()})
                for shown in columns.values()
            ]
            print(f"| {name} | " + " | ".join(cells) + " |")
        print()


if __name__ == "__main__":
    main()
