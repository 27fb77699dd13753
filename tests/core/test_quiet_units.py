"""Hidden units that hardly say anything are taken out: what stays answers as before."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from smoothnet_core.models.sizes import Sizes  # noqa: E402
from smoothnet_core.models.vector_filter import VectorFilter  # noqa: E402
from smoothnet_core.training.quiet_units import without_quiet_units  # noqa: E402
from tests.core.test_vector_filter import with_numpy  # noqa: E402

WINDOW, HIDDEN = 8, 12


def _network(seed=0):
    torch.manual_seed(seed)
    network = VectorFilter(Sizes(WINDOW, 8, HIDDEN, 10))
    return {name: tensor.detach().numpy().copy() for name, tensor in network.state_dict().items()}


def _windows(seed, count=40):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, WINDOW, 3)).astype(np.float32), rng.random((count, WINDOW, 2)).astype(np.float32)


def _batches(seed):
    return [tuple(map(torch.from_numpy, _windows(seed + i))) for i in range(3)]


def test_silent_and_constant_units_are_not_missed():
    tensors = _network()
    # Of the first layer three never answer; of the second two say the same whatever they see.
    tensors["layer1.bias"][[1, 5, 7]] = -1e3
    tensors["layer2.weight"][[0, 9]] = 0
    tensors["layer2.bias"][[0, 9]] = 0.01
    result = without_quiet_units(tensors, _batches(1), HIDDEN - 2)
    assert result["layer1.weight"].shape == (HIDDEN - 2, 8 + 2 * WINDOW)
    assert result["layer2.weight"].shape == (HIDDEN - 2, HIDDEN - 2)
    assert result["gain.weight"].shape == (10, HIDDEN - 2)
    windows, quality = _windows(99)
    np.testing.assert_allclose(with_numpy(result, windows, quality), with_numpy(tensors, windows, quality), atol=1e-6)
    # Those that speak are missed: one less than the silent ones changes the answer.
    less = without_quiet_units(tensors, _batches(1), HIDDEN - 5)
    assert np.abs(with_numpy(less, windows, quality) - with_numpy(tensors, windows, quality)).max() > 1e-4


def test_all_may_stay_and_nothing_given_is_changed():
    tensors = _network(3)
    before = {name: value.copy() for name, value in tensors.items()}
    result = without_quiet_units(tensors, _batches(2), HIDDEN)
    for name, value in tensors.items():
        np.testing.assert_array_equal(value, before[name])
        np.testing.assert_array_equal(result[name], value)


def test_of_two_units_the_one_that_moves_more_stays():
    tensors = _network(4)
    # All speak.
    tensors["layer1.bias"] += 5
    tensors["layer2.bias"] += 5
    tensors["layer2.weight"][:, 3] *= 1e-3
    tensors["gain.weight"][:, 6] *= 1e-3
    result = without_quiet_units(tensors, _batches(5), HIDDEN - 1)
    others = np.delete(np.arange(HIDDEN), 3)
    np.testing.assert_array_equal(result["layer1.weight"], tensors["layer1.weight"][others])
    others = np.delete(np.arange(HIDDEN), 6)
    np.testing.assert_array_equal(result["gain.weight"], tensors["gain.weight"][:, others])
    assert (result["gain.bias"] != tensors["gain.bias"]).all()
