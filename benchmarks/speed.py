"""How fast refining is: everything as a ratio to something that runs beside it, in turns, in the same minutes.

    python benchmarks/speed.py [--quick] [--only GROUPS] [--python PATH]
                               [--json FILE] [--markdown] [--document FILE] [--figure FILE]

Give it a machine that does nothing else. Measured are

- ``machine``: what a large product of float32 matrices, the networks' own products, and a copy reach;
- ``published``: the published weights at hop 1, as a share of sgemm on the network's own shapes, and beside the
  published path (needs torch), whose numbers must be the same;
- ``models``: ``fast`` and ``default`` beside Savitzky-Golay on the same array; with ``--python`` the same under another
  Python, such as one whose NumPy has no BLAS;
- ``threads``: one thread beside all cores, and two calls at once;
- ``command line``: ``smoothnet refine`` beside ``smoothnet convert``, whole processes;
- ``memory``: of refining in memory, and from disk to disk;
- ``growth``: cost against frames, channels and window.

Printed is a table: median, smallest and largest of the rounds' own ratios. ``--markdown`` prints nothing else;
``--document`` puts it between the markers of a document; ``--figure`` draws the growth (needs matplotlib).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import speed_cases, speed_growth, speed_processes
from benchmarks.speed_jobs import Worker
from benchmarks.speed_measuring import Row, machine, progress

GROUPS = ("machine", "published", "models", "threads", "command line", "memory", "growth")
# Load above which something else seems to run.
BUSY = 0.7
BEGIN, END = "<!-- numbers: begin -->", "<!-- numbers: end -->"


def measure(groups: list[str], quick: bool, other: Worker | None, figure: Path | None) -> list[Row]:
    """Run the groups."""
    seconds = 1.0 if quick else 5.0
    channels = (72, 312) if quick else speed_cases.CHANNELS
    rows: list[Row] = []

    def begin(group: str) -> bool:
        if group in groups:
            progress(f"{group} ({time.perf_counter() - begun:.0f} s)")
        return group in groups

    begun = time.perf_counter()
    progress("machine")
    limit, found = speed_cases.limits(0.1 if quick else 0.5)
    if "machine" in groups:
        rows += found
    if begin("published"):
        lengths = (speed_cases.SHORT,) if quick else (speed_cases.SHORT, speed_cases.LONG)
        rows += speed_cases.published(limit, lengths, channels, seconds)
    if begin("models"):
        lengths, dtypes = (speed_cases.SHORT, speed_cases.LONG), ("float32", "float64")
        rows += speed_cases.models(limit, lengths, channels, dtypes[: 1 if quick else 2], seconds, other)
    if begin("threads"):
        rows += speed_cases.threads(20_000 if quick else 100_000, 72, seconds)
    if begin("command line"):
        rounds = {30.0: 3} if quick else {30.0: 5, 120.0: 3}
        rows += speed_processes.command_line(20_000 if quick else 100_000, rounds)
    if begin("memory"):
        rows += speed_processes.in_memory(20_000 if quick else 100_000, 312)
        rows += speed_processes.disk_to_disk(500_000 if quick else 10_000_000, 72)
    if begin("growth"):
        step = 2 if quick else 1
        frames, widths = speed_growth.FRAMES[: -1 if quick else None], speed_growth.CHANNELS[::step]
        curves, found = speed_growth.growth(frames, widths, seconds / 20)
        rows += found
        if figure is not None:
            speed_growth.draw(curves, figure)
    progress(f"done ({time.perf_counter() - begun:.0f} s)")
    return rows


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def markdown(rows: list[Row], about: dict[str, str]) -> str:
    """Return the table, with the machine that its numbers come from."""
    lines = [f"{date.today():%Y-%m-%d}; " + "; ".join(f"{name}: {value}" for name, value in about.items()) + ".", ""]
    lines += ["| | what | size | median | smallest to largest | target | further |", "|---|---|---|---|---|---|---|"]
    group = ""
    for row in rows:
        value = row.value
        target = ""
        if row.target is not None:
            target = f"{'at most' if row.at_most else 'at least'} {row.target:g}{'' if row.met else ' **missed**'}"
        between = f"{number(value.low)} to {number(value.high)}" if value.rounds > 1 else ""
        cells = ["" if row.group == group else row.group, row.case, row.size, f"{number(value.median)} {row.unit}"]
        lines.append(f"| {' | '.join([*cells, between, target, row.note])} |")
        group = row.group
    return "\n".join(lines)


def write_into(document: Path, table: str) -> None:
    """Put a table between the markers of a document.

    Raises:
        ValueError: it has no markers.
    """
    text = document.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{document}: expected the lines {BEGIN} and {END}")
    before, rest = text.split(BEGIN, 1)
    document.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer sizes and shorter tracks: under two minutes")
    parser.add_argument("--only", type=lambda words: words.split(","), default=list(GROUPS), help="comma-separated")
    parser.add_argument("--python", help="another Python, whose NumPy has no BLAS, to measure the models in as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("--markdown", action="store_true", help="print the table alone")
    parser.add_argument("--document", type=Path, metavar="FILE", help="put the table between its markers")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the growth")
    options = parser.parse_args()
    unknown = sorted(set(options.only) - set(GROUPS))
    if unknown:
        parser.error(f"--only: expected some of {', '.join(GROUPS)}, received {', '.join(unknown)}")
    about = machine()
    if float(about["load at the start"]) > BUSY:
        progress(f"the machine is not idle (load {about['load at the start']}): seconds will be too long")
    other = None if options.python is None else Worker(options.python)
    try:
        if other is not None:
            about["the other Python"] = f"Python {other.about['python']}, NumPy {other.about['numpy']}"
        rows = measure(options.only, options.quick, other, options.figure)
    finally:
        if other is not None:
            other.close()
    table = markdown(rows, about)
    print(table)
    if not options.markdown:
        missed = [row for row in rows if row.met is False]
        print(f"\n{len(missed)} of {sum(row.met is not None for row in rows)} targets missed")
    if options.json is not None:
        found = {"about": about, "rows": [row.as_dict() for row in rows]}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.document is not None:
        write_into(options.document, table)


if __name__ == "__main__":
    main()
