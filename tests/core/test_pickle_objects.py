from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from smoothnet_core.restricted_pickle import load_pickle
from tests.core.attacks import OBJECT_ATTACKS, assert_value_or_one_line
from tests.core.python2_pickles import Ch, ChLambda, Reshape, Select, python2_dumps, python3_dumps, transpose

X = np.arange(24.0).reshape(4, 2, 3)


class Runs(Ch):
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("exit 3",), {"x": 1}


WRITERS = [(python2_dumps, 0), (python2_dumps, 1), (python2_dumps, 2)]
WRITERS += [(python3_dumps, protocol) for protocol in (0, 1, 2, 4)]


@pytest.mark.parametrize(("write", "protocol"), WRITERS)
def test_chumpy_arrays_come_back_as_what_they_stand_for(tmp_path, write, protocol):
    inner = Ch(X)
    places = np.array([5, 5, 0, 23])
    value = {
        "held": inner,
        "again": inner,
        "number": Ch(2.5),
        "selected": Select(a=inner, idxs=places, preferred_shape=(2, 2)),
        "flat": Select(a=Ch(X), idxs=places, _dr_cached=sparse.csc_matrix(np.eye(4, 24))),
        "reshaped": Reshape(a=inner, newshape=(8, -1)),
        "raveled": Reshape(a=inner, newshape=-1),
        "transposed": transpose(a=inner, axes=None),
        "turned": transpose(a=inner, axes=(2, 0, 1)),
        "deep": Select(a=transpose(a=inner, axes=None), idxs=np.arange(3, dtype=np.uint8), preferred_shape=(3, 1)),
    }
    path = tmp_path / "a.pkl"
    path.write_bytes(write(value, protocol))
    back = load_pickle(path)
    expected = {
        "held": X,
        "again": X,
        "number": np.array(2.5),
        "selected": X.ravel()[places].reshape(2, 2),
        "flat": X.ravel()[places],
        "reshaped": X.reshape(8, -1),
        "raveled": X.ravel(),
        "transposed": X.T,
        "turned": X.transpose(2, 0, 1),
        "deep": X.T.ravel()[:3].reshape(3, 1),
    }
    assert list(back) == list(expected)
    for name, array in expected.items():
        assert type(back[name]) is np.ndarray
        np.testing.assert_array_equal(back[name], array)
    assert back["again"] is back["held"]


@pytest.mark.parametrize(("write", "protocol"), WRITERS)
@pytest.mark.parametrize("kind", ["csc_matrix", "csr_matrix", "csc_array", "csr_array"])
def test_sparse_matrices_come_back(tmp_path, kind, write, protocol):
    dense = np.zeros((5, 7))
    dense[[0, 3, 4, 4], [6, 0, 1, 2]] = [1.5, -2.0, 3.0, 4.0]
    path = tmp_path / "a.pkl"
    value = getattr(sparse, kind)(dense)
    raw = write({"m": value, "empty": getattr(sparse, kind)((0, 3))}, protocol)
    if kind.endswith("matrix"):
        assert (b"scipy.sparse._" in raw) is (write is python3_dumps)
    path.write_bytes(raw)
    back = load_pickle(path)
    assert back["m"].format == kind[:3]
    np.testing.assert_array_equal(back["m"].toarray(), dense)
    back["m"].check_format(full_check=True)
    assert back["empty"].shape == (0, 3)


def test_a_matrix_with_room_to_spare_loses_it(tmp_path):
    # SciPy keeps the arrays of a matrix longer than it uses them.
    value = sparse.csr_matrix(np.eye(2))
    value.data, value.indices = np.array([1.0, 1, 9]), np.array([0, 1, 77])
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    np.testing.assert_array_equal(load_pickle(tmp_path / "a.pkl").toarray(), np.eye(2))


def state_of(changes: dict[str, Any]) -> bytes:
    """Return the pickle of a 2 x 3 csr matrix whose state has the changes."""
    value = sparse.csr_matrix(np.array([[0.0, 1, 2], [3, 0, 0]]))
    value.__dict__.update(changes)
    return pickle.dumps(value, 2)


Numbers = np.array
MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "column too high": (
        {"indices": Numbers([1, 3, 0])},
        "indices of a sparse matrix (csr) reach from 0 to 3, expected 0 to 2",
    ),
    "negative column": ({"indices": Numbers([1, -2, 0])}, "reach from -2 to 1, expected 0 to 2"),
    "column beyond int64": ({"indices": Numbers([1, 2, 2**63], np.uint64)}, "reach from -9223372036854775808 to 2"),
    "starts that fall": (
        {"indptr": Numbers([0, 3, 2])},
        "starts of a sparse matrix (csr) do not rise from 0 to at most 3",
    ),
    "starts that do not start": ({"indptr": Numbers([1, 2, 3])}, "do not rise from 0"),
    "starts beyond the end": ({"indptr": Numbers([0, 2, 4])}, "do not rise from 0 to at most 3"),
    "unsigned starts that wrap": ({"indptr": Numbers([0, 2, 1], np.uint32)}, "do not rise from 0 to at most 3"),
    "starts missing": ({"indptr": Numbers([0, 3])}, "of shape (2, 3) with (3,) values, 3 indices and 2 starts"),
    "no starts": ({"indptr": None}, "indptr of a sparse matrix (csr) is a NoneType, expected an array of numbers"),
    "starts that are fractions": ({"indptr": Numbers([0.0, 2, 3])}, "(3,) of float64, expected integers (N,)"),
    "values missing": ({"data": Numbers([1.0])}, "with (1,) values, 3 indices and 3 starts"),
    "values in rows": ({"data": np.ones((3, 1))}, "with (3, 1) values"),
    "objects as values": ({"data": Numbers([1, None, 2])}, "data of a sparse matrix (csr) is an array of object"),
    "three dimensions": ({"_shape": (2, 3, 1)}, "a sparse matrix (csr) of 3 dimensions"),
    "no shape": ({"_shape": None}, "an array shape that is no tuple of up to 64 integers"),
    "negative shape": ({"_shape": (2, -3)}, "an array shape that is no tuple of up to 64 integers"),
    "vast rows": ({"_shape": (10**12, 3)}, "refused: it declares more data than it holds"),
    "vast columns": ({"_shape": (2, 10**12)}, "refused: it declares more data than it holds"),
}


