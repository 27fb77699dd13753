"""A batch that is killed again and again, at random times, and gone on with.

``python -m tests.smpl.batch_kills --files 500 --kills 50`` prints what happened, and fails where anything is other than
in a run that was left in peace.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.smpl.batch_helpers import emptied, ended, leftovers, records, results, started, tree


@dataclass
class Kills:
    """What happened: kills by what was killed, runs that ended before their kill, and what the kills left."""

    killed: dict[str, int] = field(default_factory=dict)
    ended_first: int = 0
    completed: int = 0
    torn_lines: int = 0
    temporaries: int = 0
    unrecorded: int = 0
    done_again: int = 0


def whole_lines(output: Path) -> dict[str, bytes]:
    """Return the lines of a manifest that may have been left in the middle, by source, and count a torn one as ''."""
    try:
        lines = (output / "manifest.jsonl").read_bytes().splitlines(True)
    except FileNotFoundError:
        return {}
    return {json.loads(line)["source"]: line for line in lines if line.endswith(b"\n")}


def kill_often(folder: Path, files: int, kills: int, seed: int = 0) -> Kills:
    """Kill a batch often, go on, and compare all results with those of a batch that was not killed.

    Every run must leave results that are whole, and must do nothing again that a line of the manifest says is done.
    """
    chance = random.Random(seed)
    source, peace, output = tree(folder / "in", files), folder / "peace", folder / "out"
    began = time.monotonic()
    assert ended(source, "-o", peace)[0] == 0
    longest = time.monotonic() - began
    expected = results(peace)
    assert len(expected) == files
    happened = Kills()
    for turn in range(kills):
        before = whole_lines(output)
        if len(before) == files:
            # All done, so anew.
            emptied(output)
            before, happened.completed = {}, happened.completed + 1
        running = started(source, "-o", output)
        time.sleep(chance.uniform(0.1, min(longest, 3.0)))
        if running.poll() is not None:
            assert running.returncode == 0
            happened.ended_first += 1
        # The process alone, whose workers must end by themselves, or all of them.
        which = ("the process alone", "all processes")[turn % 2]
        if which == "all processes":
            os.killpg(running.pid, signal.SIGKILL) if running.poll() is None else None
        else:
            running.kill()
        running.wait()
        happened.killed[which] = happened.killed.get(which, 0) + 1
        look_at(output, expected, before, happened)
        if running.stdout and running.stderr:
            running.stdout.close()
            running.stderr.close()
    status, _, err = ended(source, "-o", output)
    assert status == 0, err
    assert results(output) == expected
    assert leftovers(output) == []
    assert strip(records(output)) == strip(records(peace))
    return happened


def look_at(output: Path, expected: dict[str, bytes], before: dict[str, bytes], happened: Kills) -> None:
    """Check what a killed run left."""
    if not output.is_dir():
        return
    there = results(output)
    wrong = [name for name, content in there.items() if expected.get(name) != content]
    assert wrong == [], f"not whole: {wrong}"
    after = whole_lines(output)
    happened.done_again += sum(1 for name, line in before.items() if after.get(name) != line)
    assert happened.done_again == 0, "done again though it was done"
    assert set(after) <= set(there), "recorded and not there"
    happened.unrecorded += len(set(there) - set(after))
    happened.temporaries += len(leftovers(output))
    if (output / "manifest.jsonl").is_file():
        content = (output / "manifest.jsonl").read_bytes()
        happened.torn_lines += bool(content) and not content.endswith(b"\n")


def strip(found: dict[str, dict[str, object]]) -> Iterator[dict[str, object]] | list[dict[str, object]]:
    """Return records without what differs from run to run."""
    return [{name: value for name, value in one.items() if name != "seconds"} for one in found.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        happened = kill_often(Path(folder), asked.files, asked.kills, asked.seed)
        print(
            f"{asked.files} files, {asked.kills} kills, seed {asked.seed}: {happened}; {time.monotonic() - began:.0f} s"
        )


if __name__ == "__main__":
    main()
