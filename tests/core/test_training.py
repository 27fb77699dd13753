import numpy as np
import pytest

from smoothnet_core.models.sizes import Sizes
from smoothnet_core.training.batches import Mix, Pair, Sampler
from smoothnet_core.training.settings import Settings, numbers_from

SMALL = Settings(
    steps=250,
    learning_rate=5e-3,
    batch=8,
    crop=24,
    hop=4,
    joints=3,
    seed=1,
    sizes=Sizes(window=16, probes=24, hidden=16, filters=12),
)


def clips(count=4, frames=60):
    rng = np.random.default_rng(0)
    for index in range(count):
        truth = np.sin(np.arange(frames)[:, None, None] * 0.15 + rng.normal(size=(1, 3, 3)) * 3).astype(np.float32)
        estimate = (truth + 0.1 * rng.normal(size=truth.shape)).astype(np.float32)
        yield Pair(f"clip {index}", estimate, truth, np.ones(truth.shape[:2], "f4"), np.ones(truth.shape[:2], "f4"))


def sampler(settings=SMALL):
    pairs = list(clips())
    return Sampler(pairs, [p.groundtruth for p in pairs], Mix(clean=0.25, disturbed=0.5), settings)


def test_batches_are_crops_of_the_data_and_repeat_by_seed():
    first, second = sampler().batch(), sampler().batch()
    for a, b in zip(vars(first).values(), vars(second).values(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.estimate.shape[:2] == (8 * 3, 24)
    assert first.quality.shape == (8 * 3, 24, 2)


def test_training_learns_and_repeats():
    pytest.importorskip("lightning_fabric")
    from smoothnet_core.inference.vector_filter_numpy import forward
    from smoothnet_core.training.loop import fit

    losses = []
    tensors = fit(sampler(), SMALL, report=lambda step, value: losses.append(value))
    again = fit(sampler(), SMALL)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, again[name])
    assert len(losses) == SMALL.steps
    assert losses[-1] < 0.8 * losses[0]
    pair = next(clips(1))
    windows = np.lib.stride_tricks.sliding_window_view(pair.estimate[:, 0], 16, axis=0).transpose(0, 2, 1)
    truth = np.lib.stride_tricks.sliding_window_view(pair.groundtruth[:, 0], 16, axis=0).transpose(0, 2, 1)
    out = forward(tensors, np.ascontiguousarray(windows), np.ones((len(windows), 16, 2), np.float32))
    assert np.abs(out - truth).mean() < np.abs(windows - truth).mean()


def test_blending_in_training_is_blending_in_use():
    torch = pytest.importorskip("torch")
    pytest.importorskip("lightning_fabric")
    from smoothnet_core.training.loop import refine_crops
    from smoothnet_core.windows import refine_windows

    rng = np.random.default_rng(2)
    tracks = rng.normal(size=(5, 27, 3)).astype(np.float32)
    quality = rng.random((5, 27, 2)).astype(np.float32)
    out = refine_crops(lambda w, q: w * q[..., :1] * 2, torch.from_numpy(tracks), torch.from_numpy(quality), SMALL)
    expected = refine_windows(tracks, quality, lambda w, q: w * q[..., :1] * 2, window=16, hop=4, blend="taper")
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-5)


def test_loss_terms():
    torch = pytest.importorskip("torch")
    from smoothnet_core.training.losses import loss
    from smoothnet_core.training.settings import LossWeights

    truth = torch.arange(20.0)[None, :, None].repeat(2, 1, 3)
    shifted = truth + torch.tensor([3.0, 0.0, 4.0])
    bent = truth + 0.5 * torch.arange(20.0)[None, :, None] ** 2 * torch.tensor([3.0, 0.0, 4.0])
    assert loss(shifted, truth, LossWeights(1, 0, 0)).item() == pytest.approx(5.0)
    assert loss(shifted, truth, LossWeights(0, 1, 1)).item() == pytest.approx(0.0, abs=1e-3)
    assert loss(bent, truth, LossWeights(0, 1, 0)).item() == pytest.approx(5.0, rel=1e-4)
    assert loss(truth / 2, truth, LossWeights(0, 0, 1)).item() == pytest.approx(3**0.5 / 2, rel=1e-3)


def test_simulated_errors_count_alike_whatever_their_size():
    batch = Sampler(list(clips()), [], Mix(clean=0, swing=1, disturbed=1, low_passed=0), SMALL).batch()
    error = np.linalg.norm(batch.estimate - batch.groundtruth, axis=-1).mean(axis=1)
    # Projection onto fewer dimensions shortens what was 40 mm in three.
    assert (error > 0.005).all()
    assert (error < 0.041).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"step": 3}, r"^training setting: expected one of fps, hop, .*, received step$"),
        ({"steps": 0}, r"^training setting steps: expected a positive number, received 0$"),
        ({"steps": 2.5}, r"^training setting steps: expected a whole number, received 2.5$"),
        ({"steps": "many"}, r"^training setting steps: expected a number, received 'many'$"),
        ({"crop": 10}, r"^training setting crop: expected at least the window, 32 frames, received 10$"),
        ({"loss": {"speeed": 1}}, r"^training setting loss: expected one of position, .*, received speeed$"),
        ({"sizes": 3}, r"^training setting sizes: expected names with values, received 3$"),
    ],
)
def test_refused_settings(values, message):
    with pytest.raises(ValueError, match=message):
        numbers_from(Settings, values, "training setting")


def test_settings_are_read():
    made = numbers_from(Settings, {"steps": 5, "loss": {"speed": 2}, "sizes": {"hidden": 7}}, "")
    assert (made.steps, made.loss.speed, made.sizes.hidden, made.sizes.window) == (5, 2.0, 7, 32)


def test_no_clip_long_enough():
    with pytest.raises(
        ValueError, match=r"^paired clips: expected at least one of 72 frames or more, received none of 4$"
    ):
        Sampler(list(clips()), [], Mix(), Settings())


def test_simulated_errors_are_of_the_stated_size():
    from smoothnet_core.training.disturbances import disturbed, low_passed, swing

    rng = np.random.default_rng(0)
    truth = swing(rng, 400, 5, 30.0)
    assert truth.shape == (400, 5, 3)
    movement = np.sqrt(np.square(truth - truth.mean(axis=0)).sum(axis=2).mean(axis=0))
    shares = [np.sqrt(np.square(disturbed(rng, truth) - truth).mean(axis=(0, 2))) / movement for _ in range(60)]
    assert np.median(shares) < 0.1
    assert np.min(shares) > 0.001
    # What moves slowly passes a low-pass; what alternates does not.
    slow = np.sin(np.arange(200) * 0.1)[:, None]
    np.testing.assert_allclose(low_passed(rng, slow)[20:-20], slow[20:-20], atol=1e-3)
    assert np.abs(low_passed(rng, (-1.0) ** np.arange(200)[:, None])[50:-50]).max() < 0.05
