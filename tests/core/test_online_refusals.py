"""What a stream refuses, in which words, and that the stream goes on as if it had not been."""

from __future__ import annotations

import numpy as np
import pytest

from smoothnet_core import load_model
from smoothnet_core.model import Model
from smoothnet_core.online import OnlineRefiner
from tests.core.online_helpers import refused, streamed, walk


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latency": 32}, "latency: expected a whole number of frames from 0 to 31, received 32"),
        ({"latency": -1}, "latency: expected a whole number of frames from 0 to 31, received -1"),
        ({"latency": 2.0}, "latency: expected a whole number of frames from 0 to 31, received 2.0"),
        ({"latency": True}, "latency: expected a whole number of frames from 0 to 31, received True"),
        ({"latency": 4, "fps": 0}, "fps: expected a positive number of frames a second, received 0"),
        ({"latency": 4, "fps": "x"}, "fps: expected a positive number of frames a second, received 'x'"),
        ({"latency": 4, "fps": np.nan}, "fps: expected a positive number of frames a second, received nan"),
        ({"latency": 4, "fps": 2e6}, "fps: expected 0.1 to 1,000,000 frames a second, received 2000000.0"),
        (
            {"latency": 4, "kind": "euler"},
            "kind: expected one of position, rotation_6d, rotation_matrix, quat_wxyz, axis_angle, channels, "
            "received 'euler'",
        ),
        ({"latency": 4, "order": "xyz"}, "order: expected one of interleaved, columns, rows, received 'xyz'"),
        ({"latency": 4, "strength": 2}, "strength: expected a number from 0 to 1, received 2"),
        ({"latency": 31, "hop": 0}, "hop: expected a whole number of frames from 1 to the window, 32, received 0"),
        ({"latency": 31, "hop": 33}, "hop: expected a whole number of frames from 1 to the window, 32, received 33"),
        (
            {"latency": 30, "hop": 4},
            "hop: expected none with a latency below 31 frames, where every frame has a window, received 4",
        ),
        (
            {"latency": 4, "model": "body"},
            "model body: expected an architecture of vector_filter, smoothnet, motion_aware, received body_aware",
        ),
        (
            {"latency": 4, "model": "deglitch"},
            "model deglitch: expected an architecture of vector_filter, smoothnet, motion_aware, received robust_fit",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with refused(message):
        OnlineRefiner(**arguments)


FRAME = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.0]],), "frame: expected a NumPy array or a torch tensor, received a list"),
        (
            (np.ma.masked_array(FRAME),),
            "frame: expected a NumPy array or a torch tensor, received a MaskedArray",
        ),
        ((FRAME.astype(int),), "frame: expected an array of floats, received shape (2, 3), dtype int64"),
        ((np.zeros((2, 4)),), "shape of a position frame: expected (..., 2) or (..., 3), received (2, 4)"),
        ((np.zeros(()),), "shape of a position frame: expected (..., 2) or (..., 3), received ()"),
        ((np.zeros((3, 3)),), "shape of the frame: expected that of the first, (2, 3), received (3, 3)"),
        ((FRAME, 2.0), "time: expected later than that of the frame before, 2, received 2"),
        ((FRAME, 1.5), "time: expected later than that of the frame before, 2, received 1.5"),
        ((FRAME, None), "time: expected one for every frame or for none, received None"),
        ((FRAME, np.inf), "time: expected a number of seconds, received inf"),
        ((FRAME, "x"), "time: expected a number of seconds, received 'x'"),
    ],
)
def test_wrong_frames_are_named_and_change_nothing(arguments, message):
    track = walk(20, 2, 3)
    expected = streamed(OnlineRefiner(latency=1), track, 1 + np.arange(20) / 10)
    refiner = OnlineRefiner(latency=1)
    out = [refiner.push(track[k], 1 + k / 10) for k in range(11)]
    with refused(message):
        refiner.push(*arguments)
    out += [refiner.push(track[k], 1 + k / 10) for k in range(11, 20)]
    np.testing.assert_array_equal(np.array(out[1:] + refiner.flush()), expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mask": [True]}, "shape of mask: expected (), (J,) or the frame's (2, 3), received (1,)"),
        ({"mask": [0.5, 1]}, "mask: expected True or False, received other numbers, dtype float64"),
        ({"mask": ["a", "b"]}, "mask: expected an array of numbers, received dtype <U1"),
        ({"confidence": [2.0, 0.5]}, "confidence: expected values in [0, 1], received 0.5 to 2"),
        (
            {"confidence": np.ones((2, 3, 1))},
            "shape of confidence: expected (), (J,) or the frame's (2, 3), received (2, 3, 1)",
        ),
    ],
)
def test_a_wrong_mask_or_confidence_is_named(given, message):
    with refused(message):
        OnlineRefiner(latency=1).push(FRAME, **given)


def test_times_need_a_clock():
    own = load_model("published-video")
    model = Model("no rate", own.tensors, {key: value for key, value in own.metadata.items() if key != "fps"})
    with refused("fps: expected frames a second, since the weights state none and frames have times, received None"):
        OnlineRefiner(model, latency=1).push(FRAME, 0.0)
    refiner = OnlineRefiner(model, latency=1, fps=50)
    assert refiner.push(FRAME, 0.0) is None
    assert refiner.push(FRAME, 0.02) is not None
