"""How long the whole of Refine Motion takes, against Blender's own Butterworth filter in the same process.

    python benchmarks/blender_speed.py [--rounds N] [--large]

run by a Python that has the ``bpy`` module. An armature of 52 bones has 1,800 keys on each of its quaternion channels.
Butterworth (all keys, in a graph editor) and Refine Motion (default model and settings, the original each time) take
turns. Printed are medians in seconds with the smallest and the largest, of the wall clock and of the processor time
of all threads, the ratios of the two (median of the rounds), and where Refine Motion spends processor time.
``--large`` does the same once, with the peak of memory, for 3,000 bones of 1,000 keys and for 60 bones of 100,000.

The NumPy inside Blender's own builds has no BLAS. To have one like it: ``pip install --no-binary numpy numpy==1.26.4
-Csetup-args=-Dblas=none -Csetup-args=-Dlapack=none -Csetup-args=-Dallow-noblas=true``.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bpy

import blender_addon
from blender_addon import refinement, results
from blender_addon.animation import computing, refining
from blender_addon.animation.curves import CurveKey, bone_path
from blender_addon.bridge import keyframes
from blender_addon.engine import engines

Array = NDArray[np.float64]

BONES, FRAMES, FPS = 52, 1800, 30
LARGE = ((3000, 1000), (60, 100_000))

# Where time goes: what is shown, where the function is looked up, and its name. What is indented is part of the above.
STAGES = (
    ("read keys", keyframes, "each_curve"),
    ("read armature", refinement, "armature_of"),
    ("read body", refinement, "body_of"),
    ("plan", refinement, "prepare"),
    ("compute", refinement, "compute"),
    ("  sample", computing, "sample"),
    ("  refine", computing, "refine_take"),
    ("    spikes", refining, "rotation_spikes"),
    ("    network", engines, "run_with_fallback"),
    ("  numbers", computing, "numbers_of"),
    ("store", results, "pack"),
    ("copy", keyframes, "duplicate_in_pieces"),
    ("write", results, "write_blend_in_pieces"),
    ("play", refinement, "_take_over"),
)


def take(frames: int, bones: int) -> Array:
    """Return (T, B, 4) quat_wxyz that swing, with jitter."""
    rng = np.random.default_rng(0)
    quats = gaussian_filter1d(rng.standard_normal((frames, bones, 4)), 15, axis=0) * 4 + [2, 0, 0, 0]
    quats += 0.02 * rng.standard_normal(quats.shape)
    return quats / np.sqrt((quats**2).sum(axis=-1, keepdims=True))


def keyed(bones: int, frames: int) -> keyframes.Source:
    """Make a new file with an armature that has keys on all frames; return what it plays."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = FPS
    data = bpy.data.armatures.new("Actor")
    obj = bpy.data.objects.new("Actor", data)
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    bpy.ops.object.mode_set(mode="EDIT")
    above = None
    for number in range(bones):
        bone = data.edit_bones.new(f"Bone.{number:04}")
        # Chains of ten, as limbs and fingers are.
        bone.parent = above if number % 10 else None
        bone.head, bone.tail = (number // 10, 0, number % 10), (number // 10, 0, number % 10 + 1)
        above = bone
    bpy.ops.object.mode_set(mode="OBJECT")
    source = keyframes.make(obj, "Take")
    keyframes.assign(obj, source)
    quats, times = take(frames, bones), np.arange(1.0, frames + 1)
    for number, bone in enumerate(obj.pose.bones):
        path = bone_path(bone.name, "rotation_quaternion")
        for index in range(4):
            keyframes.replace_keys(source, CurveKey(path, index), times, quats[:, number, index], group=bone.name)
    return source


def butterworth(source: keyframes.Source) -> None:
    """Filter all keys with the operator of the graph editor."""
    window = bpy.context.window_manager.windows[0]
    area = max(window.screen.areas, key=lambda area: area.width * area.height)
    area.type = "GRAPH_EDITOR"
    area.spaces.active.dopesheet.show_only_selected = False
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        assert bpy.ops.graph.butterworth_smooth() == {"FINISHED"}


def select_keys(source: keyframes.Source) -> None:
    """Select all keys, as the graph editor's operators want them."""
    from blender_addon.bridge.actions import holder

    for curve in holder(source).fcurves:
        curve.select = True
        curve.keyframe_points.foreach_set("select_control_point", np.ones(len(curve.keyframe_points), bool))


def refine() -> None:
    """Refine the active object."""
    assert bpy.ops.smoothnet.refine() == {"FINISHED"}


def play(source: keyframes.Source) -> None:
    """Let the armature play an action."""
    keyframes.assign(bpy.context.active_object, source)


def timed(function: Callable[[], None]) -> tuple[float, float]:
    """Return how many seconds of the clock and of the processor a call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Count the processor time of the stages, of generators as long as they run."""
    seconds: dict[str, float] = defaultdict(float)
    with ExitStack() as stack:
        for title, module, name in STAGES:
            stack.enter_context(mock.patch.object(module, name, _watch(getattr(module, name), title, seconds)))
        yield seconds


def _watch(function: Callable[..., Any], title: str, seconds: dict[str, float]) -> Callable[..., Any]:
    def run(*args: Any, **keywords: Any) -> Any:
        begun = time.process_time()
        result = function(*args, **keywords)
        seconds[title] += time.process_time() - begun
        return _steps(result, title, seconds) if hasattr(result, "send") else result

    return run


def _steps(generator: Any, title: str, seconds: dict[str, float]) -> Any:
    while True:
        begun = time.process_time()
        try:
            value = next(generator)
        except StopIteration as end:
            return end.value
        finally:
            seconds[title] += time.process_time() - begun
        yield value


def measure(bones: int, frames: int, rounds: int) -> None:
    """Print what a take of a size takes."""
    source = keyed(bones, frames)
    select_keys(source)
    if rounds > 1:
        refine()  # what is done once: modules, weights
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    stages: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        play(source)
        found["refine"].append(timed(refine))
        play(source)
        with watched() as seconds:
            refine()
        for title, value in seconds.items():
            stages[title].append(value)
        play(source)
        # On keys that were filtered before it takes as long.
        found["butterworth"].append(timed(lambda: butterworth(source)))
    print(f"\n{bones} bones x {frames:,} keys, {rounds} rounds; NumPy {np.__version__}, bpy {bpy.app.version_string}")
    for name, values in found.items():
        for place, clock in enumerate(("wall", "processor")):
            own = np.array(values)[:, place]
            print(f"  {name:12} {clock:10} {np.median(own):7.3f} s  ({own.min():.3f} to {own.max():.3f})")
    ratio = np.array(found["refine"]) / np.array(found["butterworth"])
    low, high = ratio.min(axis=0), ratio.max(axis=0)
    for place, clock in enumerate(("wall", "processor")):
        print(f"  ratio        {clock:10} {np.median(ratio[:, place]):7.2f}    ({low[place]:.2f} to {high[place]:.2f})")
    for title, _, _ in STAGES:
        if title in stages:
            print(f"    {title:22} {np.median(stages[title]):7.3f} s")
    print(f"  peak of memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--large", action="store_true", help="the two large takes as well")
    options = parser.parse_args()
    measure(BONES, FRAMES, options.rounds)
    if options.large:
        for bones, frames in LARGE:
            measure(bones, frames, 1)


if __name__ == "__main__":
    blender_addon.register()
    try:
        main()
    finally:
        blender_addon.unregister()
