"""Batches of whole bodies, and what their recipe asks of the training loop: averaged weights and weight decay."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from smoothnet_core import refine
from smoothnet_core.joint_sets import JOINT_SETS, mirrored
from smoothnet_core.model import Model
from smoothnet_core.models.sizes import BodySizes
from smoothnet_core.training import body_batches
from smoothnet_core.training.batches import Pair
from smoothnet_core.training.body_batches import BodyBatches
from smoothnet_core.training.settings import BodyLossWeights, BodySettings, Schedule, numbers_from
from smoothnet_core.training.shards import in_memory

SET = JOINT_SETS["mediapipe_15"]
JOINTS = len(SET.joints)
SIZES = BodySizes(window=16, hidden=16, blocks=2)
SETTINGS = BodySettings(steps=60, batch=12, hop=8, learning_rate=5e-3, average=0.9, seed=3)


def pair(estimate, truth=None, confidence=None, observed=None):
    ones = np.ones(estimate.shape[:2], np.float32)
    return Pair(
        "clip",
        estimate.astype(np.float32),
        (estimate if truth is None else truth).astype(np.float32),
        ones if confidence is None else confidence,
        ones if observed is None else observed,
    )


def standing(frames=40, seed=0):
    """A body that does not move, (T, J, 3)."""
    rest = np.random.default_rng(seed).normal(size=(1, JOINTS, 3))
    return np.repeat(rest, frames, axis=0)


def moving(frames=50, seed=0):
    rng = np.random.default_rng(seed)
    return standing(frames, seed) + 0.2 * np.sin(
        np.arange(frames)[:, None, None] * 0.2 + rng.uniform(0, 6, (JOINTS, 3))
    )


def turning(frames=50, seed=0):
    """A stiff body that turns to and fro about the vertical: its limbs keep their length, as people's do."""
    angle = 0.5 * np.sin(0.2 * np.arange(frames) + seed)
    turns = np.zeros((frames, 3, 3))
    turns[:, 1, 1], turns[:, 0, 0], turns[:, 2, 2] = 1, np.cos(angle), np.cos(angle)
    turns[:, 0, 2], turns[:, 2, 0] = np.sin(angle), -np.sin(angle)
    rest = standing(frames, seed)
    return (rest + mirrored(rest, JOINT_SETS["mediapipe_15"].swap)) @ turns


def joints_of(batch):
    return batch.estimate.reshape(len(batch.estimate), -1, JOINTS, 3)


def test_mirroring_twice_is_no_change():
    body = moving()
    once = mirrored(body, SET.swap)
    np.testing.assert_array_equal(mirrored(once, SET.swap), body)
    left, right = SET.joints.index("left_wrist"), SET.joints.index("right_wrist")
    np.testing.assert_array_equal(once[:, left], body[:, right] * [-1, 1, 1])
    np.testing.assert_array_equal(once[:, 0], body[:, 0] * [-1, 1, 1])


def test_a_body_keeps_its_shape_and_its_joints_their_quality():
    body = standing()
    # Told by its distance from the root, a joint has a confidence of its own, whatever was done to the crop.
    distance = np.linalg.norm(body - body[:, list(SET.root)].mean(axis=1, keepdims=True), axis=-1)
    confidence = (distance / distance.max()).astype(np.float32)
    batches = BodyBatches([pair(body, confidence=confidence)], SIZES, replace(SETTINGS, batch=400))
    batch = batches.batch()
    estimate, quality = joints_of(batch), batch.quality.reshape(400, 16, JOINTS, 3)
    np.testing.assert_allclose(batch.groundtruth, batch.estimate, atol=1e-6)
    seen = np.linalg.norm(estimate, axis=-1) / distance.max()
    withheld = (quality[..., 0] == 1).all(axis=(1, 2))
    assert 0.12 < withheld.mean() < 0.28
    np.testing.assert_allclose(quality[~withheld][..., 0], seen[~withheld], atol=1e-5)
    # Some are as they were, the others as a mirror shows them: then the sides have changed.
    gaps = np.linalg.norm(estimate[:, 0, :, None] - estimate[:, 0, None], axis=-1)
    before = np.linalg.norm(body[0, :, None] - body[0, None], axis=-1)
    kept = np.abs(gaps - before).max(axis=(1, 2)) < 1e-5
    flipped = np.abs(gaps - before[SET.swap][:, SET.swap]).max(axis=(1, 2)) < 1e-5
    assert (kept ^ flipped).all()
    assert 0.4 < flipped.mean() < 0.6
    # Handedness tells a mirror from a turn.
    volume = np.linalg.det(estimate[:, 0, 1:4])
    assert (
        np.sign(volume[kept]) == np.sign(np.linalg.det((body - body[:, [7, 8]].mean(1, keepdims=True))[0, 1:4]))
    ).all()


