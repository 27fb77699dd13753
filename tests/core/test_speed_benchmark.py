"""What the benchmark compares with: the published way of running the network, and plain matrix products."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import speed, speed_sgemm
from benchmarks.published_path import published_path
from benchmarks.speed_jobs import Job, flops, layers, model, prepared
from benchmarks.speed_measuring import Row, interleaved, ratio, side, spread
from smoothnet_core import load_model, refine
from tests.helpers import shared


@pytest.mark.parametrize("name", ["pw3d_w8", "pw3d_w32"])
def test_the_published_path_gives_what_the_published_code_gave(name):
    pytest.importorskip("torch")
    with np.load(shared("golden", f"{name}.npz")) as golden:
        track, expected = golden["input"], golden["sequence_output"]
    tensors = load_model(shared("golden", f"{name}.pth.tar")).tensors
    np.testing.assert_allclose(published_path(tensors)(track), expected, rtol=0, atol=1e-6)


def test_the_published_path_and_ours_are_equal_on_the_shipped_weights():
    pytest.importorskip("torch")
    network = load_model("published-static")
    track = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)
    ours = refine(track, kind="channels", model=network, hop=1, blend="uniform")
    np.testing.assert_allclose(published_path(network.tensors)(track), ours, rtol=0, atol=1e-5)


@pytest.mark.parametrize("windows_first", [True, False])
def test_the_products_that_are_timed_are_products(windows_first):
    function, arguments, kept = speed_sgemm._call(speed_sgemm.Product(5, 3, 4, windows_first))
    function(*arguments)
    first, second, result = kept[:3]
    found = result if windows_first else result.reshape(4, 5).T
    rows, weight = (second, first) if windows_first else (first.T, second)
    np.testing.assert_allclose(found, rows @ weight.T, rtol=1e-5, atol=1e-6)


def test_a_rate_is_that_of_the_products():
    products = [speed_sgemm.Product(64, 32, 48)]
    one = speed_sgemm.rate(products, threads=1, seconds=0.05)
    assert one > 1e6
    assert products[0].flops == 2 * 64 * 32 * 48


def test_operations_are_counted_by_window():
    assert sum(layer.flops for layer in layers(model("published-static"), 1)) == 98_304
    assert flops(Job("refine", 1_800, 72, "published-static", "channels", hop=1)) == (1_800 - 31) * 72 * 98_304
    # A window that is aligned with the end counts too.
    assert flops(Job("refine", 33, 3, "published-static", "channels", hop=8)) == 2 * 3 * 98_304
    tensors = model("default").tensors
    names = ("probe", "analysis", "synthesis")
    one = 3 * sum(tensors[name].size for name in names) + tensors["layer2.weight"].size + tensors["gain.weight"].size
    one += len(tensors["layer1.weight"]) * len(tensors["probe"])
    assert flops(Job("refine", model("default").window, 6, "default")) == 2 * 2 * one


@pytest.mark.parametrize("what", ["refine", "twice", "after", "savgol"])
def test_jobs_run(what):
    result = prepared(Job(what, 64, 6))()
    assert result is None or result.shape == (64, 2, 3)


def test_sides_take_turns():
    order: list[str] = []

    def one(name, seconds):
        def run():
            order.append(name)
            return seconds

        return run

    found = interleaved({"a": one("a", 2.0), "b": one("b", 4.0)}, seconds=0.001, most=5)
    assert order == ["a", "b"] * (len(order) // 2)
    assert len(found["a"]) == len(order) // 2 - 1 >= 3
    assert ratio(found["b"], found["a"]) == spread([2.0] * len(found["a"]))
    assert side(lambda: None)() >= 0


def test_the_table_goes_between_the_markers(tmp_path):
    rows = [
        Row("a", "one", "2 x 3", spread([1.0, 3.0, 2.0]), "times", 1.5, note="n"),
        Row("a", "two", "", spread([70.0]), "%", 60.0, at_most=False),
    ]
    table = speed.markdown(rows, {"cores": "2"})
    assert "| a | one | 2 x 3 | 2.00 times | 1.00 to 3.00 | at most 1.5 **missed** | n |" in table
    assert "|  | two |  | 70.0 % |  | at least 60 |  |" in table
    document = tmp_path / "d.md"
    document.write_text(f"before\n{speed.BEGIN}\nold\n{speed.END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        speed.write_into(document, table)
    assert document.read_text(encoding="utf-8") == f"before\n{speed.BEGIN}\n{table}\n{speed.END}\nafter\n"
    document.write_text("no markers", encoding="utf-8")
    with pytest.raises(ValueError, match="expected the lines"):
        speed.write_into(document, table)
