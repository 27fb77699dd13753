"""Table 6 of the supplementary document: RefineNet, and filters and networks on top of it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from smoothnet_core import refine
from smoothnet_core.model import Model
from smpl_tools.experiments.backbones import OTHER_SIDE
from smpl_tools.experiments.frame import Bench, Result, Table
from smpl_tools.experiments.network_training import EPOCHS, absolute_loss, seeded, train_network, train_smoothnet
from smpl_tools.experiments.refinenet_energy import Energy, least_energy
from smpl_tools.experiments.refiners import losses, mode_table, networks, raw, score_rows
from smpl_tools.experiments.sequences import Example, predict
from smpl_tools.experiments.tuning import PROTOCOL, best_filter, tuned
from smpl_tools.inverse_kinematics import JOINTS
from smpl_tools.paired_scores import COLUMNS, MEASURES, Refiner, paired_scores
from smpl_tools.sources import PairedClip

Array = NDArray[np.float32]

# Settings of the energy that are searched: weights of a square metre, and metres.
_GRID = {
    "smooth": (0.3, 1.0, 3.0, 10.0, 30.0),
    "bridge": (0.0, 0.3, 3.0),
    "cap": (0.1, 0.3, 10.0),
}
# Selection clips that they are searched on: every so many.
_EVERY = 5
# On subjects kept back from training, more made the learned RefineNet worse.
_EPOCHS = 6
# As much as SmoothNet's own loss makes of second differences.
_ACCELERATION = 0.1
_SCORED = {key: MEASURES[key] for key in COLUMNS}
_ERRORS = ("mpjpe_mm", "speed_ratio")


def run(bench: Bench) -> Result:
    """Tune and train both readings of RefineNet, and score them alone and with refiners on top."""
    weights, searched = _tuned_energy(bench)
    bench.say("  training RefineNet (learned)")
    learned = _trained(bench)
    bench.say("  training SmoothNet")
    smoothnet = train_smoothnet(bench, [_channels(clip) for clip in bench.training])
    bases: dict[str, Refiner] = {
        "raw": raw,
        "RefineNet (energy)": lambda clip: _of_least_energy(clip, weights),
        "RefineNet (learned)": lambda clip: _positions(predict(learned, _seen(clip), learned.margin)),
    }
    tops: dict[str, Refiner] = {
        "Savitzky-Golay": tuned(bench, "mpjpe", "savgol"),
        "Gaussian": tuned(bench, "mpjpe", "gaussian"),
        "best filter": best_filter(bench, "mpjpe"),
        "SmoothNet": lambda clip: _smoothed(clip, smoothnet),
        **networks(bench),
    }
    rows = {}
    for base, refiner in bases.items():
        rows[base] = refiner
        rows |= {f"{base} + {top}": _on_top(refiner, upper) for top, upper in tops.items()}
    bench.say(f"  scoring {len(rows)} refiners on {len(bench.validation)} validation clips")
    scores = score_rows(bench.validation, rows, _SCORED)
    ours = next(iter(bench.networks))
    differs = (
        "the paper takes TPoseNet's output on MuPoTS-3D, and RefineNet as published, trained on MPI-INF-3DHP and "
        "MuCo-Temp; here MediaPipe's is taken, and everything is tuned or trained on the paired training clips of all "
        "three modes, SmoothNet too, which the paper takes from AIST++ as it is. RefineNet stands here twice: *energy* "
        "is the minimisation that its authors describe, with our own solver and weights tuned for MPJPE at any speed; "
        "the paper calls it learned, so *learned* is a residual GRU over time in both directions that sees all joints "
        f"and the estimator's confidence, trained with SmoothNet's loss for {_EPOCHS} epochs of clips turned about the "
        f"vertical and mirrored at random ({EPOCHS} epochs of them as they are for SmoothNet). The filters keep the "
        "settings that were tuned for raw estimates (MPJPE at speed 0.95 or more). Joints are not rescaled."
    )
    table = mode_table("RefineNet, and refiners on top of it", PROTOCOL, scores, _SCORED)
    alone = {name: by_mode for name, by_mode in scores.items() if not name.startswith(f"{ours} ")}
    top = f"raw + {ours}"
    lost = f"{losses(top, alone, _SCORED)} {_against_learned(scores, top)}"
    return Result(differs, lost, [table, searched])


def _against_learned(scores: Mapping[str, Any], ours: str) -> str:
    """Say what the refiner that sees all joints gains on ours, whatever its speed."""
    said = []
    for mode, own in scores[ours].items():
        other = scores["RefineNet (learned)"][mode]
        said.append(
            f"{mode}: MPJPE {other['mpjpe_mm']:.1f} against {own['mpjpe_mm']:.1f}, PA-MPJPE "
            f"{other['pa_mpjpe_mm']:.1f} against {own['pa_mpjpe_mm']:.1f}, Accel "
            f"{other['accel_mm_per_frame2']:.2f} against {own['accel_mm_per_frame2']:.2f}"
        )
    return f"RefineNet (learned), which sees all joints, against `{ours}`: {'; '.join(said)}."


def _on_top(below: Refiner, above: Refiner) -> Refiner:
    """Return the refiner that refines what another makes of a clip; the confidence stays the estimator's."""
    return lambda clip: above(dataclasses.replace(clip, estimate=np.asarray(below(clip), np.float32)))


