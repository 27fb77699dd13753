from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from smoothnet_core.checkpoints import (
    Weights,
    published_sizes,
    read_published,
    read_safetensors,
    read_weights,
    write_safetensors,
)
from tests.core.attacks import touch
from tests.helpers import shared

SIZES = {"window": 8, "hidden": 12, "bottleneck": 5, "blocks": 2}
METADATA = {"architecture": "smoothnet", **SIZES, "hop": 1, "fps": None, "source": "published"}
GOLDEN = {
    "pw3d_w8": {"window": 8, "hidden": 512, "bottleneck": 16, "blocks": 1},
    "pw3d_w32": {"window": 32, "hidden": 512, "bottleneck": 16, "blocks": 1},
    "h36m_aist_w32": {"window": 32, "hidden": 512, "bottleneck": 128, "blocks": 5},
}


def published_tensors(window=8, hidden=12, bottleneck=5, blocks=2):
    rng = np.random.default_rng(0)
    shapes = {"encoder.0": (hidden, window), "decoder": (window, hidden)}
    for i in range(blocks):
        shapes[f"res_blocks.{i}.linear1"] = (bottleneck, hidden)
        shapes[f"res_blocks.{i}.linear2"] = (hidden, bottleneck)
    tensors = {}
    for name, shape in shapes.items():
        tensors[f"{name}.weight"] = rng.normal(size=shape).astype(np.float32)
        tensors[f"{name}.bias"] = rng.normal(size=shape[0]).astype(np.float32)
    return tensors


VECTOR_FILTER = {
    "architecture": "vector_filter",
    "window": 4,
    "hop": 2,
    "fps": 30.0,
    "sizes": {"probes": 3, "hidden": 5, "filters": 2},
}


def vector_filter_tensors():
    shapes = {
        "probe": (3, 4),
        "layer1.weight": (5, 3 + 2 * 4),
        "layer1.bias": (5,),
        "layer2.weight": (5, 5),
        "layer2.bias": (5,),
        "gain.weight": (2, 5),
        "gain.bias": (2,),
        "analysis": (2, 4),
        "synthesis": (4, 2),
    }
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def equal(a, b):
    assert sorted(a) == sorted(b)
    for name in a:
        assert a[name].dtype == b[name].dtype == np.float32
        np.testing.assert_array_equal(a[name], b[name])


@pytest.fixture
def save(tmp_path):
    torch = pytest.importorskip("torch")

    def write(tensors, wrap=lambda state: {"state_dict": state}, **options):
        path = tmp_path / "a.pth.tar"
        torch.save(wrap({name: torch.tensor(value) for name, value in tensors.items()}), path, **options)
        return path

    return write


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_checkpoints_are_read_as_torch_reads_them(name):
    path = shared("golden", f"{name}.pth.tar")
    weights = read_weights(path)
    assert weights.metadata == {
        "architecture": "smoothnet",
        **GOLDEN[name],
        "hop": 1,
        "fps": None,
        "source": "published",
    }
    torch = pytest.importorskip("torch")
    equal(weights.tensors, {k: v.numpy() for k, v in torch.load(path, weights_only=False)["state_dict"].items()})


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("prefix", ["", "module.", "model.module."])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"epoch": 3, "state_dict": s, "performance": {"mpjpe": 1.0}, "optimizer": {"state": {}}},
        lambda s: {"meta": {"mmcv_version": "1.3", "CLASSES": None}, "state_dict": s},
        lambda s: s,
    ],
    ids=["published", "mm", "bare"],
)
def test_every_layout_of_published_checkpoints(save, wrap, prefix, legacy):
    tensors = published_tensors()
    path = save({prefix + k: v for k, v in tensors.items()}, wrap, _use_new_zipfile_serialization=not legacy)
    weights = read_published(path)
    equal(weights.tensors, tensors)
    assert weights.metadata == METADATA


