"""Where the bones of an armature are, computed from their channels alone, for all frames, as Blender evaluates them.

Matrices act on column vectors. A bone's rest is Blender's ``Bone.matrix_local``: from the bone's own axes, of which y
runs along it, into the armature's. How a bone follows its parent is written after what Blender does
(``BKE_bone_parent_transform_calc_from_matrices`` in its ``armature.cc``). Constraints and drivers are not seen.
All is done over blocks of frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch, one_of

from .bone_matrices import apply, floor, product, quat_to_matrix, sizes, volume, without_shear

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Blender's names of how a bone takes over the scale of its parent.
INHERIT_SCALE = ("FULL", "FIX_SHEAR", "ALIGNED", "AVERAGE", "NONE", "NONE_LEGACY")
# Bones times frames of a block: tens of megabytes.
_BLOCK = 800_000
# Bones times frames whose rotations are computed at once.
_CHUNK = 10_000


@dataclass(frozen=True, eq=False)
class Rig:
    """The bones of an armature at rest, parents first.

    Attributes:
        names: B names.
        parents: (B,) int64 place of the parent, -1 for a root; a parent stands before its children.
        rest: (B, 4, 4) in the armature's space.
        lengths: (B,) from head to tail, in the armature's unit.
        inherit_rotation: (B,) whether the parent turns the bone.
        inherit_scale: B of ``INHERIT_SCALE``.
        use_local_location: (B,) whether locations go along the bone's axes; if not along the parent's.
        connected: (B,) whether the head sits on the parent's tail: its location does nothing.
        world: from the armature's space into the scene's: (4, 4), or (T, 4, 4) of an object that moves over the frames.
    """

    names: tuple[str, ...]
    parents: NDArray[np.int64]
    rest: Array
    lengths: Array
    inherit_rotation: Flags
    inherit_scale: tuple[str, ...]
    use_local_location: Flags
    connected: Flags
    world: Array

    def __post_init__(self) -> None:
        count = len(self.names)
        for field in fields(self):
            shape = np.shape(getattr(self, field.name))
            if field.name == "world":
                if shape[-2:] != (4, 4) or len(shape) > 3:
                    raise mismatch("shape of world of a rig", "(4, 4) or (T, 4, 4)", shape)
                continue
            expected = (count, 4, 4) if field.name == "rest" else (count,)
            if shape != expected:
                raise mismatch(f"shape of {field.name} of a rig", expected, shape)
        if not (self.parents < np.arange(count)).all():
            raise mismatch("parents of a rig", "each before its children", self.parents.tolist())
        for mode in set(self.inherit_scale):
            one_of("inherit_scale", mode, INHERIT_SCALE)

    @property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Places of the children of each bone."""
        found: list[list[int]] = [[] for _ in self.names]
        for bone, parent in enumerate(self.parents.tolist()):
            if parent >= 0:
                found[parent].append(bone)
        return tuple(map(tuple, found))

    def above(self, bones: Sequence[int]) -> NDArray[np.int64]:
        """Return the places of bones and of all bones above them, parents first: what their places depend on."""
        wanted: set[int] = set()
        for bone in bones:
            while bone >= 0 and bone not in wanted:
                wanted.add(int(bone))
                bone = int(self.parents[bone])
        return np.array(sorted(wanted), np.int64)

    def take(self, bones: ArrayLike) -> Rig:
        """Return the rig of some bones, given by their places, parents first.

        Raises:
            ValueError: the parent of a bone is not among them, or comes after it.
        """
        places = np.asarray(bones, np.int64)
        at = {int(bone): k for k, bone in enumerate(places)}
        at[-1] = -1
        parents = self.parents[places].tolist()
        for bone, parent in zip(places, parents, strict=True):
            if parent not in at:
                raise mismatch(f"parent of bone {self.names[bone]}", f"{self.names[parent]} among the bones", "none")
        return replace(
            self,
            names=tuple(self.names[bone] for bone in places),
            parents=np.array([at[parent] for parent in parents], np.int64),
            rest=self.rest[places],
            lengths=self.lengths[places],
            inherit_rotation=self.inherit_rotation[places],
            inherit_scale=tuple(self.inherit_scale[bone] for bone in places),
            use_local_location=self.use_local_location[places],
            connected=self.connected[places],
        )


