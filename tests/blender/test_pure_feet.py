"""Planted feet of armatures, on walks made for the tests."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from blender_addon.rigs.feet import keep_feet, slide
from blender_addon.rigs.posing import Rig, world_positions

FPS = 30.0
# name, parent, head, tail, in metres with z up
BONES = (
    ("root", "", (0, 0, 0), (0, 0.3, 0)),
    ("hips", "root", (0, 0, 0.95), (0, 0, 1.1)),
    ("spine", "hips", (0, 0, 1.1), (0, 0, 1.5)),
    ("thigh.L", "hips", (0.1, 0, 0.93), (0.1, -0.01, 0.5)),
    ("shin.L", "thigh.L", (0.1, -0.01, 0.5), (0.1, 0, 0.09)),
    ("foot.L", "shin.L", (0.1, 0, 0.09), (0.1, -0.13, 0.02)),
    ("toe.L", "foot.L", (0.1, -0.13, 0.02), (0.1, -0.19, 0.02)),
    ("thigh.R", "hips", (-0.1, 0, 0.93), (-0.1, -0.01, 0.5)),
    ("shin.R", "thigh.R", (-0.1, -0.01, 0.5), (-0.1, 0, 0.09)),
    ("foot.R", "shin.R", (-0.1, 0, 0.09), (-0.1, -0.13, 0.02)),
    ("toe.R", "foot.R", (-0.1, -0.13, 0.02), (-0.1, -0.19, 0.02)),
)


def make_rig(bones: Any = BONES, *, world: Any = None, scale: float = 1.0, roll: int = 0, **changes: Any) -> Rig:
    """Return a rig of bones given by head and tail, their rolls at random."""
    rng = np.random.default_rng(roll)
    names = [bone[0] for bone in bones]
    rest, lengths = np.tile(np.eye(4), (len(bones), 1, 1)), []
    for k, (_, _, head, tail) in enumerate(bones):
        along = np.subtract(tail, head)
        lengths.append(scale * np.linalg.norm(along))
        y = along / np.linalg.norm(along)
        x = np.cross(y, rng.normal(size=3))
        x /= np.linalg.norm(x)
        rest[k, :3, :3] = np.stack([x, y, np.cross(x, y)], axis=1)
        rest[k, :3, 3] = scale * np.array(head)
    count = len(bones)
    values: dict[str, Any] = {
        "names": tuple(names),
        "parents": np.array([names.index(bone[1]) if bone[1] else -1 for bone in bones], np.int64),
        "rest": rest,
        "lengths": np.array(lengths),
        "inherit_rotation": np.ones(count, bool),
        "inherit_scale": ("FULL",) * count,
        "use_local_location": np.ones(count, bool),
        "connected": np.zeros(count, bool),
        "world": np.eye(4) if world is None else np.asarray(world, float),
    }
    return Rig(**{**values, **changes})


def walk(rig: Rig, *, seconds: float = 4.0, unit: float = 1.0, jitter: float = 0.004, seed: int = 1) -> Any:
    """Return channels (quats, locations) of a person who shifts from foot to foot, with slow errors of an estimator.

    Channels are of the rig's own axes: a rotation about x in the armature is taken into those of the bone.
    """
    rng = np.random.default_rng(seed)
    frames = round(seconds * FPS)
    time = np.arange(frames) / FPS
    quats = np.zeros((frames, len(rig.names), 4))
    quats[..., 0] = 1
    locations = np.zeros((frames, len(rig.names), 3))
    sway = np.clip(np.sin(2 * np.pi * time / 2), 0, None), np.clip(-np.sin(2 * np.pi * time / 2), 0, None)
    for side, lift in zip("LR", sway, strict=True):
        for name, angle in (("thigh", -0.15 - 0.9 * lift), ("shin", 0.3 + 1.6 * lift), ("foot", -0.15 - 0.4 * lift)):
            bone = rig.names.index(f"{name}.{side}")
            axes = rig.rest[bone, :3, :3]
            vector = np.stack([angle, 0 * angle, 0 * angle], axis=-1)
            quats[:, bone] = Rotation.from_rotvec(vector @ axes).as_quat()[:, [3, 0, 1, 2]]
    hips = rig.names.index("hips")
    slow = gaussian_filter1d(rng.normal(size=(frames, 3)), 8, axis=0)
    place = jitter * slow / abs(slow).max() + [0, 0, -0.01]
    if rig.rest[hips, 1, 3] > rig.rest[hips, 2, 3]:  # y up
        place = place[:, [0, 2, 1]] * [1, 1, -1]
    locations[:, hips] = unit * place @ (rig.rest[hips, :3, :3] if rig.use_local_location[hips] else np.eye(3))
    return quats, locations


def sole(rig: Rig, quats: Any, locations: Any, names: tuple[str, ...]) -> Any:
    """Return where bones are in the scene: (T, N, 3)."""
    heads = world_positions(rig, quats, locations)
    return heads[:, [rig.names.index(name) for name in names]]


def applied(rig: Rig, quats: Any, locations: Any, kept: Any) -> tuple[Any, Any]:
    """Return the channels with those that feet were kept with."""
    quats, locations = quats.copy(), locations.copy()
    for name, values in kept.quats.items():
        quats[:, rig.names.index(name)] = values
    for name, values in kept.locations.items():
        locations[:, rig.names.index(name)] = values
    return quats, locations


def turned_world(scale: float = 1.0) -> Any:
    """Return the matrix of an object that stands upright though its bones lie, turned, moved and scaled."""
    world = np.eye(4)
    world[:3, :3] = scale * Rotation.from_euler("xz", [90, 35], degrees=True).as_matrix()
    world[:3, 3] = [3, -2, 0.4]
    return world


def lying(bones: Any = BONES) -> Any:
    """Return bones with y up in the armature, as FBX has them."""
    return tuple((name, parent, *((x, z, -y) for x, y, z in ends)) for name, parent, *ends in bones)


RIGS = {
    "metres": (make_rig(), 1.0),
    "other rolls": (make_rig(roll=5), 1.0),
    "FBX, centimetres": (make_rig(lying(), scale=100, world=turned_world(0.01)), 1.0),
    "lies, scene in centimetres": (make_rig(lying(), scale=100, world=turned_world()), 0.01),
    "locations along the parent": (make_rig(use_local_location=np.zeros(len(BONES), bool)), 1.0),
}


def channels(rig: Rig, *, jitter: float, **options: Any) -> tuple[Any, Any]:
    """Return a walk in the rig's unit, the hips' errors as large in every rig."""
    size = np.linalg.norm(rig.rest[1, :3, 3]) / 0.95
    return walk(rig, unit=size, jitter=jitter, **options)


@pytest.mark.parametrize("name", RIGS)
def test_feet_that_slide_stand_still_afterwards(name: str) -> None:
    rig, metres = RIGS[name]
    quats, locations = channels(rig, jitter=0.02)
    before = slide(rig, quats, locations, fps=FPS, metres=metres)
    kept = keep_feet(rig, quats, locations, fps=FPS, metres=metres)
    assert before.points == ("foot.L", "toe.L", "foot.R", "toe.R")
    assert not before.unit_guessed
    assert not kept.unit_guessed
    assert kept.slide_before is not None
    assert kept.slide_after is not None
    assert kept.slide_before > 10
    assert kept.slide_after < 1e-6 * kept.slide_before
    assert set(kept.contact) == set(before.points)
    assert all(0.2 < share < 0.95 for share in kept.contact.values())
    assert set(kept.quats) <= {f"{bone}.{side}" for bone in ("thigh", "shin", "foot") for side in "LR"}
    assert list(kept.locations) == ["hips"]
    after = slide(rig, *applied(rig, quats, locations, kept), fps=FPS, metres=metres, contact=before.contact)
    assert after.speed is not None
    assert before.speed is not None
    assert after.speed < 0.4 * before.speed
    places = [sole(rig, *pose, before.points) for pose in ((quats, locations), applied(rig, quats, locations, kept))]
    largest = 1000 * metres * np.linalg.norm(places[1] - places[0], axis=-1).max()
    assert kept.largest_change == pytest.approx(largest, rel=1e-6)


def test_the_same_body_slides_the_same_in_every_rig() -> None:
    speeds = []
    for rig, metres in RIGS.values():
        found = slide(rig, *channels(rig, jitter=0.02), fps=FPS, metres=metres)
        speeds.append(found.speed)
    # One of them moves its hips along other axes.
    assert speeds[:4] == pytest.approx([speeds[0]] * 4, rel=1e-6)


def test_bones_keep_their_length_and_the_rest_of_the_body_its_pose() -> None:
    rig, _ = RIGS["FBX, centimetres"]
    quats, locations = channels(rig, jitter=0.02)
    new = applied(rig, quats, locations, keep_feet(rig, quats, locations, fps=FPS))
    for bone in ("root", "hips", "spine", "toe.L", "toe.R"):
        np.testing.assert_array_equal(new[0][:, rig.names.index(bone)], quats[:, rig.names.index(bone)])
    np.testing.assert_allclose(np.linalg.norm(new[0], axis=-1), 1, atol=1e-12)
    # Signs as they were: no flips from frame to frame.
    assert (new[0] * quats).sum(-1).min() > 0.5


def test_what_stands_still_is_left_alone() -> None:
    rig = make_rig()
    quats, locations = walk(rig, jitter=0)
    quats[:], locations[:] = quats[:1], locations[:1]
    kept = keep_feet(rig, quats, locations, fps=FPS)
    assert kept.slide_before == pytest.approx(0, abs=1e-6)
    assert kept.largest_change == pytest.approx(0, abs=1e-6)
    new = applied(rig, quats, locations, kept)
    np.testing.assert_allclose(new[0], quats, atol=1e-7)
    np.testing.assert_allclose(new[1], locations, atol=1e-7)


def test_frames_in_the_air_stay_to_the_last_bit() -> None:
    rig = make_rig()
    quats, locations = walk(rig, jitter=0.02, seconds=6)
    hips = rig.names.index("hips")
    air = slice(70, 110)
    locations[air, hips] += np.array([0, 0, 0.7]) @ rig.rest[hips, :3, :3]
    new = applied(rig, quats, locations, keep_feet(rig, quats, locations, fps=FPS))
    inner = slice(85, 95)
    np.testing.assert_array_equal(new[0][inner], quats[inner])
    np.testing.assert_array_equal(new[1][inner], locations[inner])


def test_twist_bones_turn_with_the_thigh() -> None:
    bones = []
    for bone, parent, head, tail in BONES:
        side = bone[-2:]
        if bone.startswith("thigh"):
            middle = tuple(np.mean([head, tail], axis=0))
            bones += [(bone, parent, head, middle), (f"thigh_twist{side}", bone, middle, tail)]
        else:
            bones.append((bone, f"thigh_twist{side}" if bone.startswith("shin") else parent, head, tail))
    rig = make_rig(tuple(bones))
    quats, locations = walk(rig, jitter=0.02)
    kept = keep_feet(rig, quats, locations, fps=FPS)
    assert kept.slide_before is not None
    assert kept.slide_after is not None
    assert kept.slide_after < 1e-6 * kept.slide_before
    assert not any("twist" in name for name in kept.quats)
    inherit = np.array([name != "thigh_twist.R" for name in rig.names])
    stiff = make_rig(tuple(bones), inherit_rotation=inherit)
    message = r"^bone thigh_twist\.R: expected one that inherits rotation, received one that does not$"
    with pytest.raises(ValueError, match=message):
        keep_feet(stiff, quats, locations, fps=FPS)


def test_feet_that_do_not_inherit_rotation_are_kept_too() -> None:
    rig = make_rig(inherit_rotation=np.array([not bone[0].startswith("foot") for bone in BONES]))
    quats, locations = walk(rig, jitter=0.02)
    for side in "LR":
        quats[:, rig.names.index(f"foot.{side}")] = [1, 0, 0, 0]
    kept = keep_feet(rig, quats, locations, fps=FPS)
    assert kept.slide_before is not None
    assert kept.slide_after is not None
    assert kept.slide_after < 1e-6 * kept.slide_before


def test_a_foot_without_a_toe_ends_in_its_tail_if_that_is_low() -> None:
    rig = make_rig(tuple(bone for bone in BONES if not bone[0].startswith("toe")))
    quats, locations = walk(rig, jitter=0.02)
    kept = keep_feet(rig, quats, locations, fps=FPS)
    assert list(kept.contact) == ["foot.L", "foot.L (tail)", "foot.R", "foot.R (tail)"]
    assert kept.slide_before is not None
    assert kept.slide_after is not None
    assert kept.slide_after < 1e-6 * kept.slide_before
    upwards = tuple(
        (name, parent, head, (head[0], head[1], head[2] + 0.2) if name.startswith("foot") else tail)
        for name, parent, head, tail in BONES
        if not name.startswith("toe")
    )
    rig = make_rig(upwards)
    found = slide(rig, *walk(rig, jitter=0.02), fps=FPS)
    assert found.points == ("foot.L", "foot.R")


def test_units_that_make_no_person_are_told_from_the_legs() -> None:
    rig = make_rig(scale=100)
    quats, locations = walk(rig, unit=100, jitter=0.02)
    found = slide(rig, quats, locations, fps=FPS)
    assert (found.metres, found.unit_guessed) == (0.01, True)
    plain = make_rig()
    assert found.speed == pytest.approx(slide(plain, *walk(plain, jitter=0.02), fps=FPS).speed, rel=1e-6)
    assert keep_feet(rig, quats, locations, fps=FPS).unit_guessed


def test_only_bones_that_may_change_do() -> None:
    rig = make_rig()
    quats, locations = walk(rig, jitter=0.02)
    left = {"thigh.L", "shin.L", "foot.L"}
    kept = keep_feet(rig, quats, locations, fps=FPS, turnable=left, movable=())
    assert set(kept.quats) == left
    assert not kept.locations
    root = keep_feet(rig, quats, locations, fps=FPS, movable={"root"})
    assert list(root.locations) == ["root"]
    connected = make_rig(connected=np.array([bone[0] in ("root", "hips") for bone in BONES]))
    still = np.zeros_like(locations)
    assert not keep_feet(connected, quats, still, fps=FPS).locations
    with pytest.raises(ValueError, match="and with keys, received root, hips"):
        keep_feet(rig, quats, locations, fps=FPS, turnable={"thigh.L", "thigh.R"})


def test_scaled_bones_keep_their_feet() -> None:
    rig = make_rig(connected=np.array([bone[0].startswith(("shin", "toe")) for bone in BONES]))
    quats, locations = walk(rig, jitter=0.02)
    scales = np.ones_like(locations)
    scales[:, rig.names.index("root")] = 1.2
    kept = keep_feet(rig, quats, locations, scales, fps=FPS)
    assert kept.slide_before is not None
    assert kept.slide_after is not None
    assert kept.slide_after < 1e-3 * kept.slide_before


def test_an_object_that_moves_carries_its_feet() -> None:
    rig = make_rig()
    quats, locations = walk(rig, jitter=0.0)
    still = slide(rig, quats, locations, fps=FPS).contact
    worlds = np.tile(np.eye(4), (len(quats), 1, 1))
    worlds[:, 0, 3] = 0.05 * np.sin(np.arange(len(quats)) / 9)
    moving = dataclasses.replace(rig, world=worlds)
    kept = keep_feet(moving, quats, locations, fps=FPS, contact=still)
    assert kept.slide_before is not None
    assert kept.slide_after is not None
    assert kept.slide_before > 20
    assert kept.slide_after < 1e-6 * kept.slide_before


def test_bad_input_is_named() -> None:
    rig = make_rig()
    quats, locations = walk(rig)
    apart = make_rig(tuple((name, "" if "thigh" in name else parent, *ends) for name, parent, *ends in BONES))
    stretched = make_rig(world=np.diag([1.0, 1, 2, 1]))
    unknown = make_rig(names=tuple("abcdefghijk"))
    cases = (
        (apart, quats, "legs: expected a bone above both of them, received thigh.L, thigh.R without one"),
        (stretched, quats, "scale of the armature: expected the same along x, y and z, received 1, 1, 2"),
        (
            unknown,
            quats,
            "bones of the legs: expected thigh, shin and foot of a side, each below the one before, with names such as "
            "LeftUpLeg, thigh.L or calf_l, received a, b, c, d, e, f, g, h, i, j, k",
        ),
        (rig, quats[0], "shape of quats: expected (T, B, 4), received (11, 4)"),
        (rig, quats[:0], "frames: expected at least one, received none"),
    )
    for which, values, message in cases:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            keep_feet(which, values, locations[: len(values)], fps=FPS)
    with pytest.raises(ValueError, match=r"^shape of contact: expected "):
        slide(rig, quats, locations, fps=FPS, contact=np.zeros((3, 4), bool))
