"""From a plan to weights, with their model card, exact configuration and curves beside them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from smoothnet_core import filters
from smoothnet_core._checks import mismatch, require
from smoothnet_core.checkpoints import Weights, write_safetensors
from smoothnet_core.model import Model
from smoothnet_core.training.processes import Processes, launched, noticing_lost_processes
from smoothnet_core.training.shards import Shard, Shards, Share, in_memory
from smpl_tools.formats._files import replacing
from smpl_tools.paired_scores import paired_scores, score_table
from smpl_tools.selection import CARD_MEASURES, keep_back, model_refiner, selection_score
from smpl_tools.sources import PairedClip, as_pair, read_sources
from smpl_tools.train_plan import Plan, read_plan

_ONE_PROCESS = Processes()


def run_folder(output: Path) -> Path:
    """Return the folder beside the weights ``output`` that holds the curves of the run, and its state until it ends."""
    return output.with_suffix(".run")


def train_model(
    plan: Plan,
    data: Sequence[Path],
    output: Path,
    *,
    fresh: bool = False,
    processes: Processes = _ONE_PROCESS,
    report: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> str | None:
    """Train, score on the validation data, and write the weights and what belongs to them.

    Beside ``NAME.safetensors`` appear the model card ``NAME.md``, the exact configuration ``NAME.yaml`` (a file of that
    name that states this very plan stays as it is) and the folder ``NAME.run`` with ``curves.csv`` and TensorBoard's
    events. While training runs, that folder also holds its state: a run that was interrupted continues there.

    Args:
        plan: what to train.
        data: the folders that the plan's paths are relative to; the first that holds one counts.
        output: a ``.safetensors`` file.
        fresh: begin again in place of continuing.
        processes: what trains; several are started here, see :func:`smoothnet_core.training.processes.launched`, and
            only the first of them writes and reports.
        report: called with the step, the number of steps, and the running loss.

    Returns:
        The model card; None in other processes than the first.

    Raises:
        ValueError: the plan, its data or the processes are not as they should be, or an interrupted run had another
            plan.
        ConnectionError: another process has ended or does not answer.
        MissingExtraError: torch, Lightning Fabric or tensorboard is not installed.
        KeyboardInterrupt: on Ctrl-C; the state has been saved.
    """
    for module in ("torch", "lightning_fabric", "tensorboard"):
        require(module, "train")
    from smoothnet_core.training.architectures import ARCHITECTURES
    from smoothnet_core.training.loop import train
    from smoothnet_core.training.recipes import body_run, crop_run, end_run, hit_run, window_run
    from smoothnet_core.training.run_state import begun_parts, remove_state

    given, folder = plan, run_folder(output)
    fabric = launched(processes)
    first = fabric.is_global_zero
    if first and fresh and folder.exists():
        shutil.rmtree(folder)
    # A run goes on in the parts in which it was begun, by whatever number of processes.
    with noticing_lost_processes(fabric):
        begun = fabric.broadcast(begun_parts(folder) if first else None)
    plan = replace(plan, parts=plan.parts or begun or fabric.world_size)
    share = Share(fabric.global_rank, fabric.world_size, plan.parts)

    architecture = ARCHITECTURES[plan.architecture]
    rate = plan.training.fps if architecture.states_rate else None
    shards, kept_back, clips = _data(plan, data, first)
    validation = read_sources(plan.validation, data, rate).pairs if first else []
    for clip in [*kept_back, *validation]:
        if clip.groundtruth.shape[2] != 3:
            received = f"{clip.groundtruth.shape[2]} numbers a joint"
            raise mismatch(f"clip {clip.name}, on which scores are taken", "3D positions", received)
    if plan.recipe in ("crops", "ends"):
        crops = crop_run if plan.recipe == "crops" else end_run
        run = crops(architecture, plan.sizes, plan.training, shards, plan.mix, share)
    else:
        runs = {"windows": window_run, "bodies": body_run, "hits": hit_run}
        run = runs[plan.recipe](architecture, plan.sizes, plan.training, shards, share)
    metadata = {
        "architecture": plan.architecture,
        "name": plan.name,
        "version": plan.version,
        "window": plan.sizes.window,
        "hop": plan.training.hop,
        "fps": rate,
        **architecture.metadata(plan.sizes),
        "data": plan.data,
        "licence": plan.licence,
        "configuration": plan.resolved(),
    }
    fixed = architecture.fixed(plan.sizes)
    try:
        trained = train(
            run.network,
            run.batches,
            run.loss,
            run.schedule,
            select=None if plan.select is None else selection_score(kept_back, plan.select.score, metadata, fixed),
            folder=folder,
            settings={**plan.resolved(), "clips": clips},
            report=lambda step, value: report(step, run.schedule.steps, value),
            fabric=fabric,
        )
    except KeyboardInterrupt:
        # All stop together, and one says so.
        if first:
            raise
        return None
    if not first:
        return None
    metadata["selected"] = {"step": trained.step, "steps": run.schedule.steps, "score": trained.score}
    metadata |= architecture.metadata(run.sizes)
    tensors = {**run.finish(trained.tensors), **fixed}
    card = _model_card(plan, metadata, tensors, validation)
    write_safetensors(output, Weights(tensors, metadata))
    with replacing(output.with_suffix(".md")) as file:
        file.write(card.encode())
    configuration = output.with_suffix(".yaml")
    if not _states(configuration, given) and not _states(configuration, plan):
        with replacing(configuration) as file:
            file.write(plan.as_yaml().encode())
    remove_state(folder)
    return card


def _data(plan: Plan, data: Sequence[Path], first: bool) -> tuple[Shards, list[PairedClip], int | None]:
    """Return the training data, the clips kept back from them, and how many clips there are where all are in memory."""
    read = partial(read_sources, plan.sources, data, plan.training.fps, shards=plan.shards)
    if plan.shards == 1:
        sources = read()
        training, kept_back = keep_back(sources.pairs, plan.select)
        return in_memory([as_pair(clip) for clip in training], sources.clean), kept_back, len(training)
    subjects = [] if plan.select is None else plan.select.subjects

    def shard_of(number: int) -> Shard:
        sources = read(shard=number)
        return Shard([as_pair(clip) for clip in sources.pairs if clip.subject not in subjects], sources.clean)

    kept_back = []
    if subjects and first:
        # Only the first process takes scores.
        for number in range(plan.shards):
            kept_back += [clip for clip in read(shard=number).pairs if clip.subject in subjects]
        if missing := sorted(set(subjects) - {clip.subject for clip in kept_back}):
            raise mismatch("select subjects", "subjects of the sources", ", ".join(missing))
    return [partial(shard_of, number) for number in range(plan.shards)], kept_back, None


def _states(path: Path, plan: Plan) -> bool:
    """Return whether a file is a configuration that makes this plan; comments in it are worth keeping."""
    try:
        return read_plan(path) == plan
    except ValueError:
        return False


def _sizes(plan: Plan, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes of the network as it is, from which units may have been taken out after training."""
    known = asdict(plan.sizes)
    return known | {name: value for name, value in metadata.get("sizes", {}).items() if name in known}


