import json
from dataclasses import replace

import numpy as np
import pytest

from smoothnet_core import load_model, metrics
from smoothnet_core.models.sizes import Sizes
from smoothnet_core.online import OnlineRefiner
from smoothnet_core.training.batches import Mix, Pair, Sampler
from smoothnet_core.training.settings import EndSettings, Settings, WindowSettings, numbers_from
from smoothnet_core.training.shards import in_memory
from smoothnet_core.training.window_batches import WindowBatches
from smoothnet_core.windows import BLENDS
from tests.core.test_vector_filter import with_numpy

SMALL = Settings(steps=120, learning_rate=1e-2, batch=8, crop=24, hop=4, joints=3, seed=1)
SIZES = Sizes(window=16, probes=24, hidden=16, filters=12)


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


def test_batches_go_on_where_they_were():
    whole, broken, restored = sampler(), sampler(), sampler()
    for _ in range(3):
        whole.batch()
        broken.batch()
    restored.restore(json.loads(json.dumps(broken.state())))
    for a, b in zip(vars(whole.batch()).values(), vars(restored.batch()).values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_training_learns_and_repeats():
    pytest.importorskip("lightning_fabric")
    from smoothnet_core.training.architectures import ARCHITECTURES
    from smoothnet_core.training.loop import train
    from smoothnet_core.training.recipes import crop_run

    def fit(settings, report=lambda step, value: None):
        pairs = list(clips())
        clean, mix = [p.groundtruth for p in pairs], Mix(clean=0.25, disturbed=0.5)
        run = crop_run(ARCHITECTURES["vector_filter"], SIZES, settings, in_memory(pairs, clean), mix)
        return train(run.network, run.batches, run.loss, run.schedule, report=report).tensors

    losses = []
    short = replace(SMALL, steps=10)
    once, again = fit(short), fit(short)
    for name, tensor in once.items():
        np.testing.assert_array_equal(tensor, again[name])
    tensors = fit(SMALL, lambda step, value: losses.append(value))
    assert len(losses) == SMALL.steps
    assert losses[-1] < 0.8 * losses[0]
    pair = next(clips(1))
    windows = np.lib.stride_tricks.sliding_window_view(pair.estimate[:, 0], 16, axis=0).transpose(0, 2, 1)
    truth = np.lib.stride_tricks.sliding_window_view(pair.groundtruth[:, 0], 16, axis=0).transpose(0, 2, 1)
    out = with_numpy(tensors, np.ascontiguousarray(windows), np.ones((len(windows), 16, 2), np.float32))
    assert np.abs(out - truth).mean() < np.abs(windows - truth).mean()


@pytest.mark.parametrize("blend", BLENDS)
def test_blending_in_training_is_blending_in_use(blend):
    torch = pytest.importorskip("torch")
    from smoothnet_core.training.architectures import refine_crops
    from smoothnet_core.windows import refine_windows

    rng = np.random.default_rng(2)
    tracks = rng.normal(size=(5, 27, 3)).astype(np.float32)
    quality = rng.random((5, 27, 2)).astype(np.float32)
    how = {"window": 16, "hop": 4, "blend": blend}
    out = refine_crops(lambda w, q: w * q[..., :1] * 2, torch.from_numpy(tracks), torch.from_numpy(quality), **how)
    expected = refine_windows(tracks, quality, lambda w, q: w * q[..., :1] * 2, **how)
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-5)


def test_a_stream_in_training_is_a_stream_in_use():
    torch = pytest.importorskip("torch")
    from smoothnet_core.models.vector_filter import from_tensors
    from smoothnet_core.training.architectures import streamed_crops

    model = load_model("default")
    rng = np.random.default_rng(2)
    track, trust = np.cumsum(rng.normal(0, 0.02, (50, 4, 3)), axis=0), rng.uniform(0.2, 1, (50, 4))
    quality = np.stack([trust, np.ones_like(trust)], axis=-1)
    given = (torch.from_numpy(values.transpose(1, 0, 2)).float() for values in (track, quality))
    with torch.no_grad():
        outputs = streamed_crops(from_tensors(model.tensors), *given, window=32, latencies=4, blend="taper")
    assert len(outputs) == 4
    for latency, output in enumerate(outputs):
        refiner = OnlineRefiner(model, latency=latency)
        frames = [refiner.push(*pair[:1], confidence=pair[1]) for pair in zip(track, trust, strict=True)]
        # Those that only whole windows have seen.
        np.testing.assert_allclose(output.numpy().transpose(1, 0, 2), np.array(frames[31 + latency :]), atol=1e-5)


