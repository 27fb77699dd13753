"""A motion through the refiners: timelines, gaps, what is touched and what is reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smoothnet_core import Model, shipped_models
from smoothnet_core.filters import FILTERS
from smpl_tools.measures import changes, jitter, pieces, prepared, speed_kept, unit_of
from smpl_tools.motion import PARTS, Motion, Person, Track
from smpl_tools.refine_motion import METHODS, refine_motion
from tests.core.window_oracle import vector_shapes

NAMES = ("a", "b", "c", "d")


def positions(frames: int, joints: int = 3, seed: int = 0, size: int = 3) -> np.ndarray:
    generator = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / 30
    phases = generator.uniform(0, 6, (1, joints, size))
    return 0.3 * np.sin(2 * np.pi * time + phases) + generator.normal(0, 0.02, (frames, joints, size))


def rotation_vectors(frames: int, joints: int = 3, seed: int = 0) -> np.ndarray:
    # Around the vertical axis and well under half a turn, so that no vector wraps.
    return positions(frames, joints, seed) * np.array([1.0, 3.0, 1.0])


def track(values: np.ndarray, kind: str = "position", part: str = "body", **more: object) -> Track:
    return Track(values, kind, part, NAMES[: values.shape[1]], **more)


def motion(*people: Person, fps: float | None = 30.0, **more: object) -> Motion:
    return Motion("array", people, fps, **more)


def person(frames: int, ident: str = "0", numbers: np.ndarray | None = None, **tracks: Track) -> Person:
    if not tracks:
        tracks = {"body": track(positions(frames))}
    return Person(ident, tracks, np.arange(frames, dtype=np.int64) if numbers is None else numbers)


def test_the_methods_are_the_core_s():
    assert METHODS[0] == "smoothnet"
    assert METHODS[1] == "repair"
    assert set(METHODS[2:]) == set(FILTERS)


def test_a_track_becomes_what_the_core_makes_of_it():
    one = person(50)
    refined, report = refine_motion(motion(one), method="gaussian")
    default = FILTERS["gaussian"](one.tracks["body"].values, fps=30, kind="position")
    np.testing.assert_array_equal(refined.people[0].tracks["body"].values, default)
    assert report.method == "gaussian"
    assert report.model is None


@pytest.mark.parametrize("method", [m for m in METHODS if m != "smoothnet"])
@pytest.mark.parametrize("frames", [0, 1, 2, 3, 40])
def test_every_method_at_every_length(method: str, frames: int):
    before = motion(
        person(frames, body=track(positions(frames)), turn=track(rotation_vectors(frames), "axis_angle", "root"))
    )
    after, report = refine_motion(before, method=method)
    for name, old in before.people[0].tracks.items():
        new = after.people[0].tracks[name]
        assert new.values.shape == old.values.shape
        assert new.values.dtype == old.values.dtype
        assert np.isfinite(new.values).all()
    assert len(report.tracks) == (2 if frames else 0)
    if frames < 3:
        assert all(t.jitter_before is None and t.jitter_after is None for t in report.tracks)


def test_unselected_tracks_and_people_stay_the_same_objects():
    tracks = {"body": track(positions(20)), "hands": track(positions(20, seed=1), part="hands")}
    before = motion(person(20, "x", **tracks), person(20, "y", **tracks))
    after, report = refine_motion(before, method="median", person="y")
    assert after.people[0] is before.people[0]
    assert after.people[1].tracks["hands"] is tracks["hands"]
    assert after.people[1].tracks["body"] is not tracks["body"]
    assert [(t.person, t.track) for t in report.tracks] == [("y", "body")]
    only_hands, _ = refine_motion(before, method="median", parts=("hands",))
    assert only_hands.people[0].tracks["body"] is tracks["body"]


def test_the_input_is_not_written_to():
    one = person(30)
    one.tracks["body"].values.flags.writeable = False
    refine_motion(motion(one), method="kalman")


@pytest.mark.parametrize("kind", ["position", "axis_angle"])
def test_strength_zero_keeps_every_bit(kind: str):
    values = positions(30) if kind == "position" else rotation_vectors(30)
    before = motion(person(30, body=track(values.astype(np.float32), kind)))
    after, report = refine_motion(before, method="gaussian", strength=0)
    np.testing.assert_array_equal(after.people[0].tracks["body"].values, before.people[0].tracks["body"].values)
    assert report.tracks[0].largest_change == pytest.approx(0, abs=1e-9)


def test_a_short_absence_is_bridged_on_the_uniform_timeline():
    numbers = np.setdiff1d(np.arange(60), np.arange(20, 30))
    values = positions(60)
    before = motion(person(50, numbers=numbers, body=track(values[numbers])))
    after, report = refine_motion(before, method="gaussian")
    with_holes = values.copy()
    with_holes[20:30] = np.nan
    expected = FILTERS["gaussian"](with_holes, fps=30.0, kind="position")[numbers]
    np.testing.assert_array_equal(after.people[0].tracks["body"].values, expected)
    np.testing.assert_array_equal(after.people[0].frames, numbers)
    assert (report.bridged_frames, report.splits, report.tracks[0].filled_frames) == (10, 0, 0)


def test_a_long_absence_separates():
    numbers = np.concatenate([np.arange(20), np.arange(1000, 1025)])
    before = motion(person(45, numbers=numbers, body=track(positions(45))))
    after, report = refine_motion(before, method="gaussian")
    values = before.people[0].tracks["body"].values
    alone = [FILTERS["gaussian"](part, fps=30.0, kind="position") for part in (values[:20], values[20:])]
    np.testing.assert_array_equal(after.people[0].tracks["body"].values, np.concatenate(alone))
    assert (report.bridged_frames, report.splits) == (0, 1)


def test_half_a_second_is_the_limit():
    assert pieces(np.array([0, 16]), 30.0) == [slice(0, 2)]
    assert pieces(np.array([0, 17]), 30.0) == [slice(0, 1), slice(1, 2)]
    assert pieces(np.array([], dtype=np.int64), 30.0) == []
    # The far end of the timeline costs nothing.
    assert len(pieces(np.array([0, 2**62]), 30.0)) == 2


def test_missing_values_are_filled_and_counted():
    values = positions(40)
    values[5:8, 1] = np.nan
    values[7:9, 2] = np.nan
    after, report = refine_motion(motion(person(40, body=track(values))), method="median")
    assert np.isfinite(after.people[0].tracks["body"].values).all()
    assert report.tracks[0].filled_frames == 4


def test_a_joint_that_is_never_seen_keeps_its_nan_and_touches_no_other():
    values = positions(40)
    values[:, 1] = np.nan
    after, report = refine_motion(motion(person(40, body=track(values))), method="median")
    new = after.people[0].tracks["body"].values
    assert np.isnan(new[:, 1]).all()
    np.testing.assert_array_equal(
        new[:, [0, 2]], FILTERS["median"](np.ascontiguousarray(values[:, [0, 2]]), fps=30.0, kind="position")
    )
    assert report.tracks[0].filled_frames == 0


def test_a_joint_unseen_in_one_piece_is_nan_there_only():
    numbers = np.concatenate([np.arange(20), np.arange(100, 120)])
    values = positions(40)
    values[:20, 0] = np.nan
    after, _ = refine_motion(motion(person(40, numbers=numbers, body=track(values))), method="gaussian")
    new = after.people[0].tracks["body"].values
    assert np.isnan(new[:20, 0]).all()
    assert np.isfinite(new[20:]).all()
    assert np.isfinite(new[:, 1:]).all()


def test_a_track_without_any_value_is_left_and_named():
    empty = track(np.full((20, 3, 3), np.nan), part="root")
    before = motion(person(20, body=track(positions(20)), root=empty))
    after, report = refine_motion(before, method="median")
    assert after.people[0].tracks["root"] is empty
    assert report.unobserved == ("0/root",)


def test_the_frame_rate_given_goes_before_the_motion_s():
    values = positions(60)
    for given_fps, own, expected, assumed in (
        (60.0, 30.0, 60.0, False),
        (None, 30.0, 30.0, False),
        (None, None, 30.0, True),
    ):
        _, report = refine_motion(motion(person(60, body=track(values)), fps=own), method="butterworth", fps=given_fps)
        assert (report.fps, report.fps_assumed) == (expected, assumed)


def test_progress_ends_at_one():
    seen: list[float] = []
    before = motion(person(20, "x"), person(20, "y"))
    refine_motion(before, method="median", progress=seen.append)
    assert seen == [0.5, 1.0]


def test_confidence_reaches_the_refiner(monkeypatch: pytest.MonkeyPatch):
    seen = {}

    def stand_in(values: np.ndarray, **given: object) -> np.ndarray:
        seen.update(given)
        return values

    monkeypatch.setitem(FILTERS, "median", stand_in)
    numbers = np.array([0, 1, 3])
    confidence = np.full((3, 3), 0.5)
    refine_motion(
        motion(person(3, numbers=numbers, body=track(positions(3), confidence=confidence)), fps=25.0), method="median"
    )
    np.testing.assert_array_equal(seen["confidence"], np.array([0.5, 0.5, 0, 0.5])[:, None].repeat(3, 1))
    assert (seen["fps"], seen["kind"], seen["order"], seen["strength"]) == (25.0, "position", "columns", 1.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "mean"}, "method: expected one of smoothnet, repair, one-euro, .*, received 'mean'"),
        ({"parts": ("feet",)}, "part: expected one of root, body, .*, received 'feet'"),
        ({"parts": ("hands",)}, "take.npy: parts to refine: expected some of what the file has, body, received hands"),
        ({"person": "7"}, "take.npy: person: expected one of 0, received '7'"),
        ({"fps": 0.0}, "take.npy: fps: expected a positive number, received 0.0"),
        ({"strength": 2.0}, "take.npy: strength: expected a number from 0 to 1, received 2.0"),
        ({"method": "smoothnet", "model": "nope"}, "take.npy: model: expected one of the shipped names .*'nope'"),
    ],
)
def test_refusals(given: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message) as caught:
        refine_motion(motion(person(20), path=Path("take.npy")), **{"method": "median", **given})
    assert "\n" not in str(caught.value)


def test_nothing_observed_is_refused():
    empty = motion(person(20, body=track(np.full((20, 3, 3), np.nan))), path=Path("x.npy"))
    with pytest.raises(ValueError, match=r"^x.npy: values to refine: expected at least one observed value, received"):
        refine_motion(empty, method="median")


# Measures


def test_jitter_is_the_mean_acceleration():
    time = np.arange(30) / 20
    values = np.zeros((30, 2, 3))
    values[:, 0, 1] = 0.5 * 9.0 * time**2
    numbers = np.arange(30)
    assert jitter(prepared(track(values)), numbers, 20.0) == pytest.approx(4.5)
    # A missing frame takes out the three differences that it enters.
    assert jitter(prepared(track(values)), np.delete(np.arange(31), 10), 20.0) == pytest.approx(4.5)
    assert jitter(prepared(track(values[:2])), numbers[:2], 20.0) is None


def test_jitter_of_rotations_is_the_angular_acceleration():
    time = np.arange(40) / 30
    vectors = np.zeros((40, 1, 3))
    vectors[:, 0] = np.array([0.6, 0.0, 0.8]) * (0.5 * 2.0 * time**2)[:, None]
    assert jitter(prepared(track(vectors, "axis_angle")), np.arange(40), 30.0) == pytest.approx(2.0, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_measures_of_rotations_do_not_see_the_scene_s_axes_or_a_bone_s_roll(seed: int):
    scene, roll = Rotation.random(2, random_state=seed)
    old, new = rotation_vectors(20, 1, seed), rotation_vectors(20, 1, seed + 1)
    numbers = np.arange(20)

    def turned(vectors: np.ndarray) -> Track:
        matrices = (scene * Rotation.from_rotvec(vectors[:, 0]) * roll).as_matrix()
        return track(matrices[:, None], "rotation_matrix")

    plain = prepared(track(old, "axis_angle")), prepared(track(new, "axis_angle"))
    other = prepared(turned(old)), prepared(turned(new))
    assert jitter(plain[0], numbers, 30.0) == pytest.approx(jitter(other[0], numbers, 30.0))
    assert speed_kept(*plain, numbers, 30.0) == pytest.approx(speed_kept(*other, numbers, 30.0))
    np.testing.assert_allclose(changes(*plain), changes(*other), atol=1e-9)


def test_changes_of_rotations_are_scipy_s_angles():
    old, new = rotation_vectors(20, 2), rotation_vectors(20, 2, seed=5)
    found = changes(prepared(track(old, "axis_angle")), prepared(track(new, "axis_angle")))
    angles = (Rotation.from_rotvec(old.reshape(-1, 3)).inv() * Rotation.from_rotvec(new.reshape(-1, 3))).magnitude()
    np.testing.assert_allclose(found, angles.reshape(20, 2), atol=1e-9)


def test_speed_kept_is_one_without_jitter_and_sees_flattening():
    time = np.arange(120)[:, None, None] / 60
    clean = prepared(track(np.sin(2 * np.pi * time) * np.ones((1, 2, 3))))
    slow = prepared(track(0.5 * np.sin(2 * np.pi * time) * np.ones((1, 2, 3))))
    numbers = np.arange(120)
    assert speed_kept(clean, clean, numbers, 60.0) == pytest.approx(1.0, abs=0.02)
    assert speed_kept(clean, slow, numbers, 60.0) == pytest.approx(0.5, abs=0.02)
    noisy = clean.values + np.random.default_rng(1).normal(0, 0.02, clean.values.shape)
    assert speed_kept(prepared(track(noisy)), clean, numbers, 60.0) == pytest.approx(1.0, abs=0.1)
    still = prepared(track(np.ones((20, 1, 3))))
    assert speed_kept(still, still, np.arange(20), 30.0) is None
    assert speed_kept(prepared(track(positions(7))), prepared(track(positions(7))), np.arange(7), 30.0) is None


def test_the_report_uses_the_largest_change():
    before = motion(person(30))
    after, report = refine_motion(before, method="gaussian")
    moved = np.linalg.norm(after.people[0].tracks["body"].values - before.people[0].tracks["body"].values, axis=-1)
    one = report.tracks[0]
    assert one.largest_change == pytest.approx(moved.max())
    frame, joint = np.unravel_index(moved.argmax(), moved.shape)
    assert (one.largest_change_frame, one.largest_change_joint) == (frame, NAMES[joint])
    assert one.jitter_after < one.jitter_before
    assert report.as_dict()["tracks"][0]["track"] == "body"


def test_units():
    plane, turn = track(positions(5, size=2)), track(rotation_vectors(5), "axis_angle")
    assert unit_of(motion(), "body", plane).name == "px"
    assert unit_of(motion(), "body", turn).name == "deg"
    assert unit_of(motion(), "body", track(positions(5))).name == "unit"
    amass = Motion("amass", (), 30.0)
    assert unit_of(amass, "transl", track(positions(5)).replace(metres=0.01)).factor == 10.0
    assert unit_of(amass, "betas", Track(np.zeros((5, 2)), "channels", "shape", ("a", "b"))).name == "unit"
    assert set(PARTS) >= {"root", "body"}


# With networks


@pytest.fixture(scope="module")
def default_model() -> str:
    if "default" not in shipped_models():
        pytest.skip("the weights 'default' are not in assets/models")
    return "default"


@pytest.mark.parametrize("frames", [1, 2, 3, 20, 90])
def test_the_shipped_network_refines(default_model: str, frames: int):
    before = motion(
        person(frames, body=track(rotation_vectors(frames), "axis_angle"), root=track(positions(frames), part="root"))
    )
    after, report = refine_motion(before, model=default_model)
    assert all(np.isfinite(t.values).all() for t in after.people[0].tracks.values())
    assert report.model == "default"
    if frames == 90:
        assert all(t.jitter_after < 0.5 * t.jitter_before for t in report.tracks)


def random_network() -> Model:
    """Return a network of our own kind that nobody trained: what holds by construction holds for it too."""
    generator = np.random.default_rng(3)
    window, probes, hidden, filters = 32, 20, 16, 12
    shapes = vector_shapes(window, probes, hidden, filters)
    tensors = {
        name: (generator.normal(0, 1, shape) / np.sqrt(shape[-1])).astype(np.float32) for name, shape in shapes.items()
    }
    return Model("random", tensors, {"architecture": "vector_filter", "window": window, "hop": 4, "fps": 30})


@pytest.mark.parametrize("name", ["random", "default"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_turning_the_scene_or_a_bone_turns_the_result(name: str, seed: int, request: pytest.FixtureRequest):
    model = random_network() if name == "random" else request.getfixturevalue("default_model")
    scene, roll = Rotation.random(2, random_state=seed)
    vectors = rotation_vectors(60, 1, seed)
    places = positions(60, 1, seed)

    def refined(turn: Rotation, bone: Rotation) -> tuple[Rotation, np.ndarray]:
        matrices = (turn * Rotation.from_rotvec(vectors[:, 0]) * bone).as_matrix()[:, None]
        root = turn.apply(places[:, 0])[:, None]
        after, _ = refine_motion(
            motion(person(60, body=track(matrices, "rotation_matrix"), root=track(root, part="root"))),
            model=model,
        )
        tracks = after.people[0].tracks
        return Rotation.from_matrix(tracks["body"].values[:, 0]), tracks["root"].values[:, 0]

    identity = Rotation.identity()
    plain, plain_root = refined(identity, identity)
    assert np.abs(plain_root - places[:, 0]).max() > 0.02 * np.ptp(places)
    turned, turned_root = refined(scene, roll)
    angles = (turned * (scene * plain * roll).inv()).magnitude()
    movement = np.ptp(vectors[:, 0], axis=0).max()
    assert angles.max() < 0.01 * movement
    assert np.abs(turned_root - scene.apply(plain_root)).max() < 0.01 * np.ptp(places)
