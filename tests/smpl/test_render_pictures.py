"""What a frame of a video shows, against projections and geometry of the test's own."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from smpl_tools import formats
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.pictures.camera import VIEWS
from smpl_tools.pictures.figure import LEFT, MIDDLE, RIGHT, figure_of
from smpl_tools.pictures.film import Choices, Film
from smpl_tools.pictures.look import LOOKS
from smpl_tools.pictures.paint import Canvas, paint_limb, paint_trail
from smpl_tools.pictures.stage import staged
from smpl_tools.poses import poses
from smpl_tools.skeleton import SMPL
from tests.helpers import REPOSITORY

pytest.importorskip("PIL.Image", reason="Pillow is not installed (the extra 'render')")

TAKES = REPOSITORY / "assets" / "takes"
JOINTS = ("nose", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist")
JOINTS += ("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle")
# A person of 1.7 m who faces +z with the arms held out; x is the person's left.
STANDING = np.array(
    [
        *[
            (0, 1.6, 0.08),
            (0.2, 1.4, 0),
            (-0.2, 1.4, 0),
            (0.48, 1.4, 0),
            (-0.48, 1.4, 0),
            (0.74, 1.4, 0),
            (-0.74, 1.4, 0),
        ],
        *[(0.1, 0.9, 0), (-0.1, 0.9, 0), (0.1, 0.48, 0), (-0.1, 0.48, 0), (0.1, 0.06, 0), (-0.1, 0.06, 0)],
    ]
)


def motion(values: np.ndarray, fps: float = 30.0, joints: tuple[str, ...] = JOINTS, **track: object) -> Motion:
    made = Track(values, "position", "body", joints, **track)
    return Motion("array", (Person("0", {"body": made}, np.arange(len(values))),), fps, path=Path("take.npy"))


def standing(frames: int = 20) -> np.ndarray:
    return np.repeat(STANDING[None], frames, axis=0)


def seen_at(film: Film, point: np.ndarray, view: str, panel: int = 0) -> tuple[int, int]:
    """Return the row and column at which a point is seen: a pinhole with its up axis kept upright."""
    azimuth, elevation = (math.radians(angle) for angle in VIEWS[view])
    ahead = -np.array(
        [math.sin(azimuth) * math.cos(elevation), math.sin(elevation), math.cos(azimuth) * math.cos(elevation)]
    )
    right = np.cross(ahead, [0, 1, 0])
    right /= np.linalg.norm(right)
    up = np.cross(right, ahead)
    offset = point - film.camera.eyes[0]
    width, height = film.camera.size
    focal = height / (2 * math.tan(math.radians(13)))
    x = width / 2 + focal * (offset @ right) / (offset @ ahead)
    y = height / 2 - focal * (offset @ up) / (offset @ ahead)
    return int(y), int(x) + panel * width


def hue(colour: np.ndarray) -> str:
    red, green, blue = (int(c) for c in colour)
    if max(red, green, blue) - min(red, green, blue) < 40:
        return "grey"
    return "blue" if blue > red else "orange"


@pytest.mark.parametrize("view", ["front", "side", "three-quarter"])
@pytest.mark.parametrize("panel", [0, 1])
def test_joints_are_where_a_pinhole_sees_them_in_the_colour_of_their_side(view: str, panel: int):
    film = Film([motion(standing())] * 2, Choices(size=(960, 540), view=view))
    picture = film.draw(3)
    visible = ("left_elbow", "left_wrist", "left_knee")
    for name in visible if view == "side" else (*visible, "right_elbow", "right_wrist", "right_knee"):
        row, column = seen_at(film, STANDING[JOINTS.index(name)], view, panel)
        assert hue(picture[row, column]) == ("blue" if name.startswith("left") else "orange"), name
    head = seen_at(film, STANDING[0], view, panel)
    assert hue(picture[head]) == "grey"
    assert int(picture[head].sum()) < 600
    # Nothing is a hand's breadth above it.
    above = seen_at(film, STANDING[0] + [0, 0.2, 0], view, panel)
    assert int(picture[above].min()) > 220


def test_from_in_front_the_left_arm_is_on_the_right():
    film = Film([motion(standing())] * 2, Choices(size=(960, 540), view="front"))
    left, right = (seen_at(film, STANDING[JOINTS.index(f"{side}_wrist")], "front") for side in ("left", "right"))
    assert left[1] > right[1] + 100
    # Turned about its vertical, the camera goes along.
    turned = STANDING[:, [2, 1, 0]] * [1, 1, -1]
    other = Film([motion(np.repeat(turned[None], 20, axis=0))] * 2, Choices(size=(960, 540), view="front"))
    np.testing.assert_allclose(other.draw(0).astype(int), film.draw(0), atol=3)


@pytest.mark.parametrize(
    ("up", "turn"), [("z", np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])), ("-y", np.diag([1, -1, -1]))]
)
@pytest.mark.parametrize("stated", [True, False])
def test_whatever_axis_points_up_the_picture_is_the_same(up: str, turn: np.ndarray, stated: bool):
    upright = Film([motion(standing())] * 2, Choices(size=(320, 180)))
    other = motion(standing() @ turn.T, **({"up": up} if stated else {}))
    np.testing.assert_allclose(Film([other] * 2, Choices(size=(320, 180))).draw(0).astype(int), upright.draw(0), atol=2)


@pytest.mark.parametrize("scale", [100.0, 1000.0, 1e6])
def test_whatever_the_unit_the_picture_is_about_the_same(scale: float):
    points = [staged([motion(scale * standing())]).casts[0][0].points for scale in (1.0, scale)]
    heights = [np.ptp(p[0, : len(JOINTS), 1]) for p in points]
    assert heights[1] == pytest.approx(heights[0], rel=0.2)


def test_equal_motions_give_equal_halves_and_a_joint_that_is_off_shows():
    before = standing()
    before[10, JOINTS.index("left_wrist")] += [0.0, 0.3, 0.0]
    film = Film([motion(before), motion(standing())], Choices(size=(640, 360)))

    def differs(number: int) -> int:
        halves = np.split(film.draw(number)[60:340].astype(int), 2, axis=1)
        return int((np.abs(halves[0][:, 2:] - halves[1][:, 2:]).max(axis=-1) > 30).sum())

    assert differs(3) == 0
    assert differs(10) > 100


def test_who_walks_far_stays_in_the_picture_and_a_thrown_joint_moves_no_camera():
    time = np.arange(200)[:, None, None] / 30
    walk = standing(200) + time * [0.0, 0.0, 2.0]
    film = Film([motion(walk)] * 2, Choices(size=(640, 360), view="side"))
    moved = np.ptp(film.camera.eyes, axis=0)
    assert moved[2] > 10
    assert moved[1] == 0
    assert np.abs(np.diff(film.camera.eyes, 2, axis=0)).max() < 0.01
    for frame in (0, 100, 199):
        pixels = film.camera.project(film.camera.seen(walk[frame], frame))
        assert (pixels > 0).all()
        assert (pixels < film.camera.size).all()
    thrown = walk.copy()
    thrown[50, 5] += 30
    other = Film([motion(thrown)] * 2, Choices(size=(640, 360), view="side"))
    assert other.camera.distance == pytest.approx(film.camera.distance, rel=0.1)
    assert np.ptp(Film([motion(standing())] * 2).camera.eyes, axis=0).max() == 0


def test_a_trail_is_drawn_where_the_joint_was():
    values = standing(30)
    wrist = JOINTS.index("left_wrist")
    values[:, wrist] += np.linspace(0, 0.6, 30)[:, None] * [0, 1.0, 0]
    plain, drawn = (
        Film([motion(values)] * 2, Choices(size=(960, 540), view="front", trails=trails))
        for trails in ((), ("LWrist",))
    )
    row, column = seen_at(drawn, values[20, wrist], "front")
    before, after = plain.draw(29)[row, column].astype(int), drawn.draw(29)[row, column].astype(int)
    assert np.abs(before - after).max() > 60
    # Magenta.
    assert after[1] < min(after[0], after[2])


def test_what_is_nearer_hides_what_is_farther_whatever_is_painted_first():
    def painted(order: tuple[str, ...]) -> np.ndarray:
        canvas = Canvas(np.ones((60, 60, 3), np.float32), np.full((60, 60), np.inf, np.float32))
        for which in order:
            depth, colour = (2.0, np.array([1.0, 0, 0])) if which == "near" else (3.0, np.array([0, 0, 1.0]))
            ends = np.array([[10.0, 30], [50, 30]]) if which == "near" else np.array([[30.0, 10], [30, 50]])
            paint_limb(canvas, ends, np.full(2, depth), np.full(2, 6.0), colour, 300.0)
        paint_trail(canvas, ends, np.full(2, 2.5), np.ones(1), 2.0, np.array([0, 1.0, 0]))
        return canvas.colours

    for order in (("near", "far"), ("far", "near")):
        middle = painted(order)[30, 30]
        assert middle[0] > 0.5 > middle[2], order
    # The trail lies along what was painted last, here the farther: before that, behind the nearer.
    picture = painted(("near", "far"))
    assert np.argmax(picture[15, 30]) == 1
    assert np.argmax(picture[30, 30]) == 0


def test_what_nobody_saw_is_not_drawn():
    values = standing()
    values[:, JOINTS.index("left_wrist")] = np.nan
    whole, without = (Film([motion(v)] * 2, Choices(size=(640, 360), view="front")) for v in (standing(), values))
    row, column = seen_at(whole, STANDING[JOINTS.index("left_wrist")], "front")
    assert hue(whole.draw(0)[row, column]) == "blue"
    row, column = seen_at(without, STANDING[JOINTS.index("left_wrist")], "front")
    assert hue(without.draw(0)[row, min(column, 319)]) == "grey"
    values[5] = np.nan
    film = Film([motion(values)] * 2, Choices(size=(640, 360)))
    assert len(np.unique(film.draw(5)[60:330, 2:318].reshape(-1, 3), axis=0)) < len(
        np.unique(film.draw(4)[60:330, 2:318].reshape(-1, 3), axis=0)
    )


def test_an_image_s_points_are_drawn_flat_with_y_down():
    flat = 200 * standing()[..., :2] * [1, -1] + [500, 600]
    film = Film([motion(flat)] * 2, Choices(size=(640, 360), view="top"))
    assert film.stage.flat
    pixels = film.camera.project(film.camera.seen(film.stage.casts[0][0].points[0, : len(JOINTS)], 0))
    scale = (pixels[5] - pixels[6])[0] / (flat[0, 5] - flat[0, 6])[0]
    np.testing.assert_allclose(pixels - pixels[0], scale * (flat[0] - flat[0, 0]), atol=0.01)


def test_limbs_of_estimators_have_hands_feet_and_a_head():
    figure = figure_of(poses(m := motion(standing()), m.people[0]))
    ends = {tuple(JOINTS[e] if e < len(JOINTS) else "between" for e in pair) for pair in figure.ends.tolist()}
    assert ("left_elbow", "left_wrist") in ends
    assert ("between", "between") in ends
    sides = dict(zip(map(tuple, figure.ends.tolist()), figure.sides.tolist(), strict=True))
    assert sides[JOINTS.index("left_elbow"), JOINTS.index("left_wrist")] == LEFT
    assert sides[JOINTS.index("right_hip"), JOINTS.index("right_knee")] == RIGHT
    assert sides[JOINTS.index("left_hip"), JOINTS.index("right_hip")] == MIDDLE
    points = figure.points(np.concatenate([standing(2), np.full((1, 13, 3), np.nan)]))
    np.testing.assert_allclose(points[0, len(JOINTS)], STANDING[0])
    np.testing.assert_allclose(points[0, len(JOINTS) + 1], STANDING[1:3].mean(axis=0))
    assert np.isnan(points[2]).all()


def test_a_rig_s_bones_reach_their_ends():
    take = formats.read(TAKES / "reactidle_000.bvh")
    actor = staged([take]).casts[0][0]
    assert "forearm.L_end" in actor.joints
    at = actor.joints.index
    ends, sides = actor.figure.ends.tolist(), actor.figure.sides
    assert sides[ends.index([at("forearm.L"), at("forearm.L_end")])] == LEFT
    length = np.linalg.norm(actor.points[:, at("forearm.L_end")] - actor.points[:, at("forearm.L")], axis=1)
    np.testing.assert_allclose(length, np.linalg.norm([0.220586, -0.001191, 0.003755]), rtol=1e-6)


def test_poses_stand_upright_on_the_floor():
    take = formats.read(TAKES / "dance_smplh_truth.npz")
    stage = staged([take])
    points = stage.casts[0][0].points
    head, foot = (points[:, SMPL.joints.index(name), 1] for name in ("head", "left_foot"))
    assert (head[:60] - foot[:60] > 1.2).all()
    assert abs(np.nanmin(points[..., 1], axis=1).mean() - stage.floor) < 0.1


def test_colours_are_told_apart_in_grey_and_by_the_colour_blind():
    for look in LOOKS.values():
        greys = [float(np.dot(colour, (0.299, 0.587, 0.114))) for colour in (look.sides[0], look.sides[2])]
        assert abs(greys[0] - greys[1]) > 0.1
        # What red- and green-blind eyes see alike lies in the blue channel.
        assert abs(float(look.sides[0][2] - look.sides[2][2])) > 0.5
