"""Whatever the engines do to be fast, the numbers are those of the definition in float64.

How large an error may be is stated in units of the result's own size, which is about 1.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from smoothnet_core import refine
from smoothnet_core.inference.overlapping import Frame, refine_overlapping
from tests.core import window_oracle as oracle

# float32 arithmetic, rounding of the result's dtype beside it.
FLOAT32 = 1e-5
ROUNDING = {np.float16: 2.0**-11, np.float32: 2.0**-24, np.float64: 0.0}


def kind_of(size):
    return "position" if size in (2, 3) else "channels"


def check(model, track, tolerance=FLOAT32, **how):
    """Refine (T, N, D), as channels where D is 1, and compare with the oracle; return the result as (T, N, D)."""
    single = track.shape[2] == 1
    out = refine(track[..., 0] if single else track, kind="channels" if single else "position", model=model, **how)
    out = out[..., None] if single else out
    assert out.dtype == track.dtype
    strength = how.pop("strength", 1.0)
    expected = oracle.refined(model, track, position=not single, **how)
    before = oracle.filled(track.astype(np.float64), np.isfinite(track).all(axis=2))
    expected = before + strength * (expected - before)
    size = np.abs(expected).max()
    off = np.abs(out.astype(np.float64) - expected)
    assert (off <= ROUNDING[track.dtype.type] * np.abs(expected) + tolerance * size).all(), off.max() / size
    return out


@pytest.mark.parametrize("blend", ["uniform", "taper"])
@pytest.mark.parametrize("window", [8, 16, 32, 64])
@pytest.mark.parametrize("network", ["published", "vectors"])
def test_windows_hops_lengths_and_sizes(network, window, blend):
    make = oracle.published_model if network == "published" else oracle.vector_model
    model = make(window=window, hop=1 if network == "published" else max(1, window // 4), seed=window)
    lengths = (1, 2, window // 2 + 1, window - 1, window, window + 1, 2 * window + 1, 97, 211)
    hops = (1, 3, model.hop, window)
    for place, (frames, hop) in enumerate(itertools.product(lengths, hops)):
        size = (1, 2, 3)[place % 3]
        check(model, oracle.motion(frames, 2, size, seed=frames), hop=hop, blend=blend)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("network", ["published", "vectors"])
def test_engines_take_vectors_of_any_size(network, size):
    """Positions have two or three numbers; four and nine are those of rotations, which come to the engine so."""
    model = (oracle.published_model if network == "published" else oracle.vector_model)()
    blend = "uniform" if network == "published" else "taper"
    for hop in (1, 5, 8):
        engine = model.track_network(blend, hop)
        assert engine is not None
        frame = None if engine.centred else Frame(np.zeros((3, size)), np.ones((3, size)))
        track = oracle.motion(101, 3, size)
        out = np.full(track.shape, np.nan)
        refine_overlapping(track, None, engine, out, hop=hop, frame=frame)
        expected = oracle.refined(model, track, hop=hop, position=False)
        np.testing.assert_allclose(out, expected, rtol=0, atol=FLOAT32 * np.abs(expected).max())


@pytest.mark.parametrize(
    "sizes", [(512, 128, 5), (512, 256, 3), (512, 512, 5), (40, 7, 2), (33, 1, 1)], ids=lambda s: "/".join(map(str, s))
)
def test_published_networks_of_every_size(sizes):
    hidden, bottleneck, blocks = sizes
    check(oracle.published_model(32, hidden, bottleneck, blocks), oracle.motion(83, 2, 3))


@pytest.mark.parametrize("probes", [1, 64, 129])
def test_vector_networks_of_odd_sizes(probes):
    model = oracle.vector_model(window=24, probes=probes, hidden=probes + 1, filters=2 * probes + 3, hop=7)
    check(model, oracle.motion(331, 2, 3))


@pytest.mark.parametrize("name", ["default", "fast", "published-static"])
def test_shipped_weights(name):
    from smoothnet_core import load_model

    model = load_model(name)
    if model.architecture not in ("smoothnet", "vector_filter"):
        pytest.skip(f"the oracle knows no {model.architecture}")
    for frames in (31, 32, 33, 499):
        check(model, oracle.motion(frames, 5, 3))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("network", ["published", "vectors"])
def test_the_dtype_is_kept_and_as_exact_as_it_can_be(network, dtype):
    model = (oracle.published_model if network == "published" else oracle.vector_model)()
    for size in (1, 3):
        check(model, oracle.motion(257, 4, size, dtype=dtype))


def test_digits_are_left_for_what_moves_far_from_the_origin():
    """What float32 rounds is the motion within a window, not the numbers."""
    track = oracle.motion(300, 2, 3) + 1e5
    model = oracle.vector_model()
    out = refine(track, model=model)
    np.testing.assert_allclose(out, oracle.refined(model, track), rtol=0, atol=1e-5)


LAYOUTS = {
    f"axes {p}": (lambda x, p=p: np.ascontiguousarray(x.transpose(p)).transpose(np.argsort(p)))
    for p in itertools.permutations(range(3))
}
LAYOUTS |= {
    f"axis {axis} backwards": (lambda x, axis=axis: np.flip(np.ascontiguousarray(np.flip(x, axis)), axis))
    for axis in range(3)
}
LAYOUTS |= {
    "all backwards": lambda x: np.ascontiguousarray(x[::-1, ::-1, ::-1])[::-1, ::-1, ::-1],
    "every third number": lambda x: np.repeat(np.repeat(np.repeat(x, 3, 0), 3, 1), 3, 2)[::3, 1::3, 2::3],
    "not aligned": lambda x: _unaligned(x),
    "other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
}


def _unaligned(track):
    raw = np.empty(track.nbytes + 1, np.uint8)
    moved = raw[1:].view(track.dtype).reshape(track.shape)
    moved[...] = track
    return moved


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["default", "published-static"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_how_a_track_lies_in_memory_changes_nothing(layout, name, dtype):
    track = oracle.motion(150, 4, 3, dtype=dtype)
    moved = LAYOUTS[layout](track)
    np.testing.assert_array_equal(moved, track)
    moved.flags.writeable = False
    for kind, size in (("position", 3), ("channels", 1)):
        out = refine(moved[..., :size], model=name, kind=kind)
        assert out.flags.writeable
        assert not np.shares_memory(out, moved)
        assert out.dtype == moved.dtype
        np.testing.assert_array_equal(out, refine(track[..., :size], model=name, kind=kind))
    np.testing.assert_array_equal(moved, track)


@pytest.mark.parametrize("name", ["default", "published-static"])
def test_one_value_for_all_joints_is_read_as_many(name):
    track = np.broadcast_to(oracle.motion(90, 1, 3), (90, 6, 3))
    np.testing.assert_array_equal(refine(track, model=name), refine(track.copy(), model=name))


@pytest.mark.parametrize("confidence", [False, True])
def test_every_joint_of_many_and_few_frames(confidence):
    model = oracle.vector_model(window=16, hop=4)
    track = oracle.motion(40, 3001, 3)
    trust = np.random.default_rng(1).uniform(0.1, 1, (40, 3001)) if confidence else None
    check(model, track, confidence=trust)
    if not confidence:
        check(oracle.published_model(16, 32, 4), track[:, ::7])


# Powers of two are what blocks are made of.
BORDERS = sorted(2**k + off for k in (13, 14, 16) for off in (-1, 0, 1))


@pytest.mark.parametrize("frames", BORDERS)
def test_every_frame_of_many_and_few_joints(frames):
    check(oracle.vector_model(), oracle.motion(frames, 1, 3))
    check(oracle.published_model(8, 24, 3), oracle.motion(frames, 1, 1))
    if frames == BORDERS[2]:
        check(oracle.published_model(hop=3), oracle.motion(frames, 1, 2))
        check(oracle.vector_model(hop=1), oracle.motion(frames, 2, 1))


def test_gaps_across_every_border_of_blocks():
    borders = [2**k for k in range(6, 17)]
    gaps = [(k % 2, at - 5 - k, at + 3 + 2 * k) for k, at in enumerate(borders)]
    gaps += [(0, 0, 7), (1, 66000, 66049), (1, 20000, 29000), (2, 1, 66000)]
    track = oracle.motion(66049, 3, 3, gaps=gaps)
    # One number of three is enough for a point not to be seen.
    track[300, 0, 1] = np.inf
    track[40000:40003, 2] = 0.25
    for model in (oracle.vector_model(), oracle.published_model(16, 24, 3)):
        check(model, np.where(np.isfinite(track), track, np.nan), confidence=None)
        out = refine(track, model=model)
        np.testing.assert_array_equal(out, refine(np.where(np.isfinite(track), track, np.nan), model=model))


@pytest.mark.parametrize("start", range(4))
def test_a_gap_anywhere_is_seen_by_all_windows_over_it(start):
    """Stretches in which all was observed are run without quality: none may be taken for one of them."""
    model = oracle.vector_model(window=16, probes=8, hidden=8, filters=8, hop=4)
    engine = model.track_network("taper", model.hop)
    assert engine is not None
    engine.columns = 100  # so that stretches are short
    clean = oracle.motion(1031, 1, 3)
    undisturbed = refine(clean, model=model)
    for gap in range(start * 3, len(clean) - 100, 12):
        track = clean.copy()
        track[gap : gap + 2] = np.nan
        out = refine(track, model=model)
        # Windows are in step with those of the whole track; of the piece's ends nothing is looked at.
        first = max(0, gap - 44) // 4 * 4
        own = slice(max(0, gap - 16), gap + 20)
        expected = oracle.refined(model, track[first : gap + 60])[own.start - first : own.stop - first]
        np.testing.assert_allclose(out[own], expected, rtol=0, atol=FLOAT32)
        far = np.r_[0 : own.start, own.stop : len(clean)]
        np.testing.assert_allclose(out[far], undisturbed[far], rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("network", ["published", "vectors"])
def test_strength_is_a_straight_line_between_before_and_after(network, strength):
    model = (oracle.published_model if network == "published" else oracle.vector_model)()
    for size in (1, 3):
        for gaps in ([], [(1, 30, 45)]):
            track = oracle.motion(131, 3, size, gaps=gaps) + 5
            check(model, track, strength=strength)


def test_confidence_across_borders():
    track = oracle.motion(2**14 + 5, 2, 3, gaps=[(1, 8000, 8400), (0, 16380, 16386)])
    trust = np.ones(track.shape[:2])
    trust[5000:13000, 0] = np.random.default_rng(2).uniform(0.05, 1, 8000)
    check(oracle.vector_model(), track, confidence=trust)


def test_a_joint_that_no_frame_shows_follows_the_others_through_all_blocks():
    for model in (oracle.vector_model(), oracle.published_model(16, 24, 3)):
        check(model, oracle.motion(20011, 3, 3, gaps=[(0, 8190, 8200), (1, 0, 20011)]))
