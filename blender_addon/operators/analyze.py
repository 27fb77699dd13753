"""Measure before any change: jitter, spikes and gaps as a list, bone colours and timeline markers."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import bpy
from bpy.props import EnumProperty

from ..animation.computing import Given, prepare, question
from ..animation.plan import Channel, Options, Skipped
from ..animation.refining import sample
from ..bridge import armatures, keyframes
from ..jobs import Background, Job, JobOperator, Progress
from ..seeing.bone_colors import color_bone, restore_colors
from ..seeing.readings import DEGREES, SPIKE, Event, Reading, marks_of, readings_of
from ..takes import Take, body_of, chosen, scene_fps, takes_of

# Seconds within which spikes share a marker, and the most markers there are: more help nobody.
_NEAR, _MOST = 0.25, 60
# All that moves, and gaps of any length.
_OPTIONS = Options(all_locations=True, fill_gaps=True, longest_gap=math.inf)


class SMOOTHNET_OT_analyze(JobOperator, bpy.types.Operator):
    """Measure jitter, spikes and gaps of the selected objects; no key changes"""

    bl_idname = "smoothnet.analyze"
    bl_label = "Analyze"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Tell what is missing."""
        if not chosen(context):
            cls.poll_message_set("Select an armature, or another animated object")
            return False
        return True

    def job(self, context: bpy.types.Context) -> Job:
        """Read all takes, measure them, and only then write what was found."""
        scene = context.scene
        takes, problems = takes_of(chosen(context), scene)
        if not takes:
            raise ValueError(problems[0] if problems else "Nothing selected has keys: select an animated object")
        measured = []
        for number, take in enumerate(takes):
            at = [(number + share) / len(takes) for share in (0.0, 0.3, 0.5, 0.6, 1.0)]
            name = take.source.action.name
            curves, count = [], keyframes.curve_count(take.source)
            for curve in keyframes.each_curve(take.source, marks=False):
                curves.append(curve)
                yield Progress(at[0] + (at[1] - at[0]) * len(curves) / count, f"Reading {name}")
            given = Given(curves, body_of(take.owner, curves), _OPTIONS, take.fps, repeats=False, armature=None)
            prepared = yield Background(partial(prepare, given), at[1], at[2], f"Reading {name}")
            answers = {}
            for key, frames in prepared.asked:
                answers[key, question(frames)] = keyframes.evaluate(take.source, key, frames)
                yield Progress(at[3], f"Reading {name}")
            metres = armatures.metres_per_unit(scene) * _size(take.owner)
            work = partial(_measured, prepared.plan.channels, answers, take.fps, metres)
            found = yield Background(work, at[3], at[4], f"Measuring {name}")
            measured.append((take, found, _note(prepared.plan.skipped)))
        _clear({obj for take, _, _ in measured for obj in _objects(take)}, scene)
        events: list[tuple[str, Event]] = []
        for take, found, note in measured:
            for obj in _objects(take):
                _show(obj, take, found, note, scene)
            to_scene = _scene_frames(take)
            for reading in found:
                events += [(reading.name, Event(e.kind, to_scene(e.first), to_scene(e.last))) for e in reading.events]
        left_out = _mark(scene, events) if scene.smoothnet_view.set_markers else 0
        if left_out:
            problems.append(f"{_MOST} markers set, {left_out} more places left without one")
        for problem in problems:
            self.report({"WARNING"}, problem)


class SMOOTHNET_OT_clear_analysis(bpy.types.Operator):
    """Remove lists and markers of Analyze, and give bones their own colors back"""

    bl_idname = "smoothnet.clear_analysis"
    bl_label = "Clear Analysis"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Tell whether there is anything."""
        if len(context.scene.smoothnet_view.marks) or any(map(_has_analysis, context.scene.objects)):
            return True
        cls.poll_message_set("Nothing was analyzed")
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Clear all objects of the scene."""
        _clear(set(context.scene.objects), context.scene)
        return {"FINISHED"}


