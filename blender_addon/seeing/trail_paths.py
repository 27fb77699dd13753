"""Where joints go over time, before and after refinement: what trails are drawn from."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import bpy
import numpy as np
from mathutils import Euler, Matrix, Quaternion
from numpy.typing import NDArray

from ..animation.curves import Curve, CurveKey, target_of
from ..animation.rotation_modes import channel_name
from ..bridge import armatures, keyframes
from ..bridge.keyframes import Source
from ..bridge.players import counterpart, slot_identifier, to_action_time
from ..holds import constrained_bones
from ..results import pair_of
from ..rigs.parts import leg_joints
from ..rigs.pose_channels import Channels, linear_sampler, sample_pose
from ..rigs.posing import world_ends
from ..takes import bone_parts

Array = NDArray[np.float64]

# More frames or trails than that are neither drawn fast nor told apart.
MOST_FRAMES, MOST_TRAILS = 20_000, 24
# Keys no farther apart, in frames, need none of Blender's own evaluation in between.
_DENSE = 1.5


@dataclass(frozen=True, eq=False)
class Paths:
    """Trails of one object.

    Attributes:
        frames: (T,) of the scene.
        before: (T, N, 3) of the original, or of the only take there is; in the space of ``matrix``.
        after: the same of the refined take; None where there is none.
        keyed: (T, N) frames at which the joint's own channels have keys.
        moving: the points are in the scene's space already, since the object itself is animated.
    """

    frames: Array
    before: Array
    after: Array | None
    keyed: NDArray[np.bool_]
    moving: bool


class Known(NamedTuple):
    """What the trails of one action are computed from."""

    action: int
    slot: str
    object: int
    bones: tuple[str, ...]
    first: int
    last: int


class Line(NamedTuple):
    """Trails (T, N, 3) of one action, where they have keys (T, N), and whether the object itself moves."""

    points: Array
    keyed: NDArray[np.bool_]
    moving: bool


def trail_bones(obj: bpy.types.Object) -> list[str]:
    """Return the bones whose trails are drawn: those selected; else hips, head, hands and feet."""
    return (selected_in_pose(obj) or main_bones(obj))[:MOST_TRAILS]


def selected_in_pose(obj: bpy.types.Object) -> list[str]:
    """Return the bones selected in pose mode; none in other modes."""
    return armatures.selected_bones(obj) if obj.mode == "POSE" else []


def paths_of(
    obj: bpy.types.Object, bones: list[str], first: int, last: int, known: dict[Known, Line] | None = None
) -> Paths | None:
    """Return the trails of an object's bones, or of its own origin; None where nothing is keyed.

    Args:
        obj: an armature, or any animated object.
        bones: names; the head of each is drawn, of the last in a chain the tail. Empty for objects without bones.
        first: first frame of the scene.
        last: last frame; long ranges are thinned out.
        known: trails of single actions from before, and after; who drags a slider changes only one of the two.
    """
    source, strip = _played(obj)
    if source is None:
        return None
    frames = np.unique(np.linspace(first, last, min(MOST_FRAMES, last - first + 1)).round())
    at = np.array([to_action_time(float(frame), strip) for frame in frames])
    pair = pair_of(source.action)
    sources = [source] if pair is None else [counterpart(source, action) for action in pair]
    known = {} if known is None else known
    lines = []
    for one in sources:
        place = Known(one.action.session_uid, slot_identifier(one), obj.session_uid, tuple(bones), first, last)
        if place not in known:
            known[place] = _line(obj, bones, _Read(one, at))
        lines.append(known[place])
    if lines[0].moving != lines[-1].moving:
        return None
    after = lines[1].points if len(lines) > 1 else None
    return Paths(frames, lines[0].points, after, lines[-1].keyed, lines[-1].moving)


def _line(obj: bpy.types.Object, bones: list[str], read: "_Read") -> Line:
    targets = (target_of(curve.path) for curve in read.curves)
    moving = any(target is not None and target.kind == "object" for target in targets)
    keyed = np.stack([read.keyed(owner) for owner in (bones or [""])], axis=1)
    return Line(_points(obj, bones, read, len(read.at), moving), keyed, moving)


class _Read:
    """The curves of a source at frames of its action."""

    def __init__(self, source: Source, at: Array) -> None:
        self.source, self.at = source, at
        self.curves = keyframes.read_curves(source, marks=False)
        self._by_key = {curve.key: curve for curve in self.curves if len(curve.times)}
        self._linear = linear_sampler(self.curves, at)

    def sample(self, key: CurveKey) -> Array | None:
        """Return a curve's values; dense keys are joined by straight lines, all else is as Blender evaluates it."""
        curve = self._by_key.get(key)
        if curve is None:
            return None
        if _is_dense(curve) and not curve.modified and not curve.cycle:
            return self._linear(key)
        return keyframes.evaluate(self.source, key, self.at)

    def keyed(self, owner: str) -> NDArray[np.bool_]:
        """Return (T,) the frames nearest to keys that move a bone, or the object itself."""
        flags = np.zeros(len(self.at), bool)
        step = float(np.median(np.diff(self.at))) if len(self.at) > 1 else 1.0
        for curve in self.curves:
            target = target_of(curve.path)
            if target is None or target.owner != owner or target.channel == "scale" or not len(curve.times):
                continue
            place = np.clip(np.searchsorted(self.at, curve.times), 0, len(self.at) - 1)
            before = np.maximum(place - 1, 0)
            nearer = np.abs(self.at[before] - curve.times) < np.abs(self.at[place] - curve.times)
            place = np.where(nearer, before, place)
            flags[place[np.abs(self.at[place] - curve.times) <= 0.5 * step + 1e-3]] = True
        return flags


