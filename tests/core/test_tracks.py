import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from smoothnet_core import rotations
from smoothnet_core.tracks import KINDS, prepare, settled

RANDOM = Rotation.random(120, random_state=3)


def example(kind, order="columns"):
    matrices = RANDOM.as_matrix().reshape(30, 4, 3, 3)
    if kind == "position":
        return np.random.default_rng(0).normal(size=(30, 4, 3))
    if kind == "channels":
        return np.random.default_rng(0).normal(size=(30, 4))
    return {
        "rotation_matrix": lambda: matrices,
        "rotation_6d": lambda: rotations.matrix_to_rotation_6d(matrices, order),
        "quat_wxyz": lambda: RANDOM.as_quat()[:, [3, 0, 1, 2]].reshape(30, 4, 4),
        "axis_angle": lambda: RANDOM.as_rotvec().reshape(30, 4, 3),
    }[kind]()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unchanged_values_come_back_bit_for_bit(kind, dtype):
    track = example(kind).astype(dtype)
    prepared = prepare(track, kind=kind)
    for strength in (0.0, 0.5, 1.0):
        back = prepared.restore(prepared.values, strength)
        assert back.dtype == dtype
        np.testing.assert_array_equal(back, track)


@pytest.mark.parametrize("order", ["interleaved", "columns", "rows"])
@pytest.mark.parametrize("kind", ["rotation_6d", "rotation_matrix", "quat_wxyz", "axis_angle"])
def test_rotations_come_back_as_the_same_rotations(kind, order):
    track = example(kind, order)
    prepared = prepare(track, kind=kind, order=order)
    np.testing.assert_allclose(prepared.values.reshape(-1, 3, 3), RANDOM.as_matrix(), atol=1e-12)
    turned = (RANDOM.as_matrix() @ Rotation.from_rotvec([1e-3, 0, 0]).as_matrix()).reshape(30, 4, 9)
    back = prepare(prepared.restore(turned, 1.0), kind=kind, order=order)
    np.testing.assert_allclose(back.values, turned, atol=1e-9)


def test_strength_is_geodesic_for_rotations():
    start = np.eye(3)[None, None].repeat(3, axis=0)
    end = Rotation.from_rotvec([0, 0, 1.0]).as_matrix()
    half = prepare(start, kind="rotation_matrix").restore(np.broadcast_to(end.reshape(9), (3, 1, 9)), 0.5)
    np.testing.assert_allclose(Rotation.from_matrix(half[:, 0]).as_rotvec(), [[0, 0, 0.5]] * 3, atol=1e-12)


def test_quaternions_are_continuous_and_start_on_the_callers_side():
    quats = -example("quat_wxyz")
    prepared = prepare(quats, kind="quat_wxyz")
    back = prepared.restore(prepared.values + 1e-9, 1.0)
    assert (np.sum(back[1:] * back[:-1], axis=-1) >= 0).all()
    assert (np.sum(back[0] * quats[0], axis=-1) > 0).all()