class SMOOTHNET_OT_jump_marker(bpy.types.Operator):
    """Go to the next or previous spike or gap that Analyze marked"""

    bl_idname = "smoothnet.jump_marker"
    bl_label = "Jump to Marker"
    bl_options = {"INTERNAL"}

    direction: EnumProperty(
        name="Direction",
        items=(("NEXT", "Next", "To the next marker"), ("PREVIOUS", "Previous", "To the previous marker")),
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Tell whether there are markers."""
        if len(context.scene.smoothnet_view.marks):
            return True
        cls.poll_message_set("Analyze found no spikes or gaps, or was not used yet")
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Set the frame."""
        scene = context.scene
        ahead = self.direction == "NEXT"
        now = scene.frame_current_final
        frames = [marker.frame for marker in our_markers(scene)]
        frames = [frame for frame in frames if (frame > now if ahead else frame < now)]
        if not frames:
            self.report({"INFO"}, f"No marker {'after' if ahead else 'before'} frame {scene.frame_current}")
            return {"CANCELLED"}
        scene.frame_set(min(frames) if ahead else max(frames))
        return {"FINISHED"}


def _measured(
    channels: Sequence[Channel], answers: Mapping[Any, Any], fps: float, metres: float, tick: Callable[[float], None]
) -> list[Reading]:
    """Measure the channels of a take; for a worker thread."""
    sampled = [sample(channel, lambda key, frames: answers[key, question(frames)]) for channel in channels]
    return readings_of(sampled, fps, metres, tick)


def our_markers(scene: bpy.types.Scene) -> list[bpy.types.TimelineMarker]:
    """Return the markers that Analyze set and are still there, moved or not; renamed ones are the user's."""
    free = list(scene.timeline_markers)
    found = []
    for mark in scene.smoothnet_view.marks:
        same = [marker for marker in free if marker.name == mark.name]
        if same:
            nearest = min(same, key=lambda marker: abs(marker.frame - mark.frame))
            found.append(nearest)
            free.remove(nearest)
    return found


def _mark(scene: bpy.types.Scene, events: list[tuple[str, Event]]) -> int:
    marks, left_out = marks_of(events, _NEAR * scene_fps(scene), _MOST)
    for mark in marks:
        scene.timeline_markers.new(mark.name, frame=mark.frame)
        kept = scene.smoothnet_view.marks.add()
        kept.name, kept.frame = mark.name, mark.frame
    return left_out


def _show(obj: bpy.types.Object, take: Take, found: list[Reading], note: str, scene: bpy.types.Scene) -> None:
    analysis = obj.smoothnet_analysis
    # An object and its mesh's shape keys are two takes of one list.
    action = take.source.action.name
    analysis.action = f"{analysis.action}, {action}" if analysis.action else action
    analysis.note = ". ".join(filter(None, (analysis.note, note)))
    for reading in found:
        line = analysis.readings.add()
        line.name, line.kind, line.jitter, line.unit = reading.name, reading.kind, reading.jitter, reading.unit
        line.spikes = sum(event.kind == SPIKE for event in reading.events)
        line.gaps = len(reading.events) - line.spikes
        bone = obj.pose.bones.get(reading.name) if reading.kind == "BONE" and obj.pose else None
        if bone is not None and reading.unit == DEGREES and scene.smoothnet_view.color_bones:
            color_bone(bone, reading.jitter)


def _clear(objects: set[bpy.types.Object], scene: bpy.types.Scene) -> None:
    for obj in objects:
        if _has_analysis(obj) and obj.library is None:
            restore_colors(obj)
            analysis = obj.smoothnet_analysis
            analysis.readings.clear()
            analysis.active, analysis.action, analysis.note = 0, "", ""
    for marker in our_markers(scene):
        scene.timeline_markers.remove(marker)
    scene.smoothnet_view.marks.clear()


def _has_analysis(obj: bpy.types.Object) -> bool:
    return bool(obj.smoothnet_analysis.action)


def _objects(take: Take) -> list[bpy.types.Object]:
    """Return the objects that play a take; for shape keys those with the mesh."""
    found = []
    for player in take.players:
        if isinstance(player.id, bpy.types.Key):
            found += [obj for obj in bpy.data.objects if obj.data is not None and obj.data == player.id.user]
        else:
            found.append(player.id)
    return found


def _scene_frames(take: Take) -> Any:
    strip = take.players[0].strip if take.players else None
    if strip is None:
        return lambda frame: frame
    start, first, scale = strip.frame_start, strip.action_frame_start, strip.scale
    return lambda frame: start + (frame - first) * scale


def _size(owner: bpy.types.ID) -> float:
    """Return how large one unit of an armature is in the scene."""
    if isinstance(owner, bpy.types.Object) and owner.type == "ARMATURE":
        return sum(owner.matrix_world.to_scale()) / 3
    return 1.0


def _note(skipped: Sequence[Skipped]) -> str:
    sparse = sum("keys a second" in one.reason for one in skipped)
    other = len(skipped) - sparse
    parts = [
        f"{sparse} with fewer than 5 keys a second" if sparse else "",
        f"{other} muted, locked, or not in use" if other else "",
    ]
    listed = " and ".join(filter(None, parts))
    return f"Not measured: {listed}" if listed else ""


CLASSES = (SMOOTHNET_OT_analyze, SMOOTHNET_OT_clear_analysis, SMOOTHNET_OT_jump_marker)