def _smoothed(clip: PairedClip, model: Model) -> Any:
    # Every coordinate a channel of its own, as it was trained.
    return refine(raw(clip), kind="channels", model=model)


def _of_least_energy(clip: PairedClip, weights: Energy) -> Any:
    visibility = _confidence(clip).mean(axis=1)
    return least_energy(np.asarray(raw(clip), np.float64), visibility.astype(np.float64), weights)


def _tuned_energy(bench: Bench) -> tuple[Energy, Table]:
    """Return the weights with the lowest MPJPE over all modes of some of the selection clips, and a table of it."""
    clips: Sequence[PairedClip] = bench.selection if bench.quick else bench.selection[::_EVERY]
    settings = [Energy(**dict(zip(_GRID, values, strict=True))) for values in itertools.product(*_GRID.values())]
    settings = settings[:: len(settings) // 2] if bench.quick else settings
    bench.say(f"  RefineNet (energy): {len(settings)} settings on {len(clips)} clips")
    measures = {key: MEASURES[key] for key in _ERRORS}
    tried = []
    for setting in settings:
        scores = paired_scores(clips, lambda clip, setting=setting: _of_least_energy(clip, setting), measures)
        tried.append([float(np.mean([by_mode[key] for by_mode in scores.values()])) for key in _ERRORS])
    best = min(range(len(settings)), key=lambda i: tried[i][0])
    found = settings[best]
    table = Table(
        "RefineNet (energy): setting found",
        f"On {len({c.name for c in clips})} training clips, mean over the estimator's modes, {len(settings)} settings.",
        {"smooth": 2, "bridge": 2, "stride frames": 0, "cap m": 2}
        | {measure.heading: measure.decimals for measure in measures.values()},
        [[found.smooth, found.bridge, found.stride, found.cap, *tried[best]]],
    )
    return found, table


def _trained(bench: Bench) -> Any:
    from smpl_tools.experiments.networks.recurrent_refiner import RecurrentRefiner

    network = seeded(lambda: RecurrentRefiner(len(JOINTS)))
    training = [Example(clip.name, _seen(clip), _flat(clip.groundtruth)) for clip in bench.training]
    train_network(bench, network, training, absolute_loss(_ACCELERATION), epochs=_EPOCHS, vary=_turned)
    return network


def _turned(rng: np.random.Generator, inputs: Array, truth: Array) -> tuple[Array, Array]:
    """Turn every crop about the vertical, and half of them into their mirror images."""
    turns = Rotation.from_euler("y", rng.uniform(0, 360, (len(truth), 1)), degrees=True).as_matrix()
    mirrored = rng.random(len(truth)) < 0.5
    turns[mirrored, 0] *= -1

    def changed_sides(joints: Array) -> Array:
        return np.where(mirrored[:, None, None, None], joints[:, :, OTHER_SIDE], joints)

    def turned(flat: Array) -> Array:
        return _flat(np.einsum("ntjc,ncd->ntjd", changed_sides(_positions(flat)), turns))

    positions, confidence = np.split(inputs, [3 * len(JOINTS)], axis=-1)
    confidence = changed_sides(confidence[..., None])[..., 0]
    return np.concatenate([turned(positions), confidence], axis=-1), turned(truth)


def _seen(clip: PairedClip) -> Any:
    """Return what the learned RefineNet sees (T, 60): all positions without gaps, then all confidences."""
    return np.concatenate([_flat(raw(clip)), _confidence(clip)], axis=1)


def _confidence(clip: PairedClip) -> Any:
    """Return (T, 15) the estimator's confidence, 0 where nobody was detected."""
    return np.where(clip.detected[:, None], clip.confidence, 0.0).astype(np.float32)


def _channels(clip: PairedClip) -> Example:
    return Example(clip.name, _flat(raw(clip)), _flat(clip.groundtruth))


def _flat(joints: Any) -> Any:
    return np.reshape(joints, (*np.shape(joints)[:-2], -1)).astype(np.float32)


def _positions(flat: Any) -> Any:
    return flat.reshape(*flat.shape[:-1], -1, 3)