def test_other_precisions_become_float32(save):
    torch = pytest.importorskip("torch")
    path = save({})
    state = {k: torch.tensor(v).double() for k, v in published_tensors().items()}
    state["decoder.bias"] = state["decoder.bias"].half()
    torch.save(state, path)
    assert all(v.dtype == np.float32 for v in read_weights(path).tensors.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder.bias": None}, "names of the weights: expected also decoder.bias, received decoder.weight, encoder"),
        ({"encoder.0.weight": None}, "names of the weights: expected also encoder.0.weight, received"),
        (
            {"res_blocks.1.linear2.bias": None},
            "names of the weights: expected also res_blocks.1.linear2.bias, received",
        ),
        ({"extra": [1.0]}, "names of the weights: expected only those of the published network, received also extra"),
        ({"res_blocks.5.linear1.bias": [1.0]}, "names of the weights: expected also res_blocks.2.linear1.bias, res_"),
        ({"encoder.0.weight": [1.0]}, "encoder.0.weight: expected a matrix, received shape (1,)"),
        ({"encoder.0.bias": [1.0]}, "encoder.0.bias: expected shape (12,), received (1,)"),
        ({"decoder.weight": np.zeros((9, 12))}, "decoder.weight: expected shape (8, 12), received (9, 12)"),
        (
            {"res_blocks.1.linear1.weight": np.zeros((6, 12))},
            "res_blocks.1.linear1.weight: expected shape (5, 12), received (6, 12)",
        ),
        ({"decoder.bias": np.zeros(8, int)}, "weights decoder.bias: expected floating-point numbers, received int64"),
        (
            {"decoder.bias": [np.nan] * 2 + [0.0] * 6},
            "weights decoder.bias: expected finite numbers, received 2 that are",
        ),
        ({"decoder.bias": np.full(8, 1e300)}, "weights decoder.bias: expected finite numbers, received 8 that are not"),
    ],
)
def test_wrong_published_checkpoints(save, change, message):
    tensors = {k: v for k, v in {**published_tensors(), **change}.items() if v is not None}
    path = save(tensors)
    with pytest.raises(ValueError, match=rf"^{path}: {re.escape(message)}") as caught:
        read_published(path)
    assert "\n" not in str(caught.value)


def test_checkpoints_without_tensors(save, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pth"
    for value, message in (
        ([1], "content: expected a dict of tensors by name, received a list"),
        ({"state_dict": 3}, "content: expected a dict of tensors by name, received a int"),
        ({"epoch": 3}, "weights epoch: expected a tensor, received a int"),
        (
            {},
            "names of the weights: expected also decoder.bias, decoder.weight, encoder.0.bias, enc",
        ),
    ):
        torch.save(value, path)
        with pytest.raises(ValueError, match=rf"^{path}: {re.escape(message)}"):
            read_published(path)


def test_a_tensor_that_claims_to_be_huge_is_not_unfolded(save):
    torch = pytest.importorskip("torch")
    path = save({})
    state = {name: torch.tensor(value) for name, value in published_tensors().items()}
    state["encoder.0.weight"] = torch.zeros(1).expand(2**20, 2**20)
    torch.save(state, path)
    with pytest.raises(ValueError, match=rf"^{path}: refused: it declares more data than it holds$"):
        read_published(path)


def test_a_checkpoint_with_a_payload_is_refused(save, tmp_path):
    canary = tmp_path / "canary"
    path = save(published_tensors(), lambda s: {"state_dict": s, "meta": touch(canary)})
    with pytest.raises(ValueError, match=rf"^{path}: refused: the file asks for (builtins|__builtin__)\.exec, "):
        read_weights(path)
    assert not canary.exists()


def test_safetensors_round_trip(tmp_path):
    path = tmp_path / "a.safetensors"
    weights = Weights(published_tensors(), METADATA | {"data": "é", "sizes": {"a": [1, 2.5]}})
    write_safetensors(path, weights)
    for read in (read_safetensors, read_weights):
        back = read(path)
        equal(back.tensors, weights.tensors)
        assert back.metadata == weights.metadata
    ours = Weights({k: v.T.copy().T for k, v in vector_filter_tensors().items()}, VECTOR_FILTER)
    write_safetensors(path, ours)
    back = read_weights(path)
    equal(back.tensors, ours.tensors)
    assert back.metadata == VECTOR_FILTER
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"window": 8, "hop": 1}, "metadata entry 'architecture': expected text, received entries hop, window"),
        ({**METADATA, "window": "8"}, "metadata entry 'window': expected frames, received '8'"),
        ({**METADATA, "window": 9}, "metadata entry 'window': expected 8, as the tensors say, received 9"),
        ({**METADATA, "hop": 9}, "metadata entry 'hop': expected 1 to 8, received 9"),
        ({**METADATA, "hop": True}, "metadata entry 'hop': expected frames, received True"),
        ({**METADATA, "blocks": None}, "metadata entry 'blocks': expected 2, as the tensors say, received None"),
        ([1], "metadata: expected a JSON object, received a list"),
        (
            {**METADATA, "architecture": "other"},
            "metadata entry 'architecture': expected one of smoothnet, motion_aware, vector_filter, robust_fit, "
            "body_aware, received 'other'",
        ),
        (
            {**METADATA, "architecture": "vector_filter"},
            "metadata entry 'sizes': expected the whole numbers probes, hidden, filters, received None",
        ),
    ],
)
def test_wrong_metadata(tmp_path, metadata, message):
    path = tmp_path / "a.safetensors"
    with pytest.raises(ValueError, match=rf"^{path}: {re.escape(message)}$"):
        write_safetensors(path, Weights(published_tensors(), metadata))
    assert not path.exists()
    save_file(published_tensors(), path, {"smoothnet": json.dumps(metadata)})
    with pytest.raises(ValueError, match=rf"^{path}: {re.escape(message)}$"):
        read_weights(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probe": np.zeros((3, 5))}, "probe: expected shape (3, 4), received (3, 5)"),
        ({"more": np.zeros(1)}, "names of the weights: expected probe, layer1.weight, layer1.bias, "),
    ],
)
def test_wrong_tensors_of_our_own_network(tmp_path, change, message):
    path = tmp_path / "a.safetensors"
    with pytest.raises(ValueError, match=rf"^{path}: {re.escape(message)}"):
        write_safetensors(path, Weights(vector_filter_tensors() | change, VECTOR_FILTER))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "metadata: expected an entry 'smoothnet', received none"),
        ({"format": "pt"}, "metadata: expected an entry 'smoothnet', received format"),
        ({"smoothnet": "{oh"}, "metadata entry 'smoothnet': expected JSON, received '{oh' (Expecting property"),
    ],
)
def test_missing_metadata(tmp_path, metadata, message):
    path = tmp_path / "a.safetensors"
    save_file(published_tensors(), path, metadata)
    with pytest.raises(ValueError, match=rf"^{path}: {re.escape(message)}"):
        read_safetensors(path)


