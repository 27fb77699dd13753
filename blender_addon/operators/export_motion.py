"""File > Export > Motion Capture: the motion of armatures in a file of any format that can be written."""

from pathlib import Path
from typing import cast

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty, FloatProperty, StringProperty
from bpy_extras.io_utils import ExportHelper

from smpl_tools import formats
from smpl_tools.convert import make, makeable, prepared_for
from smpl_tools.motion import Up

from .. import callbacks
from ..animation.curves import Array
from ..bridge.evaluation import action_range, sampled
from ..files import motion_files
from ..files.armature_motion import RECORD
from ..files.evaluated_motion import Take, points_motion, rig_motion, smpl_motion
from ..files.motion_files import Record, record_of
from ..files.written_back import person_of, with_take

_SAME = ("SAME", "Same as Imported", "The file that the armature came from, with its motion as it is now")
_RANGES = (
    ("ACTION", "Action", "From the first to the last key"),
    ("SCENE", "Scene", "The scene's frames, or its preview range"),
)
# Blender frees what a dynamic list holds if nobody else does.
_items: list[tuple[str, str, str]] = []


def format_items(context: bpy.types.Context | None) -> list[tuple[str, str, str]]:
    """Return the formats that the active armature can be written in, as an enumeration has them."""
    if not _items:
        known = sorted(makeable(), key=lambda name: (name not in ("bvh", "gltf"), name))
        for name in known:
            _items.append((name, formats.FORMATS[name].title[:1].upper() + formats.FORMATS[name].title[1:], name))
        _items.append(_SAME)
    active = None if context is None else context.view_layer.objects.active
    # The last first, where there is such a file.
    return [_SAME, *_items[:-1]] if active is None or RECORD in active else _items


