"""File > Import > Motion Capture: files of motions as armatures with keys, one for each person."""

from pathlib import Path

import bpy
import numpy as np
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from smpl_tools.motion import Motion

from .. import preferences
from ..files import motion_files
from ..files.armature_motion import RECORD, build
from ..files.figure import Figure
from ..files.figures import content_of, figures_of
from ..files.motion_files import Record, Stated

EXTENSIONS = (".npz", ".npy", ".pkl", ".pt", ".bvh", ".csv", ".json")

_KINDS = (
    ("AUTO", "Automatic", "What the file says, as far as it does"),
    ("position", "Positions", "Positions of joints, (frames, joints, 3)"),
    ("axis_angle", "Axis Angle", "Rotation vectors of SMPL's joints, (frames, joints, 3)"),
    ("rotation_matrix", "Matrices", "Rotation matrices of SMPL's joints, (frames, joints, 3, 3)"),
    ("quat_wxyz", "Quaternions", "Quaternions of SMPL's joints, real part first, (frames, joints, 4)"),
    ("rotation_6d", "6D Rotations", "Two columns of the matrices of SMPL's joints, (frames, joints, 6)"),
)
_UPS = (
    ("AUTO", "Automatic", "As the file says, else guessed from how people stand"),
    ("y", "Y Up", "Y points up"),
    ("z", "Z Up", "Z points up"),
    ("-y", "Camera", "X right, Y down, Z away, as a camera sees it"),
)
_UNITS = (
    ("AUTO", "Automatic", "As the file says, else guessed from the size of people"),
    ("m", "Metres", "One unit is a metre"),
    ("cm", "Centimetres", "One unit is a centimetre"),
    ("mm", "Millimetres", "One unit is a millimetre"),
    ("in", "Inches", "One unit is an inch"),
)
_BODIES = (
    ("AUTO", "Automatic", "The SMPL model that the motion is for where its folder is set, else the bones alone"),
    ("NONE", "Bones Only", "No mesh"),
    ("FREE", "Free Body", "A body that anyone may use and pass on"),
    ("SMPL", "SMPL", "Your own file of SMPL"),
    ("SMPLH", "SMPL-H", "Your own file of SMPL-H"),
    ("SMPLX", "SMPL-X", "Your own file of SMPL-X"),
)
_POINTS = (
    ("FOLLOW", "Points", "A bone at every joint follows its position; nothing is made up"),
    ("FIT", "Fitted Body", "The bones of SMPL, in the poses whose joints lie nearest; takes some seconds"),
)
_MODES = (
    ("QUATERNION", "Quaternion", "No gimbal lock"),
    ("XYZ", "XYZ Euler", "Euler angles in the order X, Y, Z"),
    ("XZY", "XZY Euler", "Euler angles in the order X, Z, Y"),
    ("YXZ", "YXZ Euler", "Euler angles in the order Y, X, Z"),
    ("YZX", "YZX Euler", "Euler angles in the order Y, Z, X"),
    ("ZXY", "ZXY Euler", "Euler angles in the order Z, X, Y"),
    ("ZYX", "ZYX Euler", "Euler angles in the order Z, Y, X"),
    ("AXIS_ANGLE", "Axis Angle", "An angle about an axis"),
)


def smpl_folder(context: bpy.types.Context) -> str:
    """Return the folder of SMPL models of the preferences, empty where none is set."""
    folder = preferences.get(context).smpl_folder
    return bpy.path.abspath(folder) if folder else ""


