"""Where the bones of an armature are, computed from their channels alone: what Blender itself evaluates, for all frames.

Matrices act on column vectors. A bone's rest is Blender's ``Bone.matrix_local``: from the bone's own axes, of which y
runs along it, into the armature's. How a bone follows its parent is written after what Blender does
(``BKE_bone_parent_transform_calc_from_matrices`` in its ``armature.cc``). Constraints and drivers are not seen.
All products are elementwise, since the NumPy inside Blender multiplies matrices slowly, and run over blocks of frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothnet_core._checks import mismatch, one_of

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Blender's names of how a bone takes over the scale of its parent.
INHERIT_SCALE = ("FULL", "FIX_SHEAR", "ALIGNED", "AVERAGE", "NONE", "NONE_LEGACY")
# Bones times frames of a block: tens of megabytes.
_BLOCK = 500_000
# Axes nearer to a right angle than this cosine are left alone, as Blender does.
_NO_SHEAR = 1e-4


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
        world: (4, 4) from the armature's space into the scene's.
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
            expected = {"rest": (count, 4, 4), "world": (4, 4)}.get(field.name, (count,))
            if np.shape(getattr(self, field.name)) != expected:
                raise mismatch(f"shape of {field.name} of a rig", expected, np.shape(getattr(self, field.name)))
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
        """Return the rig of some bones, given by rising places; one whose parent is left out cannot be placed.

        Raises:
            ValueError: the parent of a bone is not among them.
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
    heads = np.empty((len(channels[0]), len(rig.names), 3))
    for rows, _, origin in _blocks(rig, *channels):
        heads[rows] = _in_scene(rig, origin)
    return heads


def world_ends(
    rig: Rig, quats: ArrayLike, locations: ArrayLike, scales: ArrayLike | None = None
) -> tuple[Array, Array]:
    """Return heads and tails, each (T, B, 3), of all bones in the scene; see :func:`world_positions`."""
    channels = _checked(rig, quats, locations, scales)
    heads, tails = (np.empty((len(channels[0]), len(rig.names), 3)) for _ in range(2))
    for rows, linear, origin in _blocks(rig, *channels):
        heads[rows] = _in_scene(rig, origin)
        tails[rows] = _in_scene(rig, origin + linear[:, :, 1] * rig.lengths[:, None, None])
    return heads, tails


