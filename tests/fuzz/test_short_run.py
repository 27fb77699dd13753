"""Some damaged files of every format at each run of the tests; ``make fuzz`` reads them for a minute."""

from __future__ import annotations

import argparse
import warnings
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smpl_tools.formats import FORMATS
from tests.fuzz.mutations import mutated
from tests.fuzz.outcomes import READERS, outcome
from tests.fuzz.run import names, one, run, starts_of

NAMES = names()


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        # As the program does: numbers out of range are no news.
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        warnings.filterwarnings("ignore", message="Duplicate name")
        yield


def test_every_format_that_is_read_has_good_files():
    assert set(NAMES) >= {name for name, form in FORMATS.items() if form.read is not None}


@pytest.mark.parametrize("name", NAMES)
def test_good_files_are_read_whole_and_come_back_the_same(tmp_path, name):
    found = [outcome(name, data, tmp_path, Random(index), data) for index, data in enumerate(starts_of(name))]
    if name not in READERS and name != "array":
        assert set(found) == {"motion"}
    # Below the formats, the files of several are read; of an array another kind is asked for now and then.
    assert set(found) <= {"motion", "value", "refused"}
    assert set(found) != {"refused"}


@pytest.mark.parametrize("name", NAMES)
@given(rng=st.randoms(use_true_random=False), start=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_damaged_files_are_motions_or_refused(tmp_path, name, rng, start):
    good = starts_of(name)
    data = mutated(good[start % len(good)], rng, good)
    assert outcome(name, data, tmp_path, rng, good[0]) in ("motion", "value", "refused")


def test_an_input_follows_from_its_number(tmp_path):
    assert one("bvh", 7, tmp_path) == one("bvh", 7, tmp_path)
    assert one("bvh", 7, tmp_path)[1] != one("bvh", 8, tmp_path)[1]


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), MemoryError(), ValueError("two\nlines")], ids=repr)
def test_what_a_reader_may_not_do_is_found(tmp_path, monkeypatch, error):
    def broken(path):
        raise error

    monkeypatch.setitem(READERS, "npy", broken)
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)
    seen = run(argparse.Namespace(only=["npy"], first=0, inputs=3, seconds=5.0, record=None))
    assert seen["readers"]["npy"]["finding"] == 3
    assert len(seen["findings"]) == 1