def test_turns_leave_the_vertical_in_the_picture_and_the_depth_nearly_so():
    body = np.zeros((20, JOINTS, 3))
    body[:, 0] = [0, -1, 0]
    body[:, 1:3] = [0, 0, 2]
    estimate = joints_of(BodyBatches([pair(body)], SIZES, replace(SETTINGS, batch=500)).batch())[:, 0]
    up, away = estimate[:, 0], estimate[:, 1]
    np.testing.assert_allclose(up[:, 2], 0, atol=1e-6)
    upright = np.abs(up[:, 1] + 1) < 1e-6
    assert 0.4 < upright.mean() < 0.6
    rolled = np.degrees(np.arctan2(up[~upright, 0], -up[~upright, 1]))
    assert rolled.min() < -150
    assert rolled.max() > 150
    yaw = np.degrees(np.arccos(np.clip(away[:, 2] / 2, -1, 1)))
    assert 19 < yaw.max() < 20.01
    np.testing.assert_allclose(away[upright, 1], 0, atol=1e-6)


def test_clips_are_played_at_other_speeds_and_backwards(monkeypatch):
    monkeypatch.setattr(body_batches, "_refined", lambda pair, first, fps: pair.estimate)
    body = np.zeros((200, JOINTS, 3))
    body[:, 0, 1] = -10 - 0.1 * np.arange(200)
    settings = replace(SETTINGS, batch=400)
    batch = BodyBatches([pair(body)], BodySizes(window=16), settings).batch()
    height = np.linalg.norm(joints_of(batch)[:, :, 0], axis=-1)
    speed = np.diff(height, axis=1) / 0.1
    np.testing.assert_allclose(speed, speed[:, :1] * np.ones(15), atol=1e-3)
    assert 0.624 < np.abs(speed).min() < 0.65
    assert 1.55 < np.abs(speed).max() < 1.601
    assert 0.4 < (speed[:, 0] < 0).mean() < 0.6
    assert height.min() < 11
    assert height.max() > 28
    # What stands still before and after refinement is not rough.
    assert batch.quality.reshape(400, 16, JOINTS, 3)[..., 2].max() == 0


def test_the_estimate_is_refined_as_in_use_and_both_are_relative_to_their_root():
    truth, path = moving(17), np.cumsum(np.ones((17, 1, 3)), axis=0)
    estimate = truth + 0.05 * np.random.default_rng(1).normal(size=truth.shape)
    sizes = replace(SIZES, window=17)
    # One window of a clip of its length has one place and one speed.
    batch = BodyBatches([pair(estimate + path, truth - path)], sizes, SETTINGS).batch()
    smooth = refine((estimate + path).astype(np.float32), fps=30)
    expected = [x - x[:, [7, 8]].mean(axis=1, keepdims=True) for x in (smooth, truth)]
    for got, wanted in zip((batch.estimate, batch.groundtruth), expected, strict=True):
        lengths = np.linalg.norm(got.reshape(12, 17, JOINTS, 3), axis=-1)
        found = np.linalg.norm(wanted, axis=-1)
        ways = np.stack([found, found[:, SET.swap], found[::-1], found[::-1][:, SET.swap]])
        nearest = np.abs(ways - lengths[:, None]).max(axis=(2, 3)).min(axis=1)
        # The crops that are not slowed down.
        assert (nearest < 1e-5).sum() >= 4