class SMOOTHNET_OT_export_motion(bpy.types.Operator, ExportHelper):
    """Export the motion of the active armature, as it is seen, to a motion capture file"""

    bl_idname = "smoothnet.export_motion"
    bl_label = "Export Motion"
    bl_options = {"REGISTER", "PRESET"}

    filename_ext = ""
    check_extension = None
    filter_glob: StringProperty(default="*", options={"HIDDEN"})

    format: EnumProperty(name="Format", description="Format of the file", items=callbacks.export_formats)
    range: EnumProperty(name="Range", description="Which frames are written", items=_RANGES)
    fps: FloatProperty(
        name="Frame Rate",
        description="Frames a second; 0 is that of the imported file, else the scene's",
        default=0.0, min=0.0, soft_max=240.0,
    )  # fmt: skip
    all_people: BoolProperty(
        name="All People",
        description="Write everybody who was imported from the same file, where the format holds several",
        default=True,
    )
    deforming: BoolProperty(
        name="Only Deform Bones",
        description="Leave out bones that move no mesh",
        default=True,
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Want an armature with bones."""
        active = context.view_layer.objects.active
        if active is None or active.type != "ARMATURE":
            cls.poll_message_set("The active object is no armature")
            return False
        if not active.pose.bones:
            cls.poll_message_set("The armature has no bones")
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for a file."""
        active = context.view_layer.objects.active
        if not self.properties.is_property_set("format") and RECORD not in active:
            self.format = "bvh"
        if not self.filepath:
            self.filepath = self._proposed(active)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def check(self, context: bpy.types.Context) -> bool:
        """Let the ending of the name follow the format."""
        suffixes = self._suffixes(context.view_layer.objects.active)
        path = Path(self.filepath)
        known = {suffix for form in formats.FORMATS.values() for suffix in form.suffixes}
        if not path.name or path.suffix.lower() in suffixes:
            return False
        base = path.with_suffix("") if path.suffix.lower() in known else path
        self.filepath = str(base) + suffixes[0]
        return self.filepath != str(path)

    def draw(self, context: bpy.types.Context) -> None:
        """Show the settings."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "format")
        column = layout.column()
        column.active = self.format != "SAME"
        column.prop(self, "range")
        column.prop(self, "fps")
        layout.prop(self, "all_people")
        column = layout.column()
        column.active = self.format != "SAME"
        column.prop(self, "deforming")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Write it."""
        try:
            self._export(context)
        except ValueError as error:
            self.report({"ERROR"}, motion_files.for_animators(str(error)))
            return {"CANCELLED"}
        return {"FINISHED"}

    def _proposed(self, active: bpy.types.Object) -> str:
        """Return a name for the file: beside the imported one where there is one, and not in its place."""
        name = bpy.path.clean_name(active.name)
        try:
            folder = Path(_record(active).path).parent if RECORD in active else None
        except ValueError:
            folder = None
        if folder is not None and folder.is_dir():
            name = str(folder / f"{name}_new")
        return name + self._suffixes(active)[0]

    def _suffixes(self, active: bpy.types.Object) -> tuple[str, ...]:
        name = self.format
        if name == "SAME":
            try:
                record = _record(active) if RECORD in active else None
            except ValueError:
                record = None
            if record is None or record.format not in formats.FORMATS:
                return ("",)
            if formats.FORMATS[record.format].suffixes and Path(record.path).suffix:
                return (Path(record.path).suffix.lower(),)
            name = record.format
        return formats.FORMATS[name].suffixes or ("",)

    def _export(self, context: bpy.types.Context) -> None:
        if not self.filepath or not Path(self.filepath).name:
            raise ValueError("file to write: expected a name, received none")
        active = context.view_layer.objects.active
        path = Path(bpy.path.abspath(self.filepath))
        record = _record(active) if RECORD in active else None
        to = self.format
        if to == "SAME":
            if record is None:
                raise ValueError(f"{active.name}: expected an armature imported from a file, received another one")
            if record.content == "fit":
                raise ValueError(
                    f"{active.name} was fitted to positions of joints, which its format, {record.format}, holds and "
                    "poses are not: choose another format"
                )
            problem = _problem(record)
            if not problem:
                self._write_back(context, active, record, path)
                return
            to = record.format
            if to not in makeable():
                raise ValueError(f"{problem}, and no new file of the format {to} can be written")
            self.report({"WARNING"}, f"{problem}: a new file is written, with the motion alone")
        self._write_new(context, active, record, to, path)

    def _write_back(self, context: bpy.types.Context, active: bpy.types.Object, record: Record, path: Path) -> None:
        """Write the file that armatures were imported from, with their motion."""
        motion = motion_files.read_motion(Path(record.path), record.stated)
        owners = self._owners(context, active, record)
        rows = {object: person_of(motion, one).frames - one.first for object, one in owners}
        times = {object: one.start + rows[object] * one.step for object, one in owners}
        ends = action_range(active)
        if ends is not None and len(times[active]):
            beyond = ends[0] < times[active][0] - 0.5 or ends[1] > times[active][-1] + 0.5
            if beyond:
                self.report({"WARNING"}, f"keys outside of the file's {len(times[active])} frames are not written")
        moments = np.unique(np.concatenate(list(times.values()))).astype(np.float64)
        takes = self._sampled(context, [object for object, _ in owners], _of_scene(context, moments))
        changed = motion
        for (object, one), take in zip(owners, takes, strict=True):
            changed = with_take(changed, take.rows(np.searchsorted(moments, times[object])), one)
        formats.write(changed, path)
        if path.resolve() == Path(record.path):
            digest = motion_files.digest_of(path)
            for object, one in owners:
                object[RECORD] = _with_digest(one, digest).text()
        people = ", ".join(one.person for _, one in owners)
        self.report({"INFO"}, f"{path.name}: {record.format}, person {people}, {len(moments)} frames")

    def _write_new(
        self, context: bpy.types.Context, active: bpy.types.Object, record: Record | None, to: str, path: Path
    ) -> None:
        target = formats.FORMATS[to]
        scene = context.scene
        rate = scene.render.fps / scene.render.fps_base
        fps = self.fps or (rate if record is None else record.rate)
        step = rate / fps
        if record is not None and abs(step / record.step - 1) < 1e-4:
            step = record.step  # what the scene's base rounds
        ends = action_range(active) if self.range == "ACTION" else None
        if ends is None:
            preview = scene.use_preview_range
            first, last = (
                (scene.frame_preview_start, scene.frame_preview_end)
                if preview
                else (scene.frame_start, scene.frame_end)
            )
        else:
            first, last = ends
        moments: Array = first + np.arange(int((last - first) / step + 1e-3) + 1, dtype=np.float64) * step
        content = None if record is None else "smpl" if record.content == "fit" else record.content
        poses = content == "smpl" and bool({"smpl", "array"} & set(target.contents))
        points = content in ("joints", "joints_2d")
        owners = [(active, record)]
        if record is not None and (poses or points) and "people" in target.keeps:
            owners = self._owners(context, active, record)
        objects = [object for object, _ in owners]
        takes = self._sampled(context, objects, moments if ends is None else _of_scene(context, moments))
        # Poses and points have records, by which they are told.
        known = [(take, one) for take, (_, one) in zip(takes, owners, strict=True) if one is not None]
        if record is not None and poses:
            motion = smpl_motion(known, fps, target.up or cast(Up, record.up) or "y")
        elif points:
            motion = points_motion(known, fps)
        else:
            motion = rig_motion(takes[0], fps, deforming=self.deforming)
        ready, notes = prepared_for(motion, to)
        make(ready, to, path)
        self.report({"INFO"}, f"{path.name}: {to}, {len(moments)} frames at {fps:g} fps")
        for note in notes:
            self.report({"INFO"}, f"{path.name}: {motion_files.for_animators(note)}")

    def _owners(
        self, context: bpy.types.Context, active: bpy.types.Object, record: Record
    ) -> list[tuple[bpy.types.Object, Record]]:
        """Return the active armature, and those of the other people of its file."""
        found = {record.person: (active, record)}
        if self.all_people:
            for object in context.view_layer.objects:
                if object.type == "ARMATURE" and RECORD in object and object is not active:
                    other = _record(object)
                    if (other.path, other.digest, other.content) == (record.path, record.digest, record.content):
                        found.setdefault(other.person, (object, other))
        return list(found.values())

    def _sampled(self, context: bpy.types.Context, objects: list[bpy.types.Object], times: Array) -> list[Take]:
        manager = context.window_manager
        manager.progress_begin(0.0, 1.0)
        takes: list[Take] = []
        try:
            for step in sampled(context, objects, times):
                if isinstance(step, list):
                    takes = step
                else:
                    manager.progress_update(step)
        finally:
            manager.progress_end()
        return takes


def _record(object: bpy.types.Object) -> Record:
    return record_of(str(object[RECORD]), object.name)


def _with_digest(record: Record, digest: str) -> Record:
    from dataclasses import replace

    return replace(record, digest=digest)


def _problem(record: Record) -> str:
    """Return why the file cannot be written back, empty if it can."""
    path = Path(record.path)
    if not path.exists():
        return f"{path} is gone"
    return "" if motion_files.digest_of(path) == record.digest else f"{path} has changed since the import"


def _of_scene(context: bpy.types.Context, times: Array) -> Array:
    """Return the frames of the scene at which it plays times of an action, with its time remapping."""
    render = context.scene.render
    return times * (render.frame_map_new / render.frame_map_old)


def _menu(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    self.layout.operator(SMOOTHNET_OT_export_motion.bl_idname, text="Motion Capture (.npz, .pkl, .bvh, ...)")


CLASSES = (SMOOTHNET_OT_export_motion,)


def register() -> None:
    """Add the entry to the export menu."""
    bpy.types.TOPBAR_MT_file_export.append(_menu)


def unregister() -> None:
    """Take it back."""
    bpy.types.TOPBAR_MT_file_export.remove(_menu)
    _items.clear()
