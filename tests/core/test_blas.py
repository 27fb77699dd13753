"""Products through SciPy's BLAS, against float64 sums."""

from __future__ import annotations

import re
import threading
import time

import numpy as np
import pytest

from smoothnet_core.inference import blas


def _ways():
    return [("address", None), ("SciPy's function", lambda letter: None)]


@pytest.fixture(params=_ways(), ids=[name for name, _ in _ways()])
def way(request, monkeypatch):
    """Both ways to BLAS: at its address, and through SciPy's own function where there is no such address."""
    if request.param[1] is not None:
        monkeypatch.setattr(blas, "_gemm", request.param[1])
    else:
        assert blas._gemm("f") is not None
        assert blas._gemm("d") is not None


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", ["", "first", "second"])
@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (7, 3, 5), (1, 32, 48), (65, 33, 1), (300, 128, 31)])
def test_as_the_sums(dtype, transposed, m, k, n):
    rng = np.random.default_rng(m * k * n)
    # Matrices cut out of larger ones: their rows are longer in memory.
    first = rng.standard_normal((k, m + 3) if transposed == "first" else (m, k + 3)).astype(dtype)
    first = first[:, : m if transposed == "first" else k]
    second = rng.standard_normal((n, k + 2) if transposed == "second" else (k, n + 2)).astype(dtype)
    second = second[:, : k if transposed == "second" else n]
    a = first.T if transposed == "first" else first
    b = second.T if transposed == "second" else second
    exact = (a.astype(np.float64)[:, :, None] * b.astype(np.float64)).sum(axis=1)
    bound = {np.float32: 1e-5, np.float64: 1e-13}[dtype]
    np.testing.assert_allclose(blas.product(first, second, transposed), exact, atol=bound * k)
    room = np.full((m, n + 4), 7, dtype)
    out = blas.product(first, second, transposed, room[:, :n])
    assert out.base is room
    np.testing.assert_allclose(room[:, :n], exact, atol=bound * k)
    assert (room[:, n:] == 7).all()
    blas.product(first, second, transposed, room[:, :n], add=True)
    np.testing.assert_allclose(room[:, :n], 2 * exact, atol=2 * bound * k)


@pytest.mark.usefixtures("way")
def test_nothing_to_add_up():
    empty = np.zeros((3, 0), np.float32)
    np.testing.assert_array_equal(blas.linear(empty, np.zeros((2, 0), np.float32)), np.zeros((3, 2)))
    room = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(
        blas.product(empty, np.zeros((0, 2), np.float32), out=room, add=True), np.ones((3, 2))
    )
    assert blas.linear(np.zeros((0, 4), np.float32), np.zeros((2, 4), np.float32)).shape == (0, 2)


@pytest.mark.usefixtures("way")
def test_any_layout_and_dtype_is_taken():
    rng = np.random.default_rng(0)
    apart = rng.standard_normal((6, 8)).astype(np.float32)[::-1, ::2]
    weight = np.asfortranarray(rng.standard_normal((3, 4)))
    np.testing.assert_allclose(blas.linear(apart, weight), apart @ weight.astype(np.float32).T, rtol=1e-5)


@pytest.mark.parametrize(
    ("out", "received"),
    [
        (np.zeros((3, 2), np.float32), "(3, 2) float32, (8, 4) bytes apart"),
        (np.zeros((2, 3)), "(2, 3) float64, (24, 8) bytes apart"),
        (np.zeros((3, 2), np.float32).T, "(2, 3) float32, (4, 8) bytes apart"),
    ],
)
def test_unfit_room_is_refused(out, received):
    with pytest.raises(ValueError, match=re.escape(f"out: expected rows of (2, 3) float32, received {received}")):
        blas.linear(np.zeros((2, 4), np.float32), np.zeros((3, 4), np.float32), out)


@pytest.mark.usefixtures("way")
def test_a_prepared_product_sees_its_matrices_as_they_are_then():
    rng = np.random.default_rng(0)
    first, second, room = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 4), (4, 6), (5, 6)))
    before = room.copy()
    run = blas.prepared(first, second, room)
    np.testing.assert_array_equal(room, before)
    for _ in range(2):
        first[...] = rng.standard_normal(first.shape)
        run()
        np.testing.assert_allclose(room, first.astype(np.float64) @ second, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"out: expected rows of \(5, 6\) float32, received \(5, 5\) float32"):
        blas.prepared(first, second, room[:, :5])()


def test_other_threads_go_on_while_it_computes():
    """A thread that only counts gets on while a product of about a second runs."""
    matrix = np.ones((3000, 3000))
    counted, stop = [0], threading.Event()

    def count() -> None:
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    before = counted[0]
    blas.product(matrix, matrix)
    after = counted[0]
    stop.set()
    counter.join()
    assert after - before > 20