def test_weights_for_streams_go_on_from_others():
    torch = pytest.importorskip("torch")
    from smoothnet_core.training.architectures import ARCHITECTURES
    from smoothnet_core.training.recipes import end_run

    settings = EndSettings(crop=60, steps=2, batch=2, joints=3, first="default", latencies=3)
    sizes = Sizes(**load_model("default").metadata["sizes"])
    pairs = list(clips(2, 90))
    run = end_run(ARCHITECTURES["vector_filter"], sizes, settings, in_memory(pairs))
    for name, tensor in run.network.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), load_model("default").tensors[name])
    batch = run.batches[0].batch()
    value = run.loss(run.network, type(batch)(*(torch.from_numpy(v) for v in vars(batch).values())))
    value.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in run.network.parameters())
    small = replace(sizes, hidden=sizes.hidden // 2)
    with pytest.raises(ValueError, match=r"^weights default to begin from: expected tensors of the sizes that are"):
        end_run(ARCHITECTURES["vector_filter"], small, settings, in_memory(pairs))
    with pytest.raises(
        ValueError, match=r"^training setting crop: expected at least 53 frames for 13 latencies, .* 50$"
    ):
        end_run(ARCHITECTURES["vector_filter"], sizes, replace(settings, crop=50, latencies=13), in_memory(pairs))
    with pytest.raises(
        ValueError, match=r"^training setting none: expected a number that is not negative, received -1$"
    ):
        replace(settings, none=-1)


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
    assert loss(truth / 2, truth, LossWeights(0, 0, 1, 0.25)).item() == pytest.approx(3**0.5 / 2, rel=1e-3)
    assert loss(truth * 2, truth, LossWeights(0, 0, 1, 0.25)).item() == pytest.approx(3**0.5 / 4, rel=1e-3)


def test_the_aligned_error_is_pa_mpjpe():
    torch = pytest.importorskip("torch")
    from smoothnet_core.training.losses import aligned_error

    rng = np.random.default_rng(4)
    truth = rng.normal(size=(12, 6, 3))
    # Half of the poses are mirrored, for which the best orthogonal matrix is no rotation.
    poses = truth * np.where(np.arange(12) % 2, 1, -1)[:, None, None] + 0.3 * rng.normal(size=truth.shape)
    expected = metrics.pa_mpjpe(poses, truth).mean() / 1e3
    value = aligned_error(torch.from_numpy(poses).requires_grad_(), torch.from_numpy(truth))
    assert value.item() == pytest.approx(expected, rel=1e-4)
    value.backward()


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
        ({"kept_units": -1}, r"^training setting kept_units: expected a number that is not negative, received -1$"),
        ({"crop": 15}, r"^training setting crop: expected at least 16 frames, received 15$"),
        ({"steps": 2.5}, r"^training setting steps: expected a whole number, received 2.5$"),
        ({"steps": "many"}, r"^training setting steps: expected a number, received 'many'$"),
        ({"loss": {"speeed": 1}}, r"^training setting loss: expected one of position, .*, received speeed$"),
        ({"loss": 3}, r"^training setting loss: expected names with values, received 3$"),
    ],
)
def test_refused_settings(values, message):
    with pytest.raises(ValueError, match=message):
        numbers_from(Settings, values, "training setting")


def test_settings_are_read():
    made = numbers_from(Settings, {"steps": 5, "loss": {"speed": 2}}, "")
    assert (made.steps, made.hop, made.loss.speed, made.loss.position) == (5, 8, 2.0, 1.0)


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


def all_windows(pairs, window):
    """Every stride-1 window (estimate, truth, quality) of every joint of every clip."""
    for pair in pairs:
        for start in range(len(pair.estimate) - window + 1):
            for joint in range(pair.estimate.shape[1]):
                piece = (slice(start, start + window), joint)
                quality = np.stack([pair.confidence[piece] * pair.observed[piece], pair.observed[piece]], axis=-1)
                yield pair.estimate[piece], pair.groundtruth[piece], quality