def test_weights_that_cannot_be_written(tmp_path):
    path = tmp_path / "a.safetensors"
    for weights, message in (
        (Weights({}, METADATA), "weights: expected at least one tensor, received none"),
        (Weights({"x": np.array([np.inf])}, METADATA), "weights x: expected finite numbers, received 1 that are not"),
        (
            Weights(published_tensors(), METADATA | {"x": np.nan}),
            "metadata: expected values that JSON can hold, received",
        ),
        (Weights(published_tensors(), METADATA | {"x": {1}}), "metadata: expected values that JSON can hold, received"),
        (Weights({"x": np.ones(2)}, METADATA), "names of the weights: expected also decoder.bias"),
    ):
        with pytest.raises(ValueError, match=rf"^{path}: {re.escape(message)}"):
            write_safetensors(path, weights)
    with pytest.raises(ValueError, match=rf"^{tmp_path}/no/a: cannot be written: No such file or directory$"):
        write_safetensors(tmp_path / "no" / "a", Weights(published_tensors(), METADATA))
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=rf"^{tmp_path}/folder: cannot be written: "):
        write_safetensors(tmp_path / "folder", Weights(published_tensors(), METADATA))
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_truncated_safetensors_files(tmp_path):
    path = tmp_path / "a.safetensors"
    write_safetensors(path, Weights(published_tensors(), METADATA))
    raw = path.read_bytes()
    for end in (9, 50, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:end])
        with pytest.raises(
            ValueError, match=rf"^{path}: not a readable safetensors file: [^\n]*; expected weights written"
        ):
            read_weights(path)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            b"",
            "not a readable file of weights: the file is empty; expected a safetensors or PyTorch file, found an empty",
        ),
        (b"garbage!", "not a readable PyTorch file: "),
    ],
)
def test_files_that_are_no_weights(tmp_path, raw, message):
    path = tmp_path / "a"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=rf"^{path}: {message}"):
        read_weights(path)
    with pytest.raises(ValueError, match=rf"^{tmp_path}/no: cannot be read: No such file or directory$"):
        read_weights(tmp_path / "no")


def test_sizes_follow_from_the_shapes():
    assert published_sizes(published_tensors()) == SIZES
    assert published_sizes(published_tensors(4, 3, 2, 1)) == {"window": 4, "hidden": 3, "bottleneck": 2, "blocks": 1}


def test_torch_is_not_imported():
    modules = "smoothnet_core.checkpoints, smoothnet_core.inference.published_numpy"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