class SMOOTHNET_OT_import_motion(bpy.types.Operator, ImportHelper):
    """Import motion capture as armatures with keys, one for each person"""

    bl_idname = "smoothnet.import_motion"
    bl_label = "Import Motion"
    bl_options = {"REGISTER", "UNDO", "PRESET"}

    filter_glob: StringProperty(default=";".join(f"*{e}" for e in EXTENSIONS), options={"HIDDEN"})
    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    files: CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})

    set_rate: BoolProperty(
        name="Set Scene Rate",
        description="Give the scene the frame rate of the motion, and its frames; without it keys lie between frames "
        "where the rates differ",
        options={"SKIP_SAVE"},
    )
    frame_start: IntProperty(name="Start Frame", description="Frame of the motion's first pose", default=1)
    fps: FloatProperty(
        name="Frame Rate",
        description="Frames a second in place of what the file says; 0 is what it says, or 30 where it says nothing",
        default=0.0, min=0.0, soft_max=240.0,
    )  # fmt: skip
    rotation_mode: EnumProperty(name="Rotation", description="Rotation mode of the bones", items=_MODES)
    body: EnumProperty(name="Body", description="Mesh for SMPL poses", items=_BODIES)
    smpl_folder: StringProperty(
        name="SMPL Folder",
        description="Folder of your SMPL models; empty is that of the preferences",
        subtype="DIR_PATH",
    )
    points: EnumProperty(name="Positions As", description="What 3D positions of joints become", items=_POINTS)
    camera: BoolProperty(
        name="Camera View",
        description="Poses as the camera sees them, where the file has them in the world too",
    )
    up: EnumProperty(name="Up", description="The axis that points up in the file", items=_UPS)
    unit: EnumProperty(name="Unit", description="Unit of lengths in the file", items=_UNITS)
    kind: EnumProperty(name="Array Holds", description="What the numbers of a plain array are", items=_KINDS)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for files; of files dropped on the window only for the settings."""
        self._choose(context)
        if self.directory and self.files and self.files[0].name:
            self.filepath = str(Path(self.directory) / self.files[0].name)
            return context.window_manager.invoke_props_dialog(self, confirm_text="Import")
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def draw(self, context: bpy.types.Context) -> None:
        """Show the settings."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column(heading="Time")
        column.prop(self, "set_rate")
        column.prop(self, "frame_start")
        column.prop(self, "fps")
        column = layout.column()
        column.prop(self, "rotation_mode")
        column.prop(self, "points")
        column.prop(self, "body")
        if self.body in ("AUTO", "SMPL", "SMPLH", "SMPLX") and not smpl_folder(context):
            column.prop(self, "smpl_folder")
        column = layout.column(heading="File")
        column.prop(self, "camera")
        column.prop(self, "up")
        column.prop(self, "unit")
        column.prop(self, "kind")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Import every file; one that cannot be read does not keep the others from it."""
        self._choose(context)
        names = [file.name for file in self.files]
        try:
            paths = motion_files.chosen_paths(self.filepath, self.directory, names)
        except ValueError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        paths = list(dict.fromkeys(map(motion_files.folder_of, paths)))
        failed = 0
        for path in paths:
            try:
                self._import(context, path)
            except ValueError as error:
                text = motion_files.for_animators(str(error))
                self.report({"ERROR"}, text if str(path) in text else f"{path}: {text}")
                failed += 1
        return {"CANCELLED"} if failed == len(paths) else {"FINISHED"}

    def _choose(self, context: bpy.types.Context) -> None:
        """Without the user's word the scene takes the motion's rate if nothing moves in it yet."""
        if not self.properties.is_property_set("set_rate"):
            self.set_rate = not bpy.data.actions

    def _stated(self) -> Stated:
        def said(value: str) -> str:
            return "" if value == "AUTO" else value

        return Stated(said(self.kind), "", self.fps, said(self.up), said(self.unit), self.camera)

    def _import(self, context: bpy.types.Context, path: Path) -> None:
        stated = self._stated()
        motion = motion_files.read_motion(path, stated)
        notes = list(motion.notes)
        rate = motion.fps or motion_files.USUAL_RATE
        if motion.fps is None:
            notes.append(f"frame rate not stated: {rate:g} taken")
        content, shown = content_of(motion), motion
        folder = bpy.path.abspath(self.smpl_folder) if self.smpl_folder else smpl_folder(context)
        if content == "joints" and self.points == "FIT":
            model = None
            if self.body in ("SMPL", "SMPLH", "SMPLX") or (self.body == "AUTO" and folder):
                models, remarks = motion_files.bodies_of(motion, "SMPL" if self.body == "AUTO" else self.body, folder)
                model, notes = next(iter(models.values()), None), [*notes, *remarks]
            shown, remarks = motion_files.fitted(motion, model)
            notes += remarks
            content = "fit"
        bodies, remarks = ({}, ())
        if content in ("smpl", "fit"):
            bodies, remarks = motion_files.bodies_of(shown, self.body, folder)
        figures, more = figures_of(
            shown,
            bodies,
            camera=stated.camera,
            up=stated.up or None,  # type: ignore[arg-type]
            metres=stated.metres,
        )
        self._place(context, motion, path, rate, content, stated, figures)
        names = ", ".join(figure.person for figure in figures[:5])
        people = f"{len(figures)} people" if len(figures) > 1 else f"person {names}"
        self.report({"INFO"}, f"{path.name}: {motion.format}, {people}, {motion.frame_count} frames at {rate:g} fps")
        skins = [figure.skin for figure in figures if figure.skin is not None]
        licences = {skin.licence for skin in skins if skin.licence is not None}
        for note in dict.fromkeys((*notes, *remarks, *more, *sorted(licences))):
            self.report(
                {"WARNING"} if note.startswith("no mesh") else {"INFO"},
                f"{path.name}: {motion_files.for_animators(note)}",
            )

    def _place(
        self,
        context: bpy.types.Context,
        motion: Motion,
        path: Path,
        rate: float,
        content: str,
        stated: Stated,
        figures: list[Figure],
    ) -> None:
        scene = context.scene
        if self.set_rate:
            scene.render.fps, scene.render.fps_base = motion_files.scene_rate(rate)
        step = scene.render.fps / scene.render.fps_base / rate
        # Files round the time of a frame, and so does Blender's base.
        step = round(step) if abs(step - round(step)) < 1e-4 * step else step
        seen = [figure.frames for figure in figures if len(figure.frames)]
        if not seen:
            raise ValueError(f"{path}: frames: expected at least one, received none")
        first = int(min(frames[0] for frames in seen))
        last = int(max(frames[-1] for frames in seen))
        if self.set_rate:
            scene.frame_start = self.frame_start
            scene.frame_end = max(self.frame_start, self.frame_start + int(np.ceil((last - first) * step)))
        digest = motion_files.digest_of(path)
        _to_object_mode(context)
        collection = _collection(context, path.stem, len(figures))
        for figure in figures:
            times = self.frame_start + (figure.frames - first) * step
            name = path.stem if len(figures) == 1 else f"{path.stem} {figure.person}"
            made = build(context, figure, name, collection, times, self.rotation_mode)
            record = Record(
                str(path.resolve()), digest, motion.format, figure.person, content, figure.joints, made.bones,
                float(self.frame_start), first, rate, float(step), figure.up or "", figure.metres,
                tuple(figure.origin.tolist()), tuple(figure.pelvis.tolist()),
                () if figure.betas is None else tuple(figure.betas.tolist()), figure.gender or "", stated,
            )  # fmt: skip
            made.object[RECORD] = record.text()
        scene.frame_set(scene.frame_current)


def _to_object_mode(context: bpy.types.Context) -> None:
    """Leave the mode that the active object is in, and select nothing."""
    active = context.view_layer.objects.active
    if active is not None and active.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    for object in context.view_layer.objects:
        object.select_set(False)


def _collection(context: bpy.types.Context, name: str, people: int) -> bpy.types.Collection:
    """Return where the armatures go: a new collection for several, else the one in use if it is seen."""
    if people > 1:
        collection = bpy.data.collections.new(name)
        context.scene.collection.children.link(collection)
        return collection
    layer = context.view_layer.active_layer_collection
    seen = not layer.exclude and layer.is_visible and not layer.collection.hide_viewport
    editable = layer.collection.library is None and layer.collection.override_library is None
    return layer.collection if seen and editable else context.scene.collection


class SMOOTHNET_FH_motion(bpy.types.FileHandler):
    """Files of motions dropped on a 3D view."""

    bl_idname = "SMOOTHNET_FH_motion"
    bl_label = "Motion Capture"
    bl_import_operator = "smoothnet.import_motion"
    bl_file_extensions = ";".join(EXTENSIONS)

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        """Take files over 3D views and the outliner."""
        return context.area is not None and context.area.type in ("VIEW_3D", "OUTLINER")


def _menu(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    self.layout.operator(SMOOTHNET_OT_import_motion.bl_idname, text="Motion Capture (.npz, .pkl, .bvh, ...)")


CLASSES = (SMOOTHNET_OT_import_motion, SMOOTHNET_FH_motion)


def register() -> None:
    """Add the entry to the import menu."""
    bpy.types.TOPBAR_MT_file_import.append(_menu)


def unregister() -> None:
    """Take it back."""
    bpy.types.TOPBAR_MT_file_import.remove(_menu)