def world_positions(rig: Rig, quats: ArrayLike, locations: ArrayLike, scales: ArrayLike | None = None) -> Array:
    """Return the heads (T, B, 3) of all bones in the scene.

    Args:
        rig: B bones.
        quats: (T, B, 4) quat_wxyz of each bone's rotation channel, of any length.
        locations: (T, B, 3) location channels.
        scales: (T, B, 3) scale channels; None: all 1.

    Raises:
        ValueError: another shape.
    """
    channels = _checked(rig, quats, locations, scales)
    world, heads = _world(rig, len(channels[0])), np.empty((len(channels[0]), len(rig.names), 3))
    for rows, _, origin in _blocks(rig, *channels):
        heads[rows] = _in_scene(world[..., rows], origin)
    return heads


def world_ends(
    rig: Rig, quats: ArrayLike, locations: ArrayLike, scales: ArrayLike | None = None
) -> tuple[Array, Array]:
    """Return heads and tails, each (T, B, 3), of all bones in the scene; see :func:`world_positions`."""
    channels = _checked(rig, quats, locations, scales)
    world = _world(rig, len(channels[0]))
    heads, tails = (np.empty((len(channels[0]), len(rig.names), 3)) for _ in range(2))
    for rows, linear, origin in _blocks(rig, *channels):
        heads[rows] = _in_scene(world[..., rows], origin)
        tails[rows] = _in_scene(world[..., rows], origin + linear[:, :, 1] * rig.lengths[:, None, None])
    return heads, tails


def world_rotations(rig: Rig, quats: ArrayLike, locations: ArrayLike, scales: ArrayLike | None = None) -> Array:
    """Return the rotations (T, B, 3, 3) of all bones in the scene, without scale and shear: y along the bone.

    Arguments as of :func:`world_positions`.
    """
    channels = _checked(rig, quats, locations, scales)
    turned = np.empty((len(channels[0]), len(rig.names), 3, 3))
    world = _world(rig, len(channels[0]))[:3, :3]
    square = product(np.swapaxes(world, 0, 1), world)
    scaled = channels[2] is not None or not np.allclose(square, np.eye(3)[..., None], atol=1e-6)
    for rows, linear, _ in _blocks(rig, *channels):
        for bone in range(len(rig.names)):
            one = product(world[..., rows], linear[bone])
            turned[rows, bone] = np.moveaxis(without_shear(one, normalize=True) if scaled else one, -1, 0)
    return turned


def location_axes(
    rig: Rig, bone: int, quats: ArrayLike, locations: ArrayLike, scales: ArrayLike | None = None
) -> Array:
    """Return (T, 3, 3): by how much a bone's head moves in the scene with each number of its location channel.

    Args:
        rig: B bones.
        bone: place of the bone.
        quats: as of :func:`world_positions`, as are the others.
        locations: (T, B, 3).
        scales: (T, B, 3) or None.

    Raises:
        ValueError: another shape, or a connected bone, which does not move.
    """
    if rig.connected[bone]:
        raise mismatch(f"bone {rig.names[bone]}", "one that its location moves", "a connected one")
    places = rig.above([bone])
    own = rig.take(places)
    q, at, size = _checked(rig, quats, locations, scales)
    world, axes = _world(own, len(q)), np.empty((len(q), 3, 3))
    offset, parent = _offsets(own)[-1], int(own.parents[-1])
    channels = q[:, places], at[:, places], None if size is None else size[:, places]
    for rows, linear, origin in _blocks(own, *channels):
        above = None if parent < 0 else (linear[parent], origin[parent])
        _, moving, _, _ = _parent_transform(own, len(places) - 1, offset, above, size is None)
        axes[rows] = np.moveaxis(product(world[:3, :3, rows], moving), -1, 0)
    return axes


def _checked(
    rig: Rig, quats: ArrayLike, locations: ArrayLike, scales: ArrayLike | None
) -> tuple[Array, Array, Array | None]:
    q, at = np.asarray(quats, np.float64), np.asarray(locations, np.float64)
    size = None if scales is None else np.asarray(scales, np.float64)
    count = len(rig.names)
    if q.ndim != 3 or q.shape[1:] != (count, 4):
        raise mismatch("shape of quats", f"(T, {count}, 4)", q.shape)
    for name, array in (("locations", at), ("scales", size)):
        if array is not None and array.shape != (len(q), count, 3):
            raise mismatch(f"shape of {name}", (len(q), count, 3), array.shape)
    return q, at, size


