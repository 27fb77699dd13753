"""Refine and Batch stopped halfway, as by ESC: at every step, and the file is as it was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.blender import refine_scenes as rs


def _settings(**given: Any) -> Any:
    """The scene's settings, some of them changed, as the operator would have them."""
    from blender_addon.properties import SETTINGS

    scene = bpy.context.scene.smoothnet
    return SimpleNamespace(**{name: getattr(scene, name) for name in SETTINGS} | given)


def _job(**given: Any) -> Any:
    from blender_addon import refinement, takes

    found, problems = takes.takes_of(takes.chosen(bpy.context), bpy.context.scene)
    assert not problems
    return refinement.refine_takes(bpy.context, found, _settings(**given))


def _drive(job: Any, steps: int) -> tuple[bool, list[float]]:
    """Run a job for so many steps, then close it; return whether it had ended, and the progress it told."""
    from blender_addon.jobs import Background

    shares: list[float] = []
    answer: Any = None
    try:
        for _ in range(steps):
            step = job.send(answer)
            answer = None
            if isinstance(step, Background):
                answer = step.function(lambda share: None)
                shares += [step.start, step.end]
            else:
                shares.append(step.share)
    except StopIteration:
        return True, shares
    finally:
        job.close()
    return False, shares


def _scene(kind: str, monkeypatch: Any) -> None:
    if kind == "pieces":
        # Copied curve by curve, as takes of millions of keys are.
        from blender_addon.bridge import action_copy

        monkeypatch.setattr(action_copy, "_AT_ONCE", 0)
    first = rs.hero(40, bones=("Hips", "Spine"))
    second = bpy.data.objects.new("Prop", None)
    bpy.context.scene.collection.objects.link(second)
    rs.key(second, "location", np.arange(1.0, 41.0), np.random.default_rng(0).normal(size=(40, 3)))
    if kind == "strip":
        data = first.animation_data
        data.nla_tracks.new().strips.new("Take", 5, data.action)
        data.action = None
    rs.select(second, first)
    if kind in ("again", "pieces"):
        assert rs.refine(strength=0.5) == {"FINISHED"}
    bpy.context.scene.frame_set(17)


@pytest.mark.parametrize("kind", ["first", "again", "pieces", "strip"])
def test_closed_at_any_step_the_file_is_as_it_was(scene: Any, kind: str, monkeypatch: Any) -> None:
    """Actions, users, fake users, what is assigned, and the current frame; and the progress never goes back."""
    _scene(kind, monkeypatch)
    given = {"fill_gaps": True, "bake_sparse": True}
    state = rs.file_state()
    steps = 1
    while True:
        ended, shares = _drive(_job(**given), steps)
        assert shares == sorted(shares), steps
        assert all(0 <= share <= 1 for share in shares)
        if ended:
            break
        assert rs.file_state() == state, f"after {steps} steps"
        steps += 1
    assert steps > 12
    assert rs.file_state() != state


@pytest.mark.parametrize("kind", ["first", "again"])
def test_an_error_in_the_worker_leaves_the_file_as_it_was(scene: Any, kind: str, monkeypatch: Any) -> None:
    """Whatever the engine raises, at any of its calls; a ValueError is shown, others are the caller's."""
    _scene(kind, monkeypatch)
    from blender_addon.engine import engines

    whole = engines.run_with_fallback
    state = rs.file_state()
    for failing in (1, 2, 3):
        for error in (ValueError("no such weights"), RuntimeError("broken")):
            calls: list[int] = []

            def fail(*args: Any, calls: Any = calls, failing: int = failing, error: Any = error, **how: Any) -> Any:
                calls.append(1)
                if len(calls) == failing:
                    raise error
                return whole(*args, **how)

            monkeypatch.setattr(engines, "run_with_fallback", fail)
            with pytest.raises(type(error), match=str(error)):
                _drive(_job(), 10_000)
            assert len(calls) == failing
            assert rs.file_state() == state


def test_the_worker_can_be_told_to_stop(scene: Any, monkeypatch: Any) -> None:
    """Its tick raises after ESC; that goes out through the job, which leaves nothing behind."""
    _scene("first", monkeypatch)
    from blender_addon.jobs import Background, Cancelled

    state = rs.file_state()
    job, answer, stopped = _job(), None, 0

    def tick(share: float) -> None:
        raise Cancelled

    while stopped < 1:
        step = job.send(answer)
        answer = None
        if isinstance(step, Background):
            try:
                answer = step.function(tick)
            except Cancelled:
                stopped += 1
    job.close()
    assert rs.file_state() == state


def test_apply_closed_at_any_step(scene: Any, monkeypatch: Any) -> None:
    """Key reduction is computed before anything is written."""
    _scene("again", monkeypatch)
    from blender_addon import reducing
    from blender_addon.operators.results import pairs_of
    from blender_addon.takes import chosen

    state = rs.file_state()
    settings = SimpleNamespace(tolerance=0.5, tolerance_location=0.01)
    for steps in range(1, 40):
        pair = pairs_of(chosen(bpy.context))[0]
        ended, _ = _drive(reducing.thinned(pair.refined, settings, (0.0, 1.0)), steps)
        assert rs.file_state() == state
        if ended:
            break
    assert ended