@pytest.mark.parametrize("title", MALFORMED)
def test_malformed_sparse_matrices_are_refused(tmp_path, title):
    changes, message = MALFORMED[title]
    path = tmp_path / "a.pkl"
    path.write_bytes(state_of(changes))
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{re.escape(message)}"):
        load_pickle(path)


BAD_CHUMPY: dict[str, tuple[Any, str]] = {
    "text": (lambda: Ch("x"), "x of a Chumpy array is 'x', expected an array of numbers"),
    "a class": (lambda: Ch(np.ndarray), "x of a Chumpy array is a Named, expected an array of numbers"),
    "nothing": (lambda: Ch(a=1), "x of a Chumpy array is a NoneType"),
    "objects": (lambda: Ch(np.array([None])), "x of a Chumpy array is an array of object"),
    "places outside": (
        lambda: Select(a=X, idxs=np.array([24])),
        "idxs of a Chumpy selection reach from 24 to 24, expected 0 to 23",
    ),
    "places before": (lambda: Select(a=X, idxs=np.array([-1])), "reach from -1 to -1"),
    "places as text": (lambda: Select(a=X, idxs="all"), "idxs of a Chumpy selection is 'all', expected an array"),
    "another shape": (lambda: Select(a=X, idxs=np.arange(3), preferred_shape=(2, 2)), "cannot reshape array of size 3"),
    "a shape of texts": (lambda: Reshape(a=X, newshape=("a",)), "an array shape that is no tuple"),
    "axes of text": (lambda: transpose(a=X, axes="abc"), "an array shape that is no tuple"),
}


@pytest.mark.parametrize("title", BAD_CHUMPY)
@pytest.mark.parametrize("protocol", [0, 2])
def test_chumpy_objects_without_their_numbers_are_refused(tmp_path, title, protocol):
    make, message = BAD_CHUMPY[title]
    path = tmp_path / "a.pkl"
    path.write_bytes(python3_dumps([make()], protocol))
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: not a readable pickle: .*{re.escape(message)}"):
        load_pickle(path)


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_a_chumpy_class_that_runs_something_is_refused(tmp_path, protocol):
    path = tmp_path / "a.pkl"
    path.write_bytes(python3_dumps({"shapedirs": Runs(X)}, protocol))
    with pytest.raises(ValueError, match=rf"^{path}: refused: the file asks for (posix|nt)\.system, which is not"):
        load_pickle(path)
    path.write_bytes(python3_dumps({"shapedirs": ChLambda(X)}, protocol))
    with pytest.raises(ValueError, match=rf"^{path}: refused: the file asks for chumpy\.ch\.ChLambda, which is not"):
        load_pickle(path)


@pytest.mark.parametrize("title", OBJECT_ATTACKS)
def test_attacks_by_way_of_objects_are_refused_by_name(tmp_path, title):
    make, message = OBJECT_ATTACKS[title]
    canary, path = tmp_path / "canary", tmp_path / "bad.pkl"
    path.write_bytes(make(canary))
    with pytest.raises(ValueError, match=rf"^{path}: refused: .*{message}") as caught:
        load_pickle(path)
    assert "\n" not in str(caught.value)
    assert not canary.exists()


def test_a_state_that_is_no_dictionary_or_never_comes_is_refused(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02cchumpy.ch\nCh\n)\x81]b.")
    with pytest.raises(ValueError, match="the state of an object is a list, expected a dictionary"):
        load_pickle(path)
    path.write_bytes(b"\x80\x02cchumpy.ch\nCh\n)\x81.")
    with pytest.raises(ValueError, match="refused: an array or data type in it is never given its contents"):
        load_pickle(path)


def test_selecting_again_and_again_takes_no_memory(tmp_path):
    places = np.zeros(2**18, np.uint8)
    small = Ch(np.arange(8.0))
    path = tmp_path / "a.pkl"
    path.write_bytes(python3_dumps([Select(a=small, idxs=places) for _ in range(40)], 2))
    with pytest.raises(ValueError, match="refused: it declares more data than it holds"):
        load_pickle(path)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_gives_one_line_or_a_value(tmp_path, data):
    value = {"J": sparse.csc_matrix(np.eye(3)), "s": Select(a=Ch(X), idxs=np.arange(4), preferred_shape=(2, 2))}
    write, protocol = data.draw(st.sampled_from(WRITERS))
    raw = bytearray(write(value, protocol))
    for place, byte in data.draw(st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)), max_size=3)):
        raw[place] = byte
    path = tmp_path / "a.pkl"
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    assert_value_or_one_line(load_pickle, path)


def test_neither_chumpy_nor_scipy_is_imported_by_reading_other_files():
    code = (
        "import sys, smoothnet_core._pickle_objects; print([m for m in ('chumpy', 'scipy.sparse') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
