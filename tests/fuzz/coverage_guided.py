"""Fuzzing led by coverage, with atheris: ``python -m tests.fuzz.coverage_guided FORMAT [options of libFuzzer]``.

The good files and the mutations are those of the other runs; what is new in coverage is kept in a corpus folder. The
options of libFuzzer follow the format's name, e.g. ``-max_total_time=60 -runs=100000 -rss_limit_mb=2048``.
``pip install atheris`` brings it; it is no dependency of the project.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["smpl_tools", "smoothnet_core"]):
    from tests.fuzz.mutations import mutated
    from tests.fuzz.outcomes import outcome, quiet
    from tests.fuzz.run import names, starts_of


def main() -> None:
    """Fuzz one reader until libFuzzer's options end it; a finding ends it at once and is written to a file."""
    name, options = sys.argv[1], sys.argv[2:]
    if name not in names():
        sys.exit(f"expected one of {', '.join(names())}, received {name!r}")
    good = starts_of(name)
    quiet()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as scratch:
        folder, corpus = Path(scratch) / "file", Path(scratch) / "corpus"
        folder.mkdir()
        corpus.mkdir()
        for number, data in enumerate(good):
            (corpus / str(number)).write_bytes(data)

        def test_one_input(data: bytes) -> None:
            # How it is read follows from the input, so that a finding can be repeated.
            outcome(name, data, folder, Random(data), good[0])

        def mutator(data: bytes, max_size: int, seed: int) -> bytes:
            rng = Random(seed)
            if rng.random() < 0.5:
                return bytes(atheris.Mutate(data, max_size))
            return mutated(data, rng, good)[:max_size]

        atheris.Setup(
            [sys.argv[0], f"-max_len={4 * max(map(len, good))}", "-timeout=600", *options, str(corpus)],
            test_one_input,
            custom_mutator=mutator,
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