def _points(obj: bpy.types.Object, bones: list[str], read: _Read, count: int, moves_itself: bool) -> Array:
    """Return (T, N, 3) of bones or of the object's origin."""
    if not bones:
        local = np.zeros((count, 1, 3))
    else:
        rig = armatures.read_rig(obj)
        present = armatures.rest_channels(obj)
        at = {name: place for place, name in enumerate(rig.names)}
        places = rig.above([at[name] for name in bones])
        some = rig.take(places)
        kept = Channels(
            modes=tuple(present.modes[place] for place in places),
            rotations=tuple(present.rotations[place] for place in places),
            locations=present.locations[places],
            scales=present.scales[places],
        )
        heads, tails = world_ends(replace(some, world=np.eye(4)), *sample_pose(some.names, kept, read.sample, count))
        ends = {name for place, name in enumerate(rig.names) if not rig.children[place]}
        columns = [(tails if name in ends else heads)[:, some.names.index(name)] for name in bones]
        local = np.stack(columns, axis=1)
    return _moved(obj, local, read, count) if moves_itself else local


def _moved(obj: bpy.types.Object, local: Array, read: _Read, count: int) -> Array:
    """Return points (T, N, 3) in the scene, where the object's own channels take them."""
    mode = obj.rotation_mode
    channel = channel_name(mode)

    def column(name: str, present: Any) -> Array:
        values = [read.sample(CurveKey(name, k)) for k in range(len(present))]
        return np.stack([np.full(count, p) if v is None else v for v, p in zip(values, present, strict=True)], axis=1)

    places, turns, sizes = (
        column("location", obj.location),
        column(channel, getattr(obj, channel)),
        column("scale", obj.scale),
    )
    parent = _parent_matrix(obj)
    moved = np.empty_like(local)
    for t in range(count):
        matrix = parent @ Matrix.LocRotScale(places[t], _rotation(turns[t], mode), sizes[t])
        m = np.array(matrix)
        x, y, z = local[t].T
        moved[t] = np.stack([m[k, 0] * x + m[k, 1] * y + m[k, 2] * z + m[k, 3] for k in range(3)], axis=-1)
    return moved


def _parent_matrix(obj: bpy.types.Object) -> Any:
    """Return what an object's own channels are relative to, as it is at the present frame."""
    if obj.parent is None:
        return Matrix()
    if obj.parent_type == "OBJECT":
        return obj.parent.matrix_world @ obj.matrix_parent_inverse
    return obj.matrix_world @ obj.matrix_basis.inverted_safe()


def _rotation(values: Array, mode: str) -> Any:
    if mode == "QUATERNION":
        return Quaternion(values).normalized()
    if mode == "AXIS_ANGLE":
        return Quaternion(values[1:], values[0])
    return Euler(values, mode)


def _played(obj: bpy.types.Object) -> tuple[Source | None, Any]:
    active = keyframes.active_source(obj)
    if active is not None:
        return active, None
    strips = keyframes.nla_sources(obj)
    return (strips[0][1], strips[0][0]) if strips else (None, None)


def _is_dense(curve: Curve) -> bool:
    return len(curve.times) > 1 and float(np.diff(curve.times).max()) <= _DENSE


def main_bones(obj: bpy.types.Object) -> list[str]:
    """Return hands, feet, head and hips, as far as their names tell; else the roots.

    Bones that constraints hold are left out: their own channels do not say where they go.
    """
    rig, parts = armatures.read_rig(obj), bone_parts(obj)
    held = constrained_bones(obj)
    bones = [bone for bone in obj.pose.bones if bone.name not in held]

    def tops(part: str, most: int) -> list[str]:
        found = [b.name for b in bones if parts[b.name] == part and (not b.parent or parts[b.parent.name] != part)]
        # Captured points hang on nothing, and a hand of many is one hand.
        return found[:most]

    arms = [b.name for b in bones if parts[b.name] == "ARMS" and not b.children]
    try:
        feet = [rig.names[leg.ankle] for leg in leg_joints(rig.names, rig.parents.tolist())]
    except ValueError:
        feet = [b.name for b in bones if "ankle" in b.name.lower()][:2]
    hips = [b.name for b in bones if parts[b.name] == "ROOT" and any(parts[c.name] != "ROOT" for c in b.children)]
    found = [*(tops("HANDS", 2) or arms), *(foot for foot in feet if foot not in held), *tops("HEAD", 1), *hips[-1:]]
    return found or [bone.name for bone in obj.pose.bones if bone.parent is None]
