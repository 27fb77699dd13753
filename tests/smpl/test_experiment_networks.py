"""The networks that only the studies train, and the studies of them in their quick form."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys

import numpy as np
import pytest

from smoothnet_core._checks import MissingExtraError
from smpl_tools.experiments import backbones
from smpl_tools.experiments.backbones import LIFTERS, REGRESSORS
from smpl_tools.experiments.frame import Bench
from smpl_tools.experiments.network_training import WINDOW, parameters, seeded, train_smoothnet
from smpl_tools.experiments.sequences import predict
from smpl_tools.experiments.table import run_study
from smpl_tools.inverse_kinematics import JOINTS
from smpl_tools.sources import MODES

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")


def network(module, name):
    return getattr(importlib.import_module(module), name)


SmoothNet = network("smoothnet_core.models.published", "SmoothNet")
RecurrentRefiner = network("smpl_tools.experiments.networks.recurrent_refiner", "RecurrentRefiner")
RotationRegressor = network("smpl_tools.experiments.networks.rotation_regressor", "RotationRegressor")
SingleFrameLifter = network("smpl_tools.experiments.networks.single_frame", "SingleFrameLifter")
Smoothed = network("smpl_tools.experiments.networks.smoothed", "Smoothed")
TemporalLifter = network("smpl_tools.experiments.networks.temporal_convolutions", "TemporalLifter")

INPUTS, OUTPUTS, WIDTH = 10, 6, 16


def linear(inputs, outputs):
    return inputs * outputs + outputs


def gru(inputs, width):
    return 3 * (inputs * width + width * width + 2 * width)


NETWORKS = {
    "single": (
        lambda: SingleFrameLifter(INPUTS, OUTPUTS, WIDTH),
        linear(INPUTS, WIDTH) + 2 * WIDTH + 4 * (linear(WIDTH, WIDTH) + 2 * WIDTH) + linear(WIDTH, OUTPUTS),
    ),
    "three blocks": (
        lambda: SingleFrameLifter(INPUTS, OUTPUTS, WIDTH, blocks=3),
        linear(INPUTS, WIDTH) + 2 * WIDTH + 6 * (linear(WIDTH, WIDTH) + 2 * WIDTH) + linear(WIDTH, OUTPUTS),
    ),
    "27 frames": (
        lambda: TemporalLifter(INPUTS, OUTPUTS, WIDTH),
        3 * INPUTS * WIDTH
        + 2 * WIDTH
        + 2 * (3 * WIDTH * WIDTH + 2 * WIDTH + WIDTH * WIDTH + 2 * WIDTH)
        + linear(WIDTH, OUTPUTS),
    ),
    "9 frames": (
        lambda: TemporalLifter(INPUTS, OUTPUTS, WIDTH, levels=2),
        3 * INPUTS * WIDTH
        + 2 * WIDTH
        + (3 * WIDTH * WIDTH + 2 * WIDTH + WIDTH * WIDTH + 2 * WIDTH)
        + linear(WIDTH, OUTPUTS),
    ),
    "rotations": (
        lambda: RotationRegressor(INPUTS, 1, WIDTH),
        linear(INPUTS, WIDTH) + 2 * linear(WIDTH, WIDTH) + gru(WIDTH, WIDTH) + linear(WIDTH, OUTPUTS),
    ),
    "rotations of one frame": (
        lambda: RotationRegressor(INPUTS, 1, WIDTH, recurrent=False),
        linear(INPUTS, WIDTH) + 2 * linear(WIDTH, WIDTH) + linear(WIDTH, OUTPUTS),
    ),
}


@pytest.mark.parametrize(("build", "size"), NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("frames", [1, 16, 37])
def test_shapes_and_sizes(build, size, frames):
    network = build()
    assert network(torch.zeros(3, frames + 2 * network.margin, INPUTS)).shape == (3, frames, OUTPUTS)
    assert parameters(network) == size


def test_size_and_shape_of_the_refiner():
    network = RecurrentRefiner(5, WIDTH)
    assert network(torch.zeros(2, 7, 20)).shape == (2, 7, 15)
    assert parameters(network) == linear(20, WIDTH) + 2 * gru(WIDTH, WIDTH) + linear(2 * WIDTH, 15)


def frames_seen(network, inputs, outputs, at):
    """Return the input frames that the output at one frame depends on, by its gradient."""
    torch.manual_seed(1)
    frames = torch.randn(1, inputs, INPUTS, requires_grad=True)
    network.eval()(frames)[0, at].square().sum().backward()
    assert network(frames).shape[1] == outputs
    return np.flatnonzero(frames.grad[0].abs().sum(dim=1).numpy()).tolist()


def test_each_network_sees_just_the_frames_it_is_named_for():
    torch.manual_seed(0)
    assert frames_seen(SingleFrameLifter(INPUTS, OUTPUTS, WIDTH), 40, 40, 11) == [11]
    temporal = TemporalLifter(INPUTS, OUTPUTS, WIDTH)
    assert temporal.margin == 13
    assert frames_seen(temporal, 66, 40, 0) == list(range(27))
    assert frames_seen(temporal, 66, 40, 11) == list(range(11, 38))
    assert frames_seen(TemporalLifter(INPUTS, OUTPUTS, WIDTH, levels=2), 48, 40, 3) == list(range(3, 12))
    # The next 16 frames start anew, and the GRU looks back only.
    recurrent = RotationRegressor(INPUTS, 1, WIDTH)
    assert frames_seen(recurrent, 40, 40, 15) == list(range(16))
    assert frames_seen(recurrent, 40, 40, 37) == list(range(32, 38))
    assert frames_seen(RotationRegressor(INPUTS, 1, WIDTH, recurrent=False), 40, 40, 37) == [37]


def test_the_refiner_sees_all_frames_once_trained_and_changes_nothing_before():
    torch.manual_seed(0)
    network = RecurrentRefiner(3, WIDTH)
    frames = torch.randn(2, 9, 12)
    assert torch.equal(network(frames), frames[..., :9])
    torch.nn.init.normal_(network.last.weight)
    given = frames[:1].clone().requires_grad_()
    network(given)[0, 4].sum().backward()
    assert (given.grad[0].abs().sum(dim=1) > 0).all()


def test_rotations_start_at_rest():
    answer = seeded(lambda: RotationRegressor(INPUTS, 4, WIDTH)).eval()(torch.randn(2, 20, INPUTS))
    np.testing.assert_allclose(answer.detach(), np.broadcast_to([1, 0, 0, 0, 1, 0] * 4, (2, 20, 24)), atol=0.2)


def test_backbone_and_smoothnet_as_one():
    whole = seeded(
        lambda: Smoothed(TemporalLifter(INPUTS, OUTPUTS, WIDTH), SmoothNet(8, hidden=12, bottleneck=4))
    ).eval()
    frames = torch.randn(2, 8 + 26, INPUTS)
    refined, between = whole(frames)
    assert torch.equal(between, whole.backbone(frames))
    torch.testing.assert_close(refined[0, :, 2], whole.smoother(between[:1, :, 2:3].transpose(1, 2))[0, 0])
    assert parameters(whole) == parameters(whole.backbone) + parameters(whole.smoother)


def test_a_prediction_of_a_whole_clip_is_that_of_its_windows():
    network = seeded(lambda: TemporalLifter(INPUTS, OUTPUTS, WIDTH)).eval()
    clip = np.random.default_rng(0).normal(size=(50, INPUTS)).astype(np.float32)
    answer = predict(network, clip, network.margin)
    assert answer.shape == (50, OUTPUTS)
    with torch.no_grad():
        alone = network(torch.from_numpy(clip[None, 7:34]))[0, 0].numpy()
    np.testing.assert_allclose(answer[20], alone, atol=1e-6)


# The studies


@pytest.fixture
def bench(tmp_path):
    folder = tmp_path / "paired"
    folder.mkdir()
    rng = np.random.default_rng(0)
    body = rng.normal(size=(1, len(JOINTS), 3))
    for name in ("a", "b", "c"):
        sway = rng.normal(size=(1, len(JOINTS), 3))
        truth = (0.4 * body + 0.1 * np.sin(np.arange(40)[:, None, None] * 0.2 + sway)).astype(np.float32)
        truth -= truth[:, 7:9].mean(axis=1, keepdims=True)
        pixels = 224 + 100 * truth[..., :2]
        arrays = {"fps": np.float32(30), "metadata": json.dumps({"subject": name}), "gt_3d": truth, "gt_2d": pixels}
        for suffix in MODES.values():
            seen_3d = (truth + 0.05 * rng.normal(size=truth.shape)).astype(np.float32)
            seen_2d = (pixels + 3 * rng.normal(size=pixels.shape)).astype(np.float32)
            seen_3d[5] = seen_2d[5] = np.nan
            arrays["est_3d" + suffix], arrays["est_2d" + suffix] = seen_3d, seen_2d
            arrays["visibility" + suffix] = rng.random((40, len(JOINTS))).astype(np.float32)
        np.savez(folder / f"{name}.npz", **arrays)
    (folder / "splits.json").write_text(json.dumps({"train": ["a", "b"], "val": ["c"]}))
    made = Bench(tmp_path, quick=True)
    gaussian = {"gaussian": {"sigma": 1.0}, "savgol": {"window": 7, "polyorder": 2}}
    made.keep("tuning", {"mpjpe": dict.fromkeys(MODES, gaussian)})
    return made


def numbers(table):
    return np.array([[cell for cell in row if isinstance(cell, (int, float))] for row in table.rows], float)


def test_study_of_epochs(bench):
    result = run_study("epochs", bench)
    assert [len(table.rows) for table in result.tables] == [8, 8]
    assert [row[:3] for row in result.tables[0].rows[::2]] == [
        ["1 frame", "L1", 1],
        ["1 frame", "L1 + accel", 1],
        ["27 frames", "L1", 1],
        ["27 frames", "L1 + accel", 1],
    ]
    for table, drawing in zip(result.tables, result.drawings, strict=True):
        assert np.isfinite(numbers(table)).all()
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert len(drawing.figure.axes) == 8
        curve = drawing.figure.axes[0].lines[1].get_ydata()
        assert list(curve) == [row[4] for row in table.rows[:2]]
    assert "Positions: the Accel of a single-frame network rises with the epochs:" in result.losses


def test_study_of_stages(bench):
    result = run_study("stages", bench)
    for table, several in zip(result.tables, ("27 frames", "16 frames"), strict=True):
        assert [row[0] for row in table.rows] == [
            "1 frame",
            several,
            f"{several}, accel loss",
            f"{several} with SmoothNet",
            f"{several} with SmoothNet, accel loss",
            f"{several} with SmoothNet, L1 between",
            f"{several} with SmoothNet, L1 between, accel loss",
            *(
                f"{first}, then {second}"
                for first in ("1 frame", several)
                for second in ("SmoothNet", "median 5, Gaussian 1.5", "default")
            ),
        ]
        assert np.isfinite(numbers(table)).all()
        size = {row[0]: row[-1] for row in table.rows}
        assert size["1 frame, then SmoothNet"] == 0.050224
        assert size[f"{several} with SmoothNet"] == pytest.approx(size[several] + 0.050224)
    assert "speed" in result.tables[0].columns


def test_study_of_refinenet(bench):
    result = run_study("refinenet", bench)
    table, searched = result.tables
    assert len(table.rows) == 3 * 3 * 6
    found = {(row[0], row[1]): row[2:] for row in table.rows}
    # The raw estimate is within 5 cm a coordinate, and an energy's least is nearer.
    assert 60 < found["static", "raw"][0] < 100
    assert found["static", "RefineNet (energy)"][0] < found["static", "raw"][0]
    assert np.isfinite(numbers(table)).all()
    assert len(searched.rows) == 1
    assert "RefineNet (learned), which sees all joints, against `raw + default`" in result.losses


def test_examples_are_the_static_clips_in_the_picture_and_in_the_mirror(bench):
    for family, size in ((LIFTERS, 45), (REGRESSORS, 84)):
        found = backbones.examples(bench, bench.training, family, mirrored=True)
        assert [e.name for e in found] == ["a", "a", "b", "b"]
        assert found[0].inputs.shape == (40, 30)
        assert found[0].truth.shape == (40, size)
        static = bench.training[0]
        with np.load(bench.data / "paired" / "a.npz") as arrays:
            np.testing.assert_allclose(found[0].inputs[6], arrays["est_2d"][6].ravel() / 224 - 1, atol=1e-6)
            between = (arrays["est_2d"][4] + arrays["est_2d"][6]).ravel() / 448 - 1
            np.testing.assert_allclose(found[0].inputs[5], between, atol=1e-6)
        seen, mirrored = (e.inputs.reshape(40, 15, 2) for e in found[:2])
        # The left wrist is where the right one was seen, on the other side.
        np.testing.assert_allclose(
            mirrored[:, JOINTS.index("left_wrist")], seen[:, JOINTS.index("right_wrist")] * [-1, 1]
        )
        (own, other) = (clip.groundtruth for clip in backbones.true_clips(family, found[:2]))
        left, right = JOINTS.index("left_knee"), JOINTS.index("right_knee")
        np.testing.assert_allclose(other[:, left], own[:, right] * [-1, 1, 1], atol=1e-5)
        if family is LIFTERS:
            np.testing.assert_array_equal(own, static.groundtruth)


def test_an_answer_is_refined_as_what_it_is(bench):
    (example,) = backbones.examples(bench, bench.validation, REGRESSORS)
    kinds = []

    def refiner(clip):
        kinds.append(clip.estimate.shape)
        return clip.estimate

    answers = {example.name: example.truth}
    (clip,) = backbones.true_clips(REGRESSORS, [example])
    refined = backbones.refining(REGRESSORS, answers, refiner)(clip)
    assert kinds == [(40, 14, 6)]
    np.testing.assert_allclose(refined, clip.groundtruth, atol=1e-6)
    np.testing.assert_allclose(backbones.answering(REGRESSORS, answers)(clip), clip.groundtruth, atol=1e-6)


def test_training_is_repeated_exactly(bench):
    seen = backbones.examples(bench, bench.training, LIFTERS)
    called = []
    first, second = (
        backbones.train_backbone(bench, LIFTERS, LIFTERS.several, seen, each_epoch=called.append) for _ in range(2)
    )
    assert len(called) == 4
    fresh = seeded(lambda: LIFTERS.build(LIFTERS.several))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])
    assert not torch.equal(first.last.weight, fresh.last.weight)


def test_a_second_stage_is_a_model_of_the_published_kind(bench):
    seen = backbones.examples(bench, bench.training, LIFTERS)
    model = train_smoothnet(bench, [dataclasses.replace(e, inputs=e.truth) for e in seen])
    assert (model.is_published, model.window, model.hop) == (True, WINDOW, 1)


def test_without_torch_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        MissingExtraError, match=r"^torch is not installed; add it with: pip install 'smoothnet\[train\]'$"
    ):
        seeded(lambda: None)