def world_rotations(rig: Rig, quats: ArrayLike, locations: ArrayLike, scales: ArrayLike | None = None) -> Array:
    """Return the rotations (T, B, 3, 3) of all bones in the scene, without scale and shear: y along the bone.

    Arguments as of :func:`world_positions`.
    """
    channels = _checked(rig, quats, locations, scales)
    turned = np.empty((len(channels[0]), len(rig.names), 3, 3))
    world = rig.world[:3, :3, None]
    scaled = channels[2] is not None or not _is_rotation(rig.world[:3, :3])
    for rows, linear, _ in _blocks(rig, *channels):
        for bone in range(len(rig.names)):
            one = _product(world, linear[bone])
            turned[rows, bone] = np.moveaxis(_without_shear(one, normalize=True) if scaled else one, -1, 0)
    return turned


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
    offsets = rig.rest.copy()
    inner = rig.parents >= 0
    if inner.any():
        offsets[inner] = np.linalg.inv(rig.rest[rig.parents[inner]]) @ rig.rest[inner]
    step = int(np.clip(_BLOCK // max(count, 1), 16, 4096))
    for start in range(0, frames, step):
        rows = slice(start, min(start + step, frames))
        linear, origin = np.empty((count, 3, 3, rows.stop - start)), np.empty((count, 3, rows.stop - start))
        for bone, parent in enumerate(rig.parents.tolist()):
            above = None if parent < 0 else (linear[parent], origin[parent])
            turning, moving, base, after = _parent_transform(rig, bone, offsets[bone], above, scales is None)
            own = _quat_to_matrix(quats[rows, bone].T)
            if scales is not None:
                own *= scales[rows, bone].T
            linear[bone] = _product(turning, own)
            if after is not None:
                linear[bone] *= after
            place = locations[rows, bone].T
            origin[bone] = base
            if not rig.connected[bone] and place.any():
                origin[bone] += _apply(moving, place)
        yield rows, linear, origin


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
    base = head + _apply(parent, offset[:3, 3, None])
    mode, turned = rig.inherit_scale[bone], bool(rig.inherit_rotation[bone])
    whole = _product(parent, shape)
    moving, after = whole if local else parent, None
    if turned and (rigid or mode == "FULL"):
        return whole, moving, base, None
    carried = parent if turned else rig.rest[rig.parents[bone], :3, :3, None]
    if turned:
        if mode in ("NONE", "AVERAGE"):
            carried = _without_shear(parent, normalize=True)
        elif mode == "ALIGNED":
            carried = _without_shear(parent, normalize=False)
            after = _sizes(carried)
            carried = carried / after
        elif mode == "NONE_LEGACY":
            carried = parent / _sizes(parent)
    elif not rigid:
        if mode == "FULL":
            carried = carried * _sizes(parent)
        elif mode in ("FIX_SHEAR", "ALIGNED"):
            sizes = _sizes(parent)
            sizes = sizes * np.cbrt(abs(_volume(parent)) / _floor(sizes[0] * sizes[1] * sizes[2]))
            carried, after = (carried * sizes, None) if mode == "FIX_SHEAR" else (carried, sizes)
    if mode == "AVERAGE" and not rigid:
        carried = carried * np.cbrt(abs(_volume(parent)))
    turning = _product(carried, shape)
    if mode == "FIX_SHEAR" and not rigid:
        turning = _without_shear(turning, normalize=False)
    return turning, moving, base, after


def _without_shear(matrix: Array, *, normalize: bool) -> Array:
    """Return matrices (3, 3, t) made orthogonal about their y axis: x and z give way by the same angle.

    Of the same volume, or with ``normalize`` a rotation (Blender's ``orthogonalize_m4_stable``).
    """
    y, x, z = matrix[:, 1], matrix[:, 0], matrix[:, 2]
    square = _floor((y * y).sum(0))
    x, z = (v - y * ((v * y).sum(0) / square) for v in (x, z))
    long_x, long_z = np.sqrt((x * x).sum(0)), np.sqrt((z * z).sum(0))
    unit_x, unit_z = x / _floor(long_x), z / _floor(long_z)
    cosine = np.clip((unit_x * unit_z).sum(0), -1, 1)
    sheared = (abs(cosine) > _NO_SHEAR) & (abs(cosine) < 1 - 1e-7)
    angle = np.arccos(cosine)
    half = angle + (np.pi / 2 - angle) / 2
    across = unit_x - unit_z * cosine
    new_x = across * (np.sin(half) / _floor(np.sqrt((across * across).sum(0)))) + unit_z * np.cos(half)
    new_z = unit_z - new_x * (unit_z * new_x).sum(0)
    new_z = new_z / _floor(np.sqrt((new_z * new_z).sum(0)))
    unit_x, unit_z = np.where(sheared, new_x, unit_x), np.where(sheared, new_z, unit_z)
    if normalize:
        return np.stack([unit_x, y / np.sqrt(square), unit_z], axis=1)
    share = np.where(sheared, np.sqrt(np.sin(angle)), 1.0)
    return np.stack([unit_x * (long_x * share), y, unit_z * (long_z * share)], axis=1)


def _quat_to_matrix(quat_wxyz: Array) -> Array:
    """Return matrices (3, 3, t) of quaternions (4, t) of any length; of a zero one half a turn about x, as Blender."""
    squares = (quat_wxyz * quat_wxyz).sum(0)
    w, x, y, z = np.where(squares > 0, quat_wxyz, np.array([[0.0], [1], [0], [0]]))
    s = 2 / np.where(squares > 0, squares, 1.0)
    sx, sy, sz = s * x, s * y, s * z
    xx, yy, zz, xy, xz, yz = sx * x, sy * y, sz * z, sx * y, sx * z, sy * z
    wx, wy, wz = sx * w, sy * w, sz * w
    result = np.empty((3, 3, quat_wxyz.shape[1]))
    result[0, 0], result[0, 1], result[0, 2] = 1 - (yy + zz), xy - wz, xz + wy
    result[1, 0], result[1, 1], result[1, 2] = xy + wz, 1 - (xx + zz), yz - wx
    result[2, 0], result[2, 1], result[2, 2] = xz - wy, yz + wx, 1 - (xx + yy)
    return result


def _product(a: Array, b: Array) -> Array:
    """Return a @ b of (3, 3, t)."""
    return a[:, 0, None] * b[0] + a[:, 1, None] * b[1] + a[:, 2, None] * b[2]


def _apply(a: Array, v: Array) -> Array:
    """Return a @ v of (3, 3, t) and (3, t)."""
    return a[:, 0] * v[0] + a[:, 1] * v[1] + a[:, 2] * v[2]


def _in_scene(rig: Rig, points: Array) -> Array:
    """Return points (B, 3, t) of the armature's space in the scene's: (t, B, 3)."""
    x, y, z = points[:, 0].T, points[:, 1].T, points[:, 2].T
    w = rig.world
    return np.stack([w[k, 0] * x + w[k, 1] * y + w[k, 2] * z + w[k, 3] for k in range(3)], axis=-1)


def _volume(m: Array) -> Array:
    return (m[:, 0] * np.cross(m[:, 1], m[:, 2], axis=0)).sum(0)


def _sizes(matrix: Array) -> Array:
    return _floor(np.sqrt((matrix * matrix).sum(0)))


def _floor(length: Array) -> Array:
    return np.maximum(length, 1e-30)


def _is_rotation(matrix: Array) -> bool:
    return bool(np.allclose(matrix.T @ matrix, np.eye(3), atol=1e-6))
