"""Tables 7 to 9 of the supplementary document, across data: where the motion and its errors come from."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from smoothnet_core._checks import mismatch
from smpl_tools.experiments.frame import Bench, Result
from smpl_tools.experiments.matrix import Column, compared_with, matrix_losses, matrix_table, score_matrix
from smpl_tools.experiments.noise import LEVELS, with_noise
from smpl_tools.experiments.short_training import SHORT, by_channel, train_short
from smpl_tools.experiments.spaces import METRES
from smpl_tools.paired_scores import COLUMNS
from smpl_tools.selection import CARD_MEASURES
from smpl_tools.sources import PairedClip
from smpl_tools.sources.clean import clean_clips

_LEVEL = next(level for level in LEVELS if (level.space, level.share, level.sigma) == (3, 0.5, 50))
_FPS = 30.0
# Subjects of paired files are called by where their motion comes from, and their number there.
_CMU = "cmu"
_SOURCES = {_CMU: "CMU", "react": "ReActIdle"}
_NOISY = "CMU + noise"
_QUICK_CLIPS, _QUICK_FRAMES = 2, 90


def run(bench: Bench) -> Result:
    """Train the published network on the motion of each source and on noisy clean motion, and test each on all.

    Raises:
        ValueError: no validation clip is of a CMU subject, or the file of clean motion has none of these.
    """
    subjects = dict.fromkeys(clip.subject for clip in bench.validation)
    held_out = [name.removeprefix(_CMU) for name in subjects if name.startswith(_CMU)]
    if not held_out:
        raise mismatch("subjects of the validation clips", "one or more of CMU", ", ".join(subjects))
    seen = {**_by_source(bench.training), _NOISY: _noisy(bench, leave_out=held_out)}
    unseen = {**_by_source(bench.validation), _NOISY: _noisy(bench, keep=held_out)}
    trained = {}
    for name, clips in seen.items():
        bench.say(f"  {name}")
        trained[f"trained on {name}"] = by_channel(train_short(bench, clips))
    # Those that suit clips of any joints.
    measures = {key: CARD_MEASURES[name] for key, name in zip(METRES, COLUMNS, strict=True)}
    columns = {name: Column(clips, measures) for name, clips in unseen.items()}
    scores = score_matrix(columns, compared_with(bench, trained))
    protocol = (
        "30 frames a second, mm. Paired clips through MediaPipe, three modes together, 15 joints, hip-centred, by "
        f"where their motion comes from; {_NOISY}: clean CMU motion, all joints but fingers and eyes, relative to the "
        "root, every coordinate of every frame off with probability 0.5 by a Gaussian of deviation 50 mm (Table 10), "
        f"speed of all joints. Trained on {_counted(seen)}; tested on validation clips and on clean motion of the same "
        f"CMU subjects, {', '.join(held_out)}, whom no training clip shows: {_counted(unseen)}."
    )
    table = matrix_table("Across data: SmoothNet 512/16/1, window 32", protocol, scores, columns)
    differs = (
        "motion from two sources with one estimator's errors, and synthetic ones, in place of AIST++, Human3.6M and "
        f"3DPW with several estimators'. ReActIdle's clips hardly move. {SHORT}"
    )
    return Result(differs, matrix_losses(bench, scores, columns), [table])


def _by_source(clips: Sequence[PairedClip]) -> dict[str, list[PairedClip]]:
    found: dict[str, list[PairedClip]] = {}
    for clip in clips:
        titles = [title for prefix, title in _SOURCES.items() if clip.subject.startswith(prefix)]
        found.setdefault(titles[0] if titles else "others", []).append(clip)
    return found


def _noisy(bench: Bench, keep: Collection[str] = (), leave_out: Collection[str] = ()) -> list[PairedClip]:
    """Return clean motion of some subjects with synthetic noise, the same at every call."""
    rng = np.random.default_rng(0)
    captured = list(clean_clips(bench.clean_file, keep, leave_out))
    pairs = []
    for clip in captured[:_QUICK_CLIPS] if bench.quick else captured:
        joints = clip.body().at(_FPS).positions[: _QUICK_FRAMES if bench.quick else None]
        truth = joints - joints[:, :1]
        given, true = with_noise(_LEVEL, truth, rng).astype(np.float32), truth.astype(np.float32)
        pairs.append(PairedClip(clip.name, _NOISY, clip.subject, _FPS, given, true, np.ones(truth.shape[:2], "f4")))
    return pairs


def _counted(clips: dict[str, list[PairedClip]]) -> str:
    return ", ".join(f"{sum(len(c.estimate) for c in found):,} frames of {name}" for name, found in clips.items())
