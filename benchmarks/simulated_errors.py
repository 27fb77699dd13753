"""How real simulated estimator errors are: statistics beside those of real errors on subjects not used for the fit.

    python benchmarks/simulated_errors.py FOLDER [--document FILE.md --figure FILE.png]

FOLDER holds paired ``.npz`` files and ``splits.json``. Of the training subjects every third is kept back; the model of
:mod:`smoothnet_core.training.estimator_errors` is fitted to the others, for each mode of the estimator. Five columns:
real errors of the subjects kept back; errors drawn from the model on their motions; real errors of the others laid
over their motions (transplanted); the real errors of the others, which says how far subjects differ anyway, since no
simulation knows more than those; and errors drawn from the model on the others' own motions, which says how well it
fits what it was fitted to. Prints Markdown tables; writes them into the document between its markers, and the
figure (needs matplotlib).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smoothnet_core.training.batches import Pair
from smoothnet_core.training.error_model import log_level_and_jitter
from smoothnet_core.training.estimator_errors import ErrorModel, fit_errors, transplanted
from smpl_tools.formats._files import replacing
from smpl_tools.sources import MODES, as_pair, read_paired

FPS, DRAWS = 30.0, 6
JOINTS = [
    "nose",
    "shoulder",
    "shoulder",
    "elbow",
    "elbow",
    "wrist",
    "wrist",
    "hip",
    "hip",
    "knee",
    "knee",
    "ankle",
    "ankle",
    "foot",
    "foot",
]
COLUMNS = ("real", "model", "transplanted", "real, other subjects", "model, other subjects")
# What each column is compared with: for a simulation, the real errors of the same motions.
COMPARED = {"model": "real", "transplanted": "real", "real, other subjects": "real"}
COMPARED["model, other subjects"] = "real, other subjects"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
LAGS = (1, 2, 5, 10, 30)
BANDS = ((0.0, 0.5), (0.5, 2.0), (2.0, 5.0), (5.0, 10.0), (10.0, 15.0))
LIMITS = (0.1, 0.2, 0.4)
SEGMENT = 60

# Errors (T, 15, 3) in metres, NaN where nobody was detected, and confidences (T, 15).
Track = tuple[np.ndarray, np.ndarray]


def track(estimate: np.ndarray, truth: np.ndarray, confidence: np.ndarray, observed: np.ndarray) -> Track:
    return np.where(observed[..., None] > 0, estimate - truth, np.nan), confidence


def real(pairs: Sequence[Pair]) -> list[Track]:
    return [track(p.estimate, p.groundtruth, p.confidence, p.observed) for p in pairs]


def modelled(model: ErrorModel, pairs: Sequence[Pair]) -> list[Track]:
    rng = np.random.default_rng(1)
    tracks = []
    for pair in pairs:
        truth = np.broadcast_to(pair.groundtruth, (DRAWS, *pair.groundtruth.shape))
        tracks += [track(e, pair.groundtruth, c, o) for e, c, o in zip(*model.sample(rng, truth, FPS), strict=True)]
    return tracks


def laid_over(donors: Sequence[Pair], pairs: Sequence[Pair]) -> list[Track]:
    rng = np.random.default_rng(2)
    odds = np.array([len(d.estimate) for d in donors], float)
    tracks = []
    for pair in [p for p in pairs for _ in range(DRAWS)]:
        donor = donors[rng.choice(len(donors), p=odds / odds.sum())]
        truth = pair.groundtruth[: len(donor.estimate)]
        estimate, confidence, observed = transplanted(rng, donor, truth)
        tracks.append(track(estimate, truth, confidence, observed))
    return tracks


def covariances(errors: list[np.ndarray], lags: Sequence[int]) -> np.ndarray:
    """Return correlations at lags, over all joints and axes, the mean kept."""
    result = []
    for lag in lags:
        product = power = 0.0
        for error in errors:
            a, b = error[:-lag], error[lag:]
            both = np.isfinite(a) & np.isfinite(b)
            product += (a * b)[both].sum()
            power += 0.5 * (np.square(a[both]).sum() + np.square(b[both]).sum())
        result.append(product / power)
    return np.array(result)


def spectra(errors: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies and the mean power of Hann-windowed segments of two seconds, the segment's mean taken off."""
    window = np.hanning(SEGMENT)[:, None, None]
    powers = []
    for error in errors:
        for start in range(0, len(error) - SEGMENT + 1, SEGMENT // 2):
            piece = error[start : start + SEGMENT]
            if np.isfinite(piece).all():
                powers.append(
                    np.square(np.abs(np.fft.rfft(window * (piece - piece.mean(axis=0)), axis=0))).mean((1, 2))
                )
    # One-sided, so that the sum over frequencies is the mean square.
    return np.fft.rfftfreq(SEGMENT, 1 / FPS), 2 * np.mean(powers, axis=0) / SEGMENT / np.square(window).sum()


def run_lengths(errors: list[np.ndarray], limit: float) -> np.ndarray:
    """Return the lengths in frames of runs of a joint's frames that are off by more than the limit."""
    lengths = []
    for error in errors:
        off = np.linalg.norm(error, axis=-1) > limit
        padded = np.pad(off.astype(int), ((1, 1), (0, 0)))
        for joint in padded.T:
            edges = np.flatnonzero(np.diff(joint))
            lengths += (edges[1::2] - edges[::2]).tolist()
    return np.array(lengths)


def statistics(tracks: list[Track]) -> dict[str, float]:
    errors = [error for error, _ in tracks]
    every = np.concatenate(errors)
    every = every[np.isfinite(every).all(axis=(1, 2))]
    size = np.linalg.norm(every, axis=-1)
    rows: dict[str, float] = {}
    for lag, value in zip(LAGS, covariances(errors, LAGS), strict=True):
        rows[f"autocorrelation, lag {lag}"] = value
    wandering = [e - np.nanmean(e, axis=0) for e in errors]
    for lag, value in zip(LAGS, covariances(wandering, LAGS), strict=True):
        rows[f"the same without each clip's mean, lag {lag}"] = value
    frequency, power = spectra(errors)
    for low, high in BANDS:
        inside = (frequency > low) & (frequency <= high)
        rows[f"rms {low:g} to {high:g} Hz, mm"] = 1e3 * np.sqrt(power[inside].sum())
    for name, axes in (("image axes", slice(0, 2)), ("depth", slice(2, 3))):
        part = every[..., axes]
        rows[f"rms, {name}, mm"] = 1e3 * np.sqrt(np.square(part).mean())
        rows[f"kurtosis, {name}"] = (part**4).mean() / np.square(part).mean() ** 2
    for limit in LIMITS:
        rows[f"off by more than {1e3 * limit:g} mm, %"] = 100 * (size > limit).mean()
    lengths = run_lengths(errors, 0.2)
    rows["runs off by more than 200 mm: mean length, frames"] = lengths.mean()
    rows["of those joint-frames in runs of a second or more, %"] = 100 * lengths[lengths >= FPS].sum() / lengths.sum()
    bends = np.concatenate([np.linalg.norm(np.diff(e, n=2, axis=0), axis=-1) for e in errors])
    rows["mean acceleration of the error, mm/frame^2"] = 1e3 * float(np.nanmean(bends))
    rows["its 99th percentile, mm/frame^2"] = 1e3 * float(np.nanquantile(bends, 0.99))
    rows["nobody detected, % of frames"] = float(100 * np.mean([np.isnan(e[:, 0, 0]).mean() for e in errors]))
    rows.update(confidence_rows(tracks))
    return rows


def confidence_rows(tracks: list[Track]) -> dict[str, float]:
    level, jitter, confidence = [], [], []
    for error, given in tracks:
        logs = log_level_and_jitter(np.nan_to_num(error))
        seen = np.isfinite(error[:, 0, 0])
        level.append(logs[0][seen])
        jitter.append(logs[1][seen])
        confidence.append(given[seen])
    ranks = [np.argsort(np.argsort(np.concatenate(x), axis=0), axis=0) for x in (level, jitter, confidence)]

    def correlation(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([np.corrcoef(a[:, j], b[:, j])[0, 1] for j in range(1, 15)]))

    return {
        "confidence, mean": float(np.concatenate(confidence).mean()),
        "rank correlation of confidence and error": correlation(ranks[2], ranks[0]),
        "rank correlation of confidence and jitter": correlation(ranks[2], ranks[1]),
    }


def by_joint(tracks: list[Track]) -> np.ndarray:
    """Return (15, 3) rms in mm."""
    return 1e3 * np.sqrt(np.nanmean(np.square(np.concatenate([e for e, _ in tracks])), axis=0))


def table(rows: dict[str, list[float]]) -> str:
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---|" + "---|" * len(COLUMNS)]
    for name, values in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{v:.3g}" if abs(v) < 100 else f"{v:.0f}" for v in values) + " |")
    return "\n".join(lines)


def summary(rows: dict[str, list[float]]) -> str:
    """Say how far columns are from the real errors, over all rows but the one that is about nought."""
    values = np.array([row for name, row in rows.items() if name != "the same without each clip's mean, lag 30"])
    lines = ["| | compared with | median difference | within 10 % | within 20 % |", "|---|---|---|---|---|"]
    for name, other in COMPARED.items():
        off = np.abs(values[:, COLUMNS.index(name)] / values[:, COLUMNS.index(other)] - 1)
        within = " | ".join(f"{(off <= limit).sum()} of {len(off)}" for limit in (0.1, 0.2))
        lines.append(f"| {name} | {other} | {100 * np.median(off):.0f} % | {within} |")
    return "\n".join(lines)


def joint_table(simulations: dict[str, list[Track]]) -> str:
    rms = {name: by_joint(tracks) for name, tracks in simulations.items()}
    rows: dict[str, list[float]] = {}
    for joint in dict.fromkeys(JOINTS):
        both = [j for j, name in enumerate(JOINTS) if name == joint]
        for axis, name in enumerate(("right", "down", "away")):
            rows[f"{joint}, {name}"] = [float(np.sqrt(np.square(rms[c][both, axis]).mean())) for c in COLUMNS]
    return table(rows)


def figure(results: dict[str, dict[str, list[Track]]], path: Path) -> None:
    """Draw for each mode spectrum, autocorrelation and the share of joint-frames beyond an error."""
    import matplotlib.pyplot as plt

    styles = {
        "real": {"color": "black", "linewidth": 2.2},
        "model": {"color": "tab:blue"},
        "transplanted": {"color": "tab:orange"},
        "real, other subjects": {"color": "grey", "linestyle": "--"},
        "model, other subjects": {"color": "tab:cyan", "linestyle": "--"},
    }
    figure, axes = plt.subplots(len(results), 3, figsize=(12, 3.1 * len(results)), layout="constrained")
    lags = range(1, 61)
    levels = np.geomspace(0.01, 1.5, 60)
    for row, (mode, simulations) in zip(axes, results.items(), strict=True):
        for name, tracks in simulations.items():
            errors = [error for error, _ in tracks]
            frequency, power = spectra(errors)
            row[0].loglog(frequency[1:], 1e6 * power[1:] * SEGMENT / FPS, label=name, **styles[name])
            row[1].plot(np.array(lags) / FPS, covariances(errors, lags), label=name, **styles[name])
            size = np.linalg.norm(np.concatenate(errors), axis=-1).ravel()
            size = np.sort(size[np.isfinite(size)])
            row[2].loglog(1e3 * levels, 1 - np.searchsorted(size, levels) / len(size), label=name, **styles[name])
        row[0].set(xlabel="Hz", ylabel="power, mm²/Hz", title=f"{mode}: spectrum")
        row[1].set(xlabel="seconds", ylim=(0, 1), title=f"{mode}: autocorrelation")
        row[2].set(xlabel="mm", ylabel="share", ylim=(1e-5, 1.2), title=f"{mode}: joint-frames off by more")
    axes[0, 0].legend(fontsize=8)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=90)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--document", type=Path, help="Markdown file whose tables are replaced")
    parser.add_argument("--figure", type=Path, help="PNG to write")
    arguments = parser.parse_args()
    clips = read_paired(arguments.folder, ["train", "extra_train"])
    kept_back = sorted({clip.subject for clip in clips})[::3]
    results, sections = {}, []
    for mode in MODES:
        of_mode = [clip for clip in clips if clip.mode == mode]
        held = [as_pair(clip) for clip in of_mode if clip.subject in kept_back]
        fitted = [as_pair(clip) for clip in of_mode if clip.subject not in kept_back]
        model = fit_errors(fitted, FPS)
        over = laid_over(fitted, held)
        simulated = (real(held), modelled(model, held), over, real(fitted), modelled(model, fitted))
        results[mode] = dict(zip(COLUMNS, simulated, strict=True))
        by_column = [statistics(tracks) for tracks in simulated]
        rows = {name: [values[name] for values in by_column] for name in by_column[0]}
        joints = joint_table(results[mode])
        sections += [f"### Mode: {mode}", summary(rows), table(rows), "Rms in mm by joint and axis:", joints]
        print("\n\n".join(sections[-5:]) + "\n", flush=True)
    if arguments.document:
        text = arguments.document.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        note = f"Kept back: {', '.join(kept_back)}."
        with replacing(arguments.document) as file:
            file.write("\n\n".join([before + BEGIN, note, *sections, END + after]).encode())
    if arguments.figure:
        figure(results, arguments.figure)


if __name__ == "__main__":
    main()
