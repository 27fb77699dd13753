"""Training for windows that say the same wherever they begin, from weights that there are."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("lightning_fabric", reason="training needs Lightning Fabric")

from smoothnet_core.checkpoints import Weights, write_safetensors  # noqa: E402
from smoothnet_core.training.architectures import ARCHITECTURES, refine_crops  # noqa: E402
from smoothnet_core.training.loop import train  # noqa: E402
from smoothnet_core.training.losses import loss  # noqa: E402
from smoothnet_core.training.recipes import crop_run  # noqa: E402
from smoothnet_core.training.settings import EndSettings, Settings  # noqa: E402
from smoothnet_core.training.shards import in_memory  # noqa: E402
from tests.core.test_training import SIZES, SMALL, clips  # noqa: E402

NETWORK = ARCHITECTURES["vector_filter"]
HOW = {"window": SIZES.window, "hop": SMALL.hop, "blend": "taper"}


def run_of(**changed):
    return crop_run(NETWORK, SIZES, replace(SMALL, **changed), in_memory(list(clips())))


def tensors_of(batch):
    return type(batch)(**{name: torch.from_numpy(value) for name, value in vars(batch).items()})


def test_the_loss_is_that_of_both_and_of_what_is_between_them():
    run = run_of(agreement=0.7)
    batch = tensors_of(run.batches[0].batch())
    outputs, losses = [], []
    with torch.no_grad():
        found = run.loss(run.network, batch).item()
        alone = run_of().loss(run.network, batch).item()
        for start in (0, 2):
            cut = [tensor[:, start:] for tensor in (batch.estimate, batch.quality, batch.groundtruth)]
            whole = refine_crops(run.network, *cut[:2], **HOW)
            outputs.append(whole[:, 2 - start :].numpy().astype(float))
            losses.append(loss(whole, cut[2], SMALL.loss).item())
    between = np.diff(outputs[0] - outputs[1], n=2, axis=1)
    assert found == pytest.approx(sum(losses) / 2 + 0.7 * np.linalg.norm(between, axis=2).mean(), rel=1e-3)
    assert alone == pytest.approx(losses[0], rel=1e-6)


def test_windows_agree_more_after_it():
    def apart(**changed):
        run = run_of(**changed)
        tensors = train(run.network, run.batches, run.loss, run.schedule).tensors
        run.network.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
        batch = tensors_of(run_of(seed=9).batches[0].batch())
        with torch.no_grad():
            first, second = (
                refine_crops(run.network, batch.estimate[:, start:], batch.quality[:, start:], **HOW)[:, 2 - start :]
                for start in (0, 2)
            )
        return float((first - second).diff(n=2, dim=1).norm(dim=2).mean())

    assert apart(agreement=2.0) < 0.8 * apart()


def test_training_begins_from_weights(tmp_path):
    path = tmp_path / "first.safetensors"
    begun = run_of(seed=5)
    tensors = {name: tensor.detach().numpy().copy() for name, tensor in begun.network.state_dict().items()}
    metadata = {"architecture": "vector_filter", "window": SIZES.window, "hop": 4, **NETWORK.metadata(SIZES)}
    write_safetensors(path, Weights(tensors, metadata))
    run = run_of(first=str(path))
    for name, tensor in run.network.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), tensors[name])
    wrong = f"weights {path} to begin from: expected tensors of the sizes that are trained, received others"
    with pytest.raises(ValueError, match=f"^{re.escape(wrong)}$"):
        crop_run(NETWORK, replace(SIZES, hidden=8), replace(SMALL, first=str(path)), in_memory(list(clips())))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Settings(agreement=-1.0), "agreement: expected a number that is not negative, received -1.0"),
        (
            lambda: Settings(agreement=1.0, hop=1),
            "agreement: expected 0 with a hop of 1, ",
        ),
        (lambda: EndSettings(agreement=1.0), "agreement: expected 0 for streams, which have a window at every frame"),
        (
            lambda: run_of(agreement=1.0, crop=17),
            "crop: expected at least the window and half a hop, 18 frames, with an agreement, received 17",
        ),
    ],
)
def test_what_cannot_be(make, message):
    with pytest.raises(ValueError, match=f"^training setting {re.escape(message)}"):
        make()