def _blocks(rig: Rig, quats: Array, locations: Array, scales: Array | None) -> Iterator[tuple[slice, Array, Array]]:
    """Yield frames, and of all bones the linear part (B, 3, 3, t) and the head (B, 3, t) in the armature's space."""
    frames, count = quats.shape[:2]
    offsets = _offsets(rig)
    step = int(np.clip(_BLOCK // max(count, 1), 16, 4096))
    for start in range(0, frames, step):
        rows = slice(start, min(start + step, frames))
        chunk, turns = max(1, _CHUNK // (rows.stop - start)), np.empty(0)
        linear, origin = np.empty((count, 3, 3, rows.stop - start)), np.empty((count, 3, rows.stop - start))
        for bone, parent in enumerate(rig.parents.tolist()):
            above = None if parent < 0 else (linear[parent], origin[parent])
            turning, moving, base, after = _parent_transform(rig, bone, offsets[bone], above, scales is None)
            # Of some bones at once: calls cost more than numbers.
            if bone % chunk == 0:
                turns = quat_to_matrix(np.ascontiguousarray(quats[rows, bone : bone + chunk].transpose(2, 1, 0)))
            own = turns[:, :, bone % chunk]
            if scales is not None:
                own *= scales[rows, bone].T
            linear[bone] = product(turning, own)
            if after is not None:
                linear[bone] *= after
            place = locations[rows, bone].T
            origin[bone] = base
            if not rig.connected[bone] and place.any():
                origin[bone] += apply(moving, place)
        yield rows, linear, origin


def _offsets(rig: Rig) -> Array:
    """Return (B, 4, 4): rests relative to that of the parent."""
    offsets = rig.rest.copy()
    inner = rig.parents >= 0
    if inner.any():
        offsets[inner] = np.linalg.inv(rig.rest[rig.parents[inner]]) @ rig.rest[inner]
    return offsets


def _parent_transform(
    rig: Rig, bone: int, offset: Array, above: tuple[Array, Array] | None, rigid: bool
) -> tuple[Array, Array, Array, Array | None]:
    """Return what a bone's own rotation and scale, its location and its head start from, and a scale that comes last.

    Args:
        rig: of the bone.
        bone: its place.
        offset: (4, 4) its rest relative to that of its parent.
        above: linear part (3, 3, t) and head (3, t) of its parent; None of a root.
        rigid: nothing is scaled.
    """
    shape, local = offset[:3, :3, None], bool(rig.use_local_location[bone])
    if above is None:
        return shape, shape if local else np.eye(3)[..., None], offset[:3, 3, None], None
    parent, head = above
    base = head + apply(parent, offset[:3, 3, None])
    mode, turned = rig.inherit_scale[bone], bool(rig.inherit_rotation[bone])
    whole = product(parent, shape)
    moving, after = whole if local else parent, None
    if turned and (rigid or mode == "FULL"):
        return whole, moving, base, None
    carried = parent if turned else rig.rest[rig.parents[bone], :3, :3, None]
    if turned:
        if mode in ("NONE", "AVERAGE"):
            carried = without_shear(parent, normalize=True)
        elif mode == "ALIGNED":
            carried = without_shear(parent, normalize=False)
            after = sizes(carried)
            carried = carried / after
        elif mode == "NONE_LEGACY":
            carried = parent / sizes(parent)
    elif not rigid:
        if mode == "FULL":
            carried = carried * sizes(parent)
        elif mode in ("FIX_SHEAR", "ALIGNED"):
            size = sizes(parent)
            size = size * np.cbrt(abs(volume(parent)) / floor(size[0] * size[1] * size[2]))
            carried, after = (carried * size, None) if mode == "FIX_SHEAR" else (carried, size)
    if mode == "AVERAGE" and not rigid:
        carried = carried * np.cbrt(abs(volume(parent)))
    turning = product(carried, shape)
    if mode == "FIX_SHEAR" and not rigid:
        turning = without_shear(turning, normalize=False)
    return turning, moving, base, after


def _world(rig: Rig, frames: int) -> Array:
    """Return (4, 4, T): the armature's matrix in each frame."""
    if rig.world.ndim == 3 and len(rig.world) != frames:
        raise mismatch("frames of world of a rig", frames, len(rig.world))
    matrices = rig.world if rig.world.ndim == 3 else rig.world[None]
    return np.broadcast_to(np.moveaxis(np.asarray(matrices, np.float64), 0, -1), (4, 4, frames))


def _in_scene(world: Array, points: Array) -> Array:
    """Return points (B, 3, t) of the armature's space in the scene's: (t, B, 3)."""
    x, y, z = points[:, 0].T, points[:, 1].T, points[:, 2].T
    w = world[..., None]
    return np.stack([w[k, 0] * x + w[k, 1] * y + w[k, 2] * z + w[k, 3] for k in range(3)], axis=-1)