def test_batches_go_on_where_they_were():
    whole, broken, restored = (BodyBatches([pair(moving()), pair(moving(90, 1))], SIZES, SETTINGS) for _ in range(3))
    for _ in range(3):
        whole.batch()
        broken.batch()
    restored.restore(json.loads(json.dumps(broken.state())))
    for a, b in zip(vars(whole.batch()).values(), vars(restored.batch()).values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_loss_may_count_whole_poses_after_alignment():
    torch = pytest.importorskip("torch")
    from smoothnet_core.training.architectures import ARCHITECTURES
    from smoothnet_core.training.losses import aligned_error
    from smoothnet_core.training.recipes import body_run

    values = []
    for aligned in (0.0, 2.0):
        settings = replace(SETTINGS, loss=replace(SETTINGS.loss, aligned=aligned))
        run = body_run(ARCHITECTURES["body_aware"], SIZES, settings, in_memory([pair(moving())]))
        batch = type(made := run.batches[0].batch())(**{name: torch.from_numpy(a) for name, a in vars(made).items()})
        values.append(run.loss(run.network.eval(), batch).item())
        poses, truth = (
            b[:, ::4].reshape(-1, 15, 3) for b in (run.network(batch.estimate, batch.quality), batch.groundtruth)
        )
    assert values[1] - values[0] == pytest.approx(2 * aligned_error(poses, truth).item(), rel=1e-4)


def test_refused_clips():
    message = r"^paired clip clip: expected 17 joints in 3D, those of h36m_17, received shape \(50, 15, 3\)$"
    with pytest.raises(ValueError, match=message):
        BodyBatches([pair(moving())], replace(SIZES, joints="h36m_17"), SETTINGS)
    message = r"^paired clips: expected at least one of 16 frames or more, received none of 1$"
    with pytest.raises(ValueError, match=message):
        BodyBatches([pair(moving(15))], SIZES, SETTINGS)


def test_settings_are_read_with_the_recipes_own_defaults():
    made = numbers_from(BodySettings, {"steps": 5, "loss": {"speed": 2}}, "")
    assert made.loss == BodyLossWeights(1.0, 2.0, 2.0, 1.0, 0.0)
    assert (made.steps, made.hop, made.average) == (5, 32, 0.995)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weight_decay": -1.0}, r"^schedule weight_decay: expected a number that is not negative, received -1.0$"),
        ({"average": 1.0}, r"^schedule average: expected at least 0 and below 1, received 1.0$"),
    ],
)
def test_refused_schedules(values, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**values)


def body_run_of(settings=SETTINGS):
    pytest.importorskip("lightning_fabric")
    from smoothnet_core.training.architectures import ARCHITECTURES
    from smoothnet_core.training.recipes import body_run

    truths = [turning(60, seed) for seed in range(3)]
    # This estimator sees everything too near, by a tenth.
    pairs = [pair(truth * [1, 1, 0.9], truth) for truth in truths]
    return body_run(ARCHITECTURES["body_aware"], SIZES, settings, in_memory(pairs)), pairs


def trained(settings=SETTINGS, **options):
    run, _ = body_run_of(settings)
    from smoothnet_core.training.loop import train

    return train(run.network, run.batches, run.loss, run.schedule, **options)