def _model_card(
    plan: Plan, metadata: Mapping[str, Any], tensors: Mapping[str, Any], validation: Sequence[PairedClip]
) -> str:
    def median(clip: PairedClip) -> Any:
        return filters.median(clip.interpolated, fps=clip.fps)

    model = model_refiner(Model(plan.name, tensors, metadata))
    rows = {"raw": lambda clip: clip.interpolated, "median 5 + Gaussian 1.5": median, plan.name: model}
    scores = {name: paired_scores(validation, refiner, CARD_MEASURES) for name, refiner in rows.items()}
    parameters = sum(int(np.size(t)) for t in tensors.values())
    selected = metadata["selected"]
    chosen = f"after step {selected['step']:,} of {selected['steps']:,}"
    if plan.select is None:
        chosen += ", the last"
    else:
        subjects = plan.select.subjects if isinstance(plan.select.subjects, str) else ", ".join(plan.select.subjects)
        terms = " + ".join(f"{weight:g} {name}" for name, weight in plan.select.score.items())
        chosen += f", the best on kept-back subjects ({subjects}): {terms} = {selected['score']:.2f}"
    return f"""# Weights `{plan.name}`, version {plan.version}

{plan.about}

Made by `smoothnet train`; written by it, not by hand.

- Network: `{plan.architecture}`, {parameters:,} parameters, {json.dumps(_sizes(plan, metadata))}.
- Window {metadata["window"]} frames, hop {metadata["hop"]}; {_rate(metadata["fps"])}.
- Data: {plan.data}
- Licence: {plan.licence}
- Checkpoint: {chosen}.
{_use(metadata)}

## Paired validation: real estimator output against exact truth

{score_table(scores)}

Frame-weighted means over {len({clip.name for clip in validation})} clips. The truth's own mean acceleration is \
{_truth_acceleration(validation):.1f}, so a low Accel
counts only beside speed and jitter ratios near 1 (output over truth).

## Configuration

```yaml
{plan.as_yaml()}```
"""


def _rate(fps: float | None) -> str:
    if fps is None:
        return "takes are not resampled, whatever their frame rate"
    return f"takes are resampled to {fps:g} frames a second"


def _use(metadata: Mapping[str, Any]) -> str:
    if "joints" not in metadata:
        return """\
- Use: joint positions in 2D or 3D, rotations, single channels; any skeleton. Time alone is seen: a joint that stays
  wrong for longer than the window stays wrong, and motion faster than about a third of a second may lose height."""
    joints = metadata["joints"]
    root = " and ".join(joints[i] for i in metadata["root"])
    return f"""\
- Use: 3D positions of the {len(joints)} joints of `{metadata["joint_set"]}` in any unit, from any origin.
- Joints: {", ".join(joints)}.
- Root: {root}. Further joints, such as the rest of MediaPipe's 33, follow the nearest of these.
- Axes, those of the camera: {metadata["axes"]}.
- Estimator: it has learned what that of the data above does wrong, and corrects that. For another one, make pairs with
  `smoothnet pairs` and train with `smoothnet train`."""


def _truth_acceleration(clips: Sequence[PairedClip]) -> float:
    """Return the frame-weighted mean acceleration of the truth in mm/frame^2."""
    means = [1e3 * np.linalg.norm(np.diff(clip.groundtruth, 2, axis=0), axis=-1).mean() for clip in clips]
    return float(np.average(means, weights=[len(clip.groundtruth) for clip in clips]))
