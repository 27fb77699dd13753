"""Read damaged files by every reader, one process, a bound on each: ``python -m tests.fuzz.run --seconds 60``.

Each input follows from a number: a finding says which, and ``--only NAME --first NUMBER --inputs 1`` repeats it.
"""

from __future__ import annotations

import argparse
import collections
import json
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutations import mutated
from tests.fuzz.outcomes import READERS, outcome, quiet
from tests.fuzz.seeds import seeds

# Beyond what reading needs; an allocation of more fails.
BYTES = 4 * 2**30
_SLICE_SECONDS = 0.1
# A reader below the formats reads the files of these.
_SEEDS_OF = {
    "pickle": ("pickle", "wham", "aist", "phalp"),
    "npy": ("npy", "tram", "array"),
    "npz": ("amass", "humandata", "romp"),
    "torch": ("gvhmr", "weights"),
    "body-model": ("body-model", "pickle", "amass"),
}


def starts_of(name: str) -> tuple[bytes, ...]:
    """Return the good files that a reader's inputs are made from."""
    return tuple(file for each in _SEEDS_OF.get(name, (name,)) for file in seeds()[each])


def names() -> list[str]:
    """Return all formats and readers that inputs are made for."""
    return [*(name for name in seeds() if name not in READERS), *READERS]


def one(name: str, number: int, folder: Path) -> tuple[str, bytes]:
    """Read the input of this number; return what came of it and the input."""
    rng = Random(f"{name} {number}")
    good = starts_of(name)
    start = rng.choice(good)
    data = mutated(start, rng, good) if number else start
    return outcome(name, data, folder, rng, start), data


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Read until the time or the inputs are used up; return what was seen."""
    chosen = args.only or names()
    quiet()
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    counts: dict[str, collections.Counter[str]] = {name: collections.Counter() for name in chosen}
    slowest: dict[str, float] = dict.fromkeys(chosen, 0.0)
    grown: dict[str, int] = dict.fromkeys(chosen, 0)
    findings: dict[str, dict[str, Any]] = {}
    numbers = dict.fromkeys(chosen, args.first)
    begun, done, round_ = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        while done < args.inputs and time.monotonic() - begun < args.seconds:
            for name in chosen:
                # As much time for each, so that what is read fast is read more often.
                slice_ends = time.process_time() + _SLICE_SECONDS
                while time.process_time() < slice_ends and done < args.inputs:
                    before, started = _peak(), time.process_time()
                    try:
                        counts[name][one(name, numbers[name], Path(folder))[0]] += 1
                    except (KeyboardInterrupt, SystemExit):
                        raise
                    except BaseException as error:
                        counts[name]["finding"] += 1
                        _note(findings, name, numbers[name], error)
                    slowest[name] = max(slowest[name], time.process_time() - started)
                    grown[name] = max(grown[name], _peak() - before)
                    numbers[name] += 1
                    done += 1
            round_ += 1
            if args.record and round_ % 10 == 0:
                _save(args.record, begun, numbers, counts, slowest, grown, findings)
    return _save(args.record, begun, numbers, counts, slowest, grown, findings)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _note(findings: dict[str, dict[str, Any]], name: str, number: int, error: BaseException) -> None:
    """Keep the first of the findings that came about at one place in one way."""
    trace = traceback.extract_tb(error.__traceback__)
    where = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in trace if "fuzz" not in f.filename]
    key = f"{name}: {type(error).__name__} at {where[-1] if where else str(error)[:60]}"
    new = {"name": name, "number": number, "error": str(error)[:300], "where": where[-4:], "times": 0}
    findings.setdefault(key, new)["times"] += 1


def _save(
    record: Path | None,
    begun: float,
    numbers: dict[str, int],
    counts: dict[str, collections.Counter[str]],
    slowest: dict[str, float],
    grown: dict[str, int],
    findings: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    readers = {
        name: {**counts[name], "slowest s": round(slowest[name], 3), "largest growth MiB": round(grown[name] / 1024, 1)}
        for name in counts
    }
    total = sum(sum(c.values()) for c in counts.values())
    seen = {
        "inputs": total,
        "seconds": round(time.monotonic() - begun, 1),
        "processor seconds": round(time.process_time(), 1),
        "next": max(numbers.values()),
        "peak MiB": round(_peak() / 1024, 1),
        "readers": readers,
        "findings": findings,
    }
    if record is not None:
        record.write_text(json.dumps(seen, indent=1), encoding="utf-8")
    return seen


def main() -> int:
    """Run and print; the exit status is 1 where there was a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--inputs", type=int, default=10**9)
    parser.add_argument("--first", type=int, default=0, help="number of the first input of every reader")
    parser.add_argument("--only", action="append", help="a format or a reader; may be repeated")
    parser.add_argument("--record", type=Path, help="file for what was seen")
    seen = run(parser.parse_args())
    print(json.dumps(seen, indent=1))
    return 1 if seen["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