def test_a_share_of_the_correction_is_kept():
    torch = pytest.importorskip("torch")
    run, _ = body_run_of(replace(SETTINGS, kept=0.25))
    generator = torch.Generator().manual_seed(0)
    for parameter in run.network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    batch = torch.from_numpy(run.batches[0].batch().estimate)
    quality = torch.ones(*batch.shape[:2], 3 * JOINTS)
    with torch.no_grad():
        whole = run.network.eval()(batch, quality) - batch
        tensors = {name: tensor.numpy() for name, tensor in run.network.state_dict().items()}
        kept = {name: torch.from_numpy(tensor) for name, tensor in run.finish(tensors).items()}
        run.network.load_state_dict(kept)
        torch.testing.assert_close(run.network(batch, quality) - batch, 0.25 * whole)
    with pytest.raises(ValueError, match=r"^training setting kept: expected above 0 and at most 1, received 0$"):
        replace(SETTINGS, kept=0)


def test_it_learns_what_the_estimator_does_wrong():
    result = trained(replace(SETTINGS, steps=250, average=0.95))
    from smoothnet_core.training.architectures import ARCHITECTURES

    metadata = {"architecture": "body_aware", "window": 16, "hop": 8, "fps": 30.0}
    metadata |= ARCHITECTURES["body_aware"].metadata(SIZES)
    _, (example, *_) = body_run_of()
    tensors = result.tensors | ARCHITECTURES["body_aware"].fixed(SIZES)
    out = refine(example.estimate, model=Model("new", tensors, metadata))
    smooth = refine(example.estimate)

    def error(track):
        return np.linalg.norm((track - track[:, [7, 8]].mean(axis=1, keepdims=True)) - relative, axis=-1).mean()

    relative = example.groundtruth - example.groundtruth[:, [7, 8]].mean(axis=1, keepdims=True)
    assert error(out) < 0.6 * error(smooth)


def test_what_is_returned_and_selected_is_the_running_mean_of_the_weights():
    run, _ = body_run_of()
    from smoothnet_core.training.loop import train

    mean, scored = {}, []

    def follow(step, value):
        for name, tensor in run.network.state_dict().items():
            now = tensor.double().numpy()
            mean[name] = now if step == 1 else 0.9 * mean[name] + 0.1 * now

    def select(network):
        scored.append({name: tensor.numpy().copy() for name, tensor in network.state_dict().items()})
        assert not network.training
        return -float(len(scored))

    result = train(run.network, run.batches, run.loss, run.schedule, select=select, report=follow)
    assert result.step == SETTINGS.steps
    last = run.network.state_dict()
    for name, tensor in result.tensors.items():
        np.testing.assert_allclose(tensor, mean[name], atol=1e-6)
        np.testing.assert_array_equal(tensor, scored[-1][name])
    assert any(np.abs(result.tensors[name] - last[name].numpy()).max() > 1e-4 for name in last)


def test_an_interrupted_run_with_an_average_ends_bit_for_bit_as_a_whole_one(tmp_path):
    whole = trained()

    def press(step, value):
        if step == 17:
            os.kill(os.getpid(), signal.SIGINT)

    pytest.importorskip("tensorboard")
    with pytest.raises(KeyboardInterrupt):
        trained(folder=tmp_path, report=press)
    again = trained(folder=tmp_path)
    assert again.curve == whole.curve
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(tensor, again.tensors[name])


def test_weight_decay_shrinks_what_the_loss_does_not_hold():
    torch = pytest.importorskip("torch")
    pytest.importorskip("lightning_fabric")
    from smoothnet_core.training.loop import train

    class Nothing:
        def batch(self):
            return (np.zeros(1, np.float32),)

        def state(self):
            return None

        def restore(self, state):
            pass

    network = torch.nn.Linear(3, 1, bias=False)
    before = network.weight.detach().clone()
    schedule = Schedule(5, learning_rate=0.1, decay="constant", weight_decay=0.5)
    train(network, Nothing(), lambda model, batch: 0 * model(torch.ones(1, 3)).sum(), schedule)
    # Decoupled from the gradient: each step takes the share learning rate times decay (Loshchilov, Hutter, eq. 12).
    torch.testing.assert_close(network.weight.detach(), before * (1 - 0.1 * 0.5) ** 5)