def test_an_epoch_is_every_window_once():
    rng = np.random.default_rng(3)
    shapes = {"short": (9, 2), "other joints": (25, 3), "too short": (7, 3), "long": (31, 1)}
    pairs = [Pair(n, *rng.normal(size=(2, *s, 3)), *rng.random((2, *s))) for n, s in shapes.items()]
    batches = WindowBatches(pairs, window=8, batch=10, seed=0)
    assert batches.epoch == -(-(2 + 18 + 24) // 10)

    def epoch():
        drawn = [batches.batch() for _ in range(batches.epoch)]
        return [np.concatenate([getattr(b, name) for b in drawn]) for name in ("estimate", "groundtruth", "quality")]

    expected = [np.array(part, np.float32) for part in zip(*all_windows(pairs, 8), strict=True)]
    order = np.lexsort(expected[0][:, :3, 0].T)
    first = None
    for _ in range(2):
        drawn = epoch()
        found = np.lexsort(drawn[0][:, :3, 0].T)
        for a, b in zip(drawn, expected, strict=True):
            np.testing.assert_array_equal(a[found], b[order])
        assert first is None or (first != drawn[0]).any(), "each epoch is shuffled anew"
        first = drawn[0]


@pytest.mark.parametrize("drawn", [0, 3, 5, 12])
def test_windows_go_on_where_they_were(drawn):
    def made():
        return WindowBatches(list(clips(frames=20)), window=8, batch=10, seed=4)

    whole, broken, restored = made(), made(), made()
    for _ in range(drawn):
        whole.batch()
        broken.batch()
    restored.restore(json.loads(json.dumps(broken.state())))
    for _ in range(8):
        for a, b in zip(vars(whole.batch()).values(), vars(restored.batch()).values(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_no_clip_as_long_as_a_window():
    message = r"^paired clips: expected at least one of 61 frames or more, received none of 4$"
    with pytest.raises(ValueError, match=message):
        WindowBatches(list(clips()), window=61, batch=8, seed=0)


def test_the_published_loss_is_the_papers():
    torch = pytest.importorskip("torch")
    from smoothnet_core.training.losses import published_loss
    from smoothnet_core.training.settings import PublishedLossWeights

    rng = np.random.default_rng(8)
    out, truth = rng.normal(size=(2, 4, 9, 3))
    position, acceleration = [], []
    for n in range(4):
        for c in range(3):
            p, g = out[n, :, c], truth[n, :, c]
            position += [abs(p[t] - g[t]) for t in range(9)]
            for t in range(1, 8):
                bent = p[t - 1] - 2 * p[t] + p[t + 1]
                acceleration.append(abs(bent - (g[t - 1] - 2 * g[t] + g[t + 1])))
    for weights in (PublishedLossWeights(), PublishedLossWeights(0.5, 2.0)):
        expected = weights.position * np.mean(position) + weights.acceleration * np.mean(acceleration)
        received = published_loss(torch.from_numpy(out), torch.from_numpy(truth), weights)
        assert received.item() == pytest.approx(expected)
    assert (PublishedLossWeights().position, PublishedLossWeights().acceleration) == (1.0, 0.1)


@pytest.mark.parametrize("name", ["smoothnet", "motion_aware", "vector_filter"])
def test_the_published_recipe(name):
    """One step of it, written out: amsgrad, no clipping, and the learning rate falling by epochs."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("lightning_fabric")
    from smoothnet_core.models.sizes import SIZES as KINDS
    from smoothnet_core.training.architectures import ARCHITECTURES
    from smoothnet_core.training.loop import train
    from smoothnet_core.training.recipes import window_run

    architecture = ARCHITECTURES[name]
    sizes = KINDS[name](window=8, hidden=12)
    settings = WindowSettings(epochs=10, batch=50, learning_rate=0.03, factor=0.5, seed=6)
    pairs = list(clips(frames=40))
    run = window_run(architecture, sizes, settings, in_memory(pairs))
    assert run.schedule.steps == 10 * 3, "132 windows make three batches, the last of them small"
    result = train(run.network, run.batches, run.loss, run.schedule)
    rates = {row.step: row.learning_rate for row in result.curve}
    assert rates[30] == 0.03 * 0.5**9

    torch.manual_seed(6)
    network = architecture.build(sizes)
    # Dropout draws from the seeded generator too.
    torch.manual_seed(6)
    batches = WindowBatches(pairs, 8, 50, 6)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.03, amsgrad=True)
    for step in range(30):
        batch = batches.batch()
        x, y, quality = (torch.from_numpy(a) for a in (batch.estimate, batch.groundtruth, batch.quality))
        out = network(x, quality) if name == "vector_filter" else network(x.transpose(1, 2)).transpose(1, 2)
        bend = (out - y)[:, 2:] - 2 * (out - y)[:, 1:-1] + (out - y)[:, :-2]
        optimizer.param_groups[0]["lr"] = 0.03 * 0.5 ** (step // 3)
        optimizer.zero_grad()
        ((out - y).abs().mean() + 0.1 * bend.abs().mean()).backward()
        optimizer.step()
    for key, tensor in network.state_dict().items():
        np.testing.assert_allclose(result.tensors[key], tensor.numpy(), rtol=0, atol=1e-4, err_msg=key)


@pytest.mark.parametrize("name", ["smoothnet", "motion_aware", "vector_filter"])
def test_every_architecture_trains_on_crops_and_its_weights_are_read(name, tmp_path):
    pytest.importorskip("lightning_fabric")
    from smoothnet_core import load_model, refine
    from smoothnet_core.checkpoints import Weights, write_safetensors
    from smoothnet_core.models.sizes import SIZES as KINDS
    from smoothnet_core.training.architectures import ARCHITECTURES
    from smoothnet_core.training.loop import train
    from smoothnet_core.training.recipes import crop_run

    architecture, sizes = ARCHITECTURES[name], KINDS[name](window=8, hidden=12)
    settings = Settings(steps=3, batch=4, crop=16, hop=4, joints=2)
    run = crop_run(architecture, sizes, settings, in_memory(list(clips())))
    tensors = train(run.network, run.batches, run.loss, run.schedule).tensors
    metadata = {"architecture": name, "window": 8, "hop": 4, **architecture.metadata(sizes)}
    write_safetensors(tmp_path / "w.safetensors", Weights(tensors, metadata))
    model = load_model(tmp_path / "w.safetensors")
    track = next(clips(1)).estimate
    # What training blended is what use blends.
    torch = pytest.importorskip("torch")
    from smoothnet_core.training.architectures import refine_crops

    run.network.eval()
    with torch.no_grad():
        tracks, quality = torch.from_numpy(track.transpose(1, 0, 2).copy()), torch.ones(3, len(track), 2)
        how = {"window": 8, "hop": 4, "blend": architecture.blend}
        trained = refine_crops(lambda w, q: architecture.run(run.network, w, q), tracks, quality, **how)
    # As channels, the paper's networks see the track where it is; the other one is indifferent to that.
    kind = "channels" if name != "vector_filter" else "position"
    np.testing.assert_allclose(refine(track, kind=kind, model=model), trained.numpy().transpose(1, 0, 2), atol=1e-4)


def test_crops_are_of_three_dimensions_and_as_long_as_a_window():
    pytest.importorskip("torch")
    pytest.importorskip("lightning_fabric")
    from smoothnet_core.training.architectures import ARCHITECTURES
    from smoothnet_core.training.recipes import crop_run

    flat = Pair("flat", *np.zeros((2, 80, 3, 2)), *np.ones((2, 80, 3)))
    with pytest.raises(ValueError, match=r"^paired clip flat: expected 3D positions, .*, received \(80, 3, 2\)$"):
        crop_run(ARCHITECTURES["vector_filter"], SIZES, SMALL, in_memory([flat]))
    message = r"^training setting crop: expected at least the window, 32 frames, received 24$"
    with pytest.raises(ValueError, match=message):
        crop_run(ARCHITECTURES["vector_filter"], Sizes(), SMALL, in_memory(list(clips())))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, r"^training setting epochs: expected a positive number, received 0$"),
        ({"factor": 0.0}, r"^training setting factor: expected a positive number, received 0.0$"),
        ({"crop": 3}, r"^training setting: expected one of fps, hop, epochs, .*, received crop$"),
        ({"loss": {"speed": 1}}, r"^training setting loss: expected one of position, acceleration, received speed$"),
    ],
)
def test_refused_window_settings(values, message):
    with pytest.raises(ValueError, match=message):
        numbers_from(WindowSettings, values, "training setting")
