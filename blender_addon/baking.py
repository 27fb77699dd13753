"""Keys for what is seen but not keyed: poses held by constraints, IK and drivers, and curves with few keys."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import bpy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core.rotations import matrix_to_quat_wxyz, project_to_so3

from .animation.curves import INTERPOLATIONS, Array, Curve, CurveKey, bone_path, target_of
from .animation.grids import is_sparse
from .animation.rotation_modes import channel_count, channel_name, from_quat_wxyz
from .bridge import keyframes
from .bridge.keyframes import Source
from .holds import Hold, constrained_bones, holds_of, mute, packed, switch_paths, unmute, unpacked, with_chains
from .jobs import Progress

__all__ = [
    "BakedPose",
    "Hold",
    "Samples",
    "bake_curves",
    "bake_pose",
    "constrained_bones",
    "holds_of",
    "mute",
    "packed",
    "sparse_curves",
    "unmute",
    "unpacked",
    "with_chains",
    "write_curves",
    "write_pose",
]

# A bone's location or scale that differs by less from its channel is its channel's, in units or as a factor.
_SAME = 1e-5
# float32's own coarseness of rotation matrices.
_ROUND = 1e-5
# Frames this near are the same.
_NEAR = 1e-3


@dataclass(frozen=True, eq=False)
class BakedPose:
    """What bones show, in their own channels.

    Attributes:
        frames: (T,).
        bones: B names, parents first.
        modes: B of Blender's rotation modes.
        rotations: of each bone (T, n) channel values in its mode.
        locations: (T, B, 3).
        scales: (T, B, 3).
        moved: (B,) whether the location is not what its channel says; never of a bone that is connected.
        scaled: (B,) whether the scale is not.
    """

    frames: Array
    bones: tuple[str, ...]
    modes: tuple[str, ...]
    rotations: tuple[Array, ...]
    locations: Array
    scales: Array
    moved: NDArray[np.bool_]
    scaled: NDArray[np.bool_]


class Samples(NamedTuple):
    """Keys of a curve: (K,) frames and (K,) values."""

    times: Array
    values: Array


def bake_pose(obj: bpy.types.Object, bones: Sequence[str], frames: ArrayLike) -> Generator[Progress, None, BakedPose]:
    """Evaluate what bones show at frames (T,), whole or not, in the channels that would show the same without holds.

    The scene runs through the frames; at the end, also after an error or when the generator is closed, it is at its
    frame again. Shear, which a constraint can give a bone under a parent scaled unevenly, fits in no channel: such a
    bone gets the nearest rotation.

    Args:
        obj: an armature that is visible in the present view layer.
        bones: names; of a chain all, see :func:`with_chains`.
        frames: at least one.

    Raises:
        ValueError: no such bone, no frames, or a pose that Blender does not evaluate; the message says why.
    """
    frames = np.asarray(frames, np.float64)
    if frames.ndim != 1 or not len(frames) or not np.isfinite(frames).all():
        raise ValueError(f"{keyframes.label(obj)}: there are no frames to bake")
    if problem := _problem(obj, bones):
        raise ValueError(problem)
    scene = bpy.context.scene
    wanted = set(bones)
    posed = [bone for bone in obj.pose.bones if bone.name in wanted]
    modes = tuple(bone.rotation_mode for bone in posed)
    matrices = np.empty((len(frames), len(posed), 4, 4))
    turns = [np.empty((len(frames), channel_count(mode))) for mode in modes]
    places, sizes = np.empty((len(frames), len(posed), 3)), np.empty((len(frames), len(posed), 3))
    frame, subframe = scene.frame_current, scene.frame_subframe
    try:
        for t, at in enumerate(frames.tolist()):
            whole = math.floor(at)
            scene.frame_set(whole, subframe=at - whole)
            for b, bone in enumerate(posed):
                matrices[t, b] = obj.convert_space(
                    pose_bone=bone, matrix=bone.matrix, from_space="POSE", to_space="LOCAL"
                )
                turns[b][t] = _rotation(bone, modes[b])
                places[t, b] = bone.location
                sizes[t, b] = bone.scale
            yield Progress((t + 1) / len(frames), f"Baking {obj.name}")
    finally:
        scene.frame_set(frame, subframe=subframe)
    quats, scales = _rotations_and_scales(matrices[..., :3, :3], sizes)
    locations = matrices[..., :3, 3]
    connected = np.array([bone.parent is not None and bone.bone.use_connect for bone in posed], bool)
    # In float32 numbers are the coarser the larger they are.
    least = _SAME * (1 + np.abs(locations).max((0, 2), initial=0.0))
    return BakedPose(
        frames=frames,
        bones=tuple(bone.name for bone in posed),
        modes=modes,
        rotations=tuple(from_quat_wxyz(quats[:, b], mode, turns[b]) for b, mode in enumerate(modes)),
        locations=locations,
        scales=scales,
        moved=~connected & (np.abs(locations - places).max((0, 2), initial=0.0) > least),
        scaled=np.any(np.abs(scales - sizes) > 10 * _SAME * (1 + np.abs(sizes)), axis=(0, 2)),
    )


def write_pose(
    obj: bpy.types.Object, baked: BakedPose, name: str
) -> Generator[Progress, None, tuple[Source, list[Hold]]]:
    """Let an object play a new action with a baked pose, and mute what held the bones.

    The new action is a copy of the present one, if there is one, in which the baked channels have LINEAR keys at the
    baked frames, and outside of these the keys that they had; the present one stays in the file. Locations are written
    of bones that moved, scales of those that constraints scaled. All takes effect at the end; closed before, the
    generator leaves nothing.

    Args:
        obj: whose pose was baked.
        baked: from :func:`bake_pose`.
        name: of the new action.

    Returns:
        The new action and slot, and what was muted: :func:`unmute` lets it work again.

    Raises:
        ValueError: a curve to be written is locked or muted, or the object's animation cannot be changed; nothing was
            changed.
    """
    source = keyframes.active_source(obj)
    data = obj.animation_data
    # Having no action is no problem here.
    fixed = obj.library or obj.override_library or (data and data.action)
    if fixed and (problem := keyframes.editable_problem(obj)):
        raise ValueError(problem)
    if data and data.use_tweak_mode:
        raise ValueError(f"{keyframes.label(obj)} is in NLA tweak mode: leave it first (Tab in the NLA editor)")
    curves = {curve.key: curve for curve in keyframes.read_curves(source)} if source else {}
    samples = _samples(baked)
    for key in samples:
        if key in curves and curves[key].locked:
            raise ValueError(f"Bone {_bone(key)} of {obj.name}: its curve {key.path}[{key.index}] is locked or muted")
    holds = holds_of(obj, baked.bones)
    new = keyframes.duplicate(source, name) if source else keyframes.make(obj, name)
    try:
        for done, (key, values) in enumerate(samples.items(), start=1):
            _write(new, key, Samples(baked.frames, values), curves.get(key))
            yield Progress(done / len(samples), f"Writing {new.action.name}")
        off = switch_paths(obj, holds)
        switched = {key: np.full(len(curve.times), off[key.path]) for key, curve in curves.items() if key.path in off}
        keyframes.write_values(new, switched)
        if source:
            keyframes.keep(source)
        keyframes.assign(obj, new)
    except BaseException:
        keyframes.remove(new)
        raise
    return new, mute(obj, holds)


def sparse_curves(curves: Iterable[Curve], fps: float) -> list[Curve]:
    """Return the curves of rotations, locations and shape keys that move but have too few keys to be refined.

    With one curve of a property come its others, so that they stay together; without those that are locked or that
    modifiers change.
    """
    usable = [
        curve
        for curve in curves
        if not curve.locked and not curve.modified and len(curve.times) > 1 and _is_motion(curve.path)
    ]
    few = {curve.path for curve in usable if np.ptp(curve.values) > 0 and is_sparse(curve.times, curve.values, fps)}
    return [curve for curve in usable if curve.path in few]


def bake_curves(source: Source, curves: Sequence[Curve]) -> Generator[Progress, None, dict[CurveKey, Samples]]:
    """Evaluate curves as Blender does on every whole frame, and at their ends where these are not whole.

    Curves of the same property are taken over the time of all of them.
    """
    spans: dict[str, tuple[float, float]] = {}
    for curve in curves:
        first, last = spans.get(curve.path, (math.inf, -math.inf))
        spans[curve.path] = (min(first, curve.times[0]), max(last, curve.times[-1]))
    samples: dict[CurveKey, Samples] = {}
    for done, curve in enumerate(curves, start=1):
        first, last = spans[curve.path]
        frames = np.arange(math.ceil(first - _NEAR), math.floor(last + _NEAR) + 1, dtype=np.float64)
        if not len(frames) or frames[0] - first > _NEAR:
            frames = np.concatenate([[first], frames])
        if last - frames[-1] > _NEAR:
            frames = np.append(frames, last)
        samples[curve.key] = Samples(frames, keyframes.evaluate(source, curve.key, frames))
        yield Progress(done / len(curves), f"Baking {source.action.name}")
    return samples


def write_curves(source: Source, samples: Mapping[CurveKey, Samples], name: str) -> Generator[Progress, None, Source]:
    """Return a copy of an action in which some curves have other keys, LINEAR ones; nobody plays it yet."""
    new = keyframes.duplicate(source, name)
    try:
        for done, (key, sample) in enumerate(samples.items(), start=1):
            keyframes.replace_keys(new, key, sample.times, sample.values)
            yield Progress(done / len(samples), f"Writing {new.action.name}")
    except BaseException:
        keyframes.remove(new)
        raise
    return new


def _problem(obj: Any, bones: Sequence[str]) -> str:
    """Return why a pose cannot be evaluated, or nothing."""
    name = keyframes.label(obj)
    if obj.type != "ARMATURE":
        return f"{name} has no bones to bake"
    if missing := [bone for bone in bones if bone not in obj.pose.bones]:
        return f"{name} has no bone {missing[0]}"
    if not bones:
        return f"{name}: there are no bones to bake"
    if obj.mode == "EDIT":
        return f"{name} is in edit mode: leave it to bake"
    if not obj.visible_get():
        return f"{name} is hidden: show it to bake, since Blender does not evaluate what is hidden"
    if obj.data.pose_position == "REST":
        return f"{name} shows its rest position: switch to pose position to bake"
    data = obj.animation_data
    if data and data.use_nla and data.nla_tracks and (data.action_blend_type != "REPLACE" or data.action_influence < 1):
        return f"{name} mixes its action into NLA strips: set it to Replace with influence 1 to bake"
    return ""


def _rotation(bone: Any, mode: str) -> Any:
    return getattr(bone, channel_name(mode))


def _rotations_and_scales(linear: Array, channels: Array) -> tuple[Array, Array]:
    """Return quat_wxyz (..., 4) and scales (..., 3) of matrices (..., 3, 3), signs of scales as in the channels."""
    sizes = np.sqrt((linear * linear).sum(-2))
    scales = np.where(channels < 0, -sizes, sizes)
    # An odd number of axes mirrored where the channels mirror an even one, or the other way about.
    volume = (linear[..., 0] * np.cross(linear[..., 1], linear[..., 2])).sum(-1)
    wrong = volume * scales.prod(-1) < 0
    scales = np.where(wrong[..., None], -scales, scales)
    turned = linear / np.where(scales == 0, 1.0, scales)[..., None, :]
    flat = (sizes == 0).any(-1)
    turned[flat] = np.eye(3)
    across = np.abs((turned * np.roll(turned, 1, axis=-1)).sum(-2)).max(-1)
    sheared = across > _ROUND
    if sheared.any():
        turned[sheared] = project_to_so3(turned[sheared])
    return matrix_to_quat_wxyz(turned), scales


def _samples(baked: BakedPose) -> dict[CurveKey, Array]:
    """Return the values (T,) of each curve to be written."""
    samples: dict[CurveKey, Array] = {}
    for b, (bone, mode) in enumerate(zip(baked.bones, baked.modes, strict=True)):
        channels = [(channel_name(mode), baked.rotations[b])]
        if baked.moved[b]:
            channels.append(("location", baked.locations[:, b]))
        if baked.scaled[b]:
            channels.append(("scale", baked.scales[:, b]))
        for channel, values in channels:
            for index in range(values.shape[1]):
                samples[CurveKey(bone_path(bone, channel), index)] = values[:, index]
    return samples


def _write(new: Source, key: CurveKey, sample: Samples, old: Curve | None) -> None:
    """Write keys, and the old ones before and after them."""
    times, values = sample
    names = ["LINEAR"] * len(times)
    if old is not None:
        before, after = old.times < times[0] - _NEAR, old.times > times[-1] + _NEAR
        named = np.array(INTERPOLATIONS)[old.interpolation]
        names = [*named[before], *names, *named[after]]
        times = np.concatenate([old.times[before], times, old.times[after]])
        values = np.concatenate([old.values[before], values, old.values[after]])
    keyframes.replace_keys(new, key, times, values, interpolation=names, group=_bone(key))


def _bone(key: CurveKey) -> str:
    target = target_of(key.path)
    return target.owner if target else ""


def _is_motion(path: str) -> bool:
    target = target_of(path)
    return target is not None and (target.channel in ("location", "value") or target.channel.startswith("rotation_"))