def test_axis_angle_keeps_the_callers_whole_turns():
    turns = np.stack([np.linspace(0, 5 * np.pi, 40), np.zeros(40), np.zeros(40)], axis=-1)[:, None]
    prepared = prepare(turns, kind="axis_angle")
    np.testing.assert_allclose(prepared.restore(prepared.values + 1e-10, 1.0), turns, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_gaps_are_interpolated_and_counted(kind):
    track = example(kind)
    broken = track.copy()
    broken[4:6, 1] = np.nan
    broken[0, 2] = np.nan
    prepared = prepare(broken, kind=kind)
    assert np.isfinite(prepared.values).all()
    assert not prepared.observed[4:6, 1].any()
    assert prepared.observed.sum() == 120 - 3
    out = prepared.restore(prepared.values, 0.0)
    np.testing.assert_array_equal(out[6:], track[6:])
    np.testing.assert_allclose(prepared.values[0, 2], prepared.values[1, 2], atol=1e-12)
    if kind in ("position", "channels"):
        np.testing.assert_allclose(out[4, 1], (2 * track[3, 1] + track[6, 1]) / 3)
    elif kind == "rotation_matrix":
        np.testing.assert_allclose(np.linalg.det(out), 1.0)


def test_a_value_under_a_false_mask_is_not_used():
    track = example("position")
    track[7] = 1e9
    mask = np.ones(30, bool)
    mask[7] = False
    for given_mask in (mask, mask[:, None].repeat(4, axis=1), np.broadcast_to(mask[:, None, None], track.shape)):
        prepared = prepare(track, kind="position", mask=given_mask)
        assert np.abs(prepared.values).max() < 10


def test_a_joint_that_is_never_seen_follows_the_others():
    track = example("position")
    track[:, 2] = np.nan
    prepared = prepare(track, kind="position")
    np.testing.assert_allclose(prepared.values[:, 2], track[:, [0, 1, 3]].mean(axis=1))
    assert prepared.never_observed.tolist() == [False, False, True, False]


def test_degenerate_rotations_are_not_observed():
    quats = example("quat_wxyz")
    quats[3, 0] = 0
    sixes = example("rotation_6d")
    sixes[3, 0, 3:] = 2 * sixes[3, 0, :3]
    matrices = example("rotation_matrix")
    matrices[3, 0] = 0
    for track, kind in ((quats, "quat_wxyz"), (sixes, "rotation_6d"), (matrices, "rotation_matrix")):
        prepared = prepare(track, kind=kind)
        assert not prepared.observed[3, 0]
        assert prepared.observed.sum() == 119


@given(frames=st.integers(0, 3), kind=st.sampled_from(KINDS))
def test_tiny_tracks(frames, kind):
    track = example(kind)[:frames]
    prepared = prepare(track, kind=kind)
    assert prepared.values.shape[0] == frames
    np.testing.assert_array_equal(prepared.restore(prepared.values, 1.0), track)


@pytest.mark.parametrize(
    ("track", "arguments", "message"),
    [
        (
            np.zeros((5, 4)),
            {"kind": "position"},
            r"shape of a position track: expected \(T, ..., 2\) or \(T, ..., 3\), ",
        ),
        (
            np.zeros((5, 3, 2)),
            {"kind": "rotation_matrix"},
            r"shape of a rotation_matrix track: expected \(T, ..., 3, 3\)",
        ),
        (np.zeros((5, 3), int), {"kind": "position"}, r"track: expected an array \(T, ...\) of floats, .* dtype int64"),
        (np.array("x"), {"kind": "position"}, r"track: expected an array of numbers, received dtype <U1"),
        (np.full((5, 3), np.nan), {"kind": "position"}, "track: expected at least one observed value, received none"),
        (np.zeros((5, 3)), {"kind": "pose"}, "kind: expected one of position, .* received 'pose'"),
        (np.zeros((5, 6)), {"kind": "rotation_6d", "order": "x"}, "order: expected one of interleaved, columns, rows"),
        (
            np.zeros((5, 3)),
            {"kind": "position", "mask": np.ones(4, bool)},
            r"shape of mask: expected \(T,\), \(T, J\) or the track's \(5, 3\), received \(4,\)",
        ),
        (
            np.zeros((5, 2, 3)),
            {"kind": "position", "confidence": np.full((5, 2), 1.5)},
            r"confidence: expected values in \[0, 1\], received 1.5 to 1.5",
        ),
    ],
)
def test_refusals(track, arguments, message):
    with pytest.raises(ValueError, match=message):
        prepare(track, **arguments)


@pytest.mark.parametrize("kind", ["rotation_matrix", "rotation_6d", "quat_wxyz", "axis_angle"])
def test_gaps_of_rotations_are_bridged_on_the_shortest_way(kind):
    track = example(kind)
    broken = track.copy()
    broken[5:9, 1] = np.nan
    ends = Rotation.from_matrix(RANDOM.as_matrix().reshape(30, 4, 3, 3)[[4, 9], 1])
    bridge = Slerp([4, 9], ends)(np.arange(5, 9)).as_matrix()
    np.testing.assert_allclose(prepare(broken, kind=kind).values[5:9, 1].reshape(4, 3, 3), bridge, atol=1e-12)


def test_gaps_are_numpys_interpolation():
    rng = np.random.default_rng(1)
    track = rng.normal(size=(200, 6))
    gaps = rng.random(track.shape) < 0.4
    gaps[:3, 2] = gaps[-5:, 3] = True
    values = prepare(np.where(gaps, np.nan, track), kind="channels").values[..., 0]
    for n in range(6):
        seen = np.flatnonzero(~gaps[:, n])
        np.testing.assert_allclose(values[:, n], np.interp(np.arange(200), seen, track[seen, n]), atol=1e-13)


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e9, 1e60])
@pytest.mark.parametrize("kind", ["rotation_matrix", "rotation_6d", "quat_wxyz"])
def test_the_size_of_a_rotations_numbers_does_not_matter(kind, scale):
    prepared = prepare(scale * example(kind), kind=kind)
    assert prepared.observed.all()
    np.testing.assert_allclose(prepared.values, prepare(example(kind), kind=kind).values, atol=1e-12)
    parallel = scale * np.array([[1.0, 2, 3, 4, 5, 6], [0.1, 0.7, -0.3, 0.3, 2.1, -0.9]])[:, None]
    assert prepare(parallel, kind="rotation_6d").observed[:, 0].tolist() == [True, False]
    uneven = scale * np.array([[1.0, 0, 0, 0.5, 1e-10, 0], [1.0, 0, 0, 0, 1e-10, 0]])[:, None]
    assert prepare(uneven, kind="rotation_6d").observed[:, 0].tolist() == [False, True]


def test_whole_turns_go_on_through_a_gap():
    turns = np.stack([np.linspace(0, 5 * np.pi, 60), np.zeros(60), np.zeros(60)], axis=-1)[:, None]
    broken = turns.copy()
    broken[40:43] = np.nan
    prepared = prepare(broken, kind="axis_angle")
    np.testing.assert_allclose(prepared.restore(prepared.values + 1e-10, 1.0), turns, atol=1e-8)


def test_blocks_change_nothing(monkeypatch):
    for kind in KINDS:
        broken = example(kind)
        broken[4:6, 1] = np.nan
        results = []
        for block in (2**14, 7):
            monkeypatch.setattr("smoothnet_core._vectors._BLOCK", block)
            prepared = prepare(broken, kind=kind)
            turned = np.roll(prepared.values, 1, axis=0)
            results.append((prepared.values, prepared.restore(settled(turned, prepared.is_rotation), 0.4)))
        for small, large in zip(*results, strict=True):
            np.testing.assert_array_equal(small, large)
