"""Results as files: one JSON a study, its figures, and the page made of them all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smoothnet_core._checks import mismatch
from smpl_tools.experiments.frame import Cell, Result
from smpl_tools.experiments.table import STUDIES
from smpl_tools.formats._files import reason, replacing
from smpl_tools.pictures.style import save

_KEYS = {"study", "quick", "models", "differs", "losses", "tables", "figures", "settings"}
_HEAD = """# Results

Made by `smoothnet experiments`; written by it, not by hand. One study run again replaces its own section only.

Data: a paired set (real MediaPipe Pose output against exact truth, 15 joints, 30 frames a second; `val` holds subjects
that no training clip shows) and clean CMU motion capture. Errors are means over frames; *speed* and *jitter* are the
output's over the truth's, so 1 is right: speed is the 95th percentile over frames of wrist and ankle speed, jitter
the mean acceleration. An Accel is worth something only beside speed and jitter near 1, since an output that does not
accelerate at all scores the truth's own mean acceleration.

**What to trust.** Read [Filters tuned on the training clips](#filters-tuned-on-the-training-clips) first: real errors,
subjects that no training saw, and every filter with settings searched for it. There `default` has the lowest MPJPE in
all three modes and the lowest PA-MPJPE in two. Likewise in MPJPE: [the worst frames](#the-worst-1--of-frames) in two
modes, [rotations](#6d-rotations) in all, and [modes and subjects left out of
training](#unseen-estimator-modes-and-subjects) but for one subject, who hardly moves. [Clean motion](#clean-motion-in)
comes back nearly as it was.

**Where we lose.** Each section says so in its third paragraph. Of all of them:

- Speed and jitter. A median and a Gaussian filter, tuned, keep more speed than `default` at a little more error
  ([tuned filters](#filters-tuned-on-the-training-clips)), and at the same jitter and speed some filters have a lower
  Accel ([Accel against jitter and speed](#accel-against-jitter-and-speed)).
- Glitches. Where values are far off among exact ones `default` is behind a median filter by far; `repair` and
  `deglitch` are for that ([synthetic noise](#synthetic-noise)).
- Streams without latency, where One-Euro has the lower MPJPE, and with one frame in one mode
  ([latency](#accuracy-against-latency)).
- After an estimator that sees several frames, the published network comes nearer in position
  ([one stage against two](#one-stage-against-two)).
- Time. A Gaussian filter takes a tenth of `default`'s or less
  ([equal MPJPE](#filters-at-equal-mpjpe-and-at-equal-accel)); [`performance.md`](performance.md) is newer.

**What to trust less.** All real errors are of one estimator, in three modes, on rendered people; seven clips validate.
Studies that train networks do so with one seed, for a fraction of the paper's steps: differences of some tenths of a
millimetre may be chance. None of the paper's data sets is here, so no number can be laid beside the paper's own. In the
sections from synthetic noise on, those that were made before have version 3 of `default` and version 1 of `fast`, and
differ from the first sections in the last digit or two.
"""


def store(folder: Path, name: str, result: Result, models: list[str], quick: bool) -> None:
    """Write a study's result into ``folder/results`` and assemble ``folder/results.md`` again.

    Raises:
        ValueError: nothing can be written there, or another stored result is not readable.
    """
    results = folder / "results"
    results.mkdir(parents=True, exist_ok=True)
    figures = []
    for drawing in result.drawings:
        figures.append({"file": f"{name}_{drawing.name}.png", "caption": drawing.caption})
        save(drawing.figure, results / figures[-1]["file"])
    document = {
        "study": name,
        "quick": quick,
        "models": models,
        "differs": result.differs,
        "losses": result.losses,
        "tables": [{**asdict(table), "columns": list(table.columns.items())} for table in result.tables],
        "figures": figures,
        "settings": result.settings,
    }
    text = json.dumps(_plain(document), indent=1, allow_nan=False, ensure_ascii=False)
    with replacing(results / f"{name}.json") as file:
        file.write(text.encode() + b"\n")
    page = results_page(results)
    with replacing(folder / "results.md") as file:
        file.write(page.encode())


def read_stored(results: Path, name: str) -> dict[str, Any] | None:
    """Return the stored document of a study, or None where there is none.

    Raises:
        ValueError: the file is not one that :func:`store` wrote.
    """
    path = results / f"{name}.json"
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise mismatch(f"{path}", "the JSON of a stored result", reason(error)) from None
    if not isinstance(document, dict) or set(document) != _KEYS:
        raise mismatch(f"{path}", "the keys " + ", ".join(sorted(_KEYS)), "others")
    return document


def results_page(results: Path) -> str:
    """Return the Markdown page of all results stored in a folder, in the order of the list of studies."""
    found = {name: read_stored(results, name) for name in STUDIES}
    return "\n".join([_HEAD, *(_section(document) for document in found.values() if document is not None)])


def text_of(value: Cell, decimals: int | None) -> str:
    """Return a cell as it is printed: a number with its decimals, a dash for nothing."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    return str(value) if decimals is None or isinstance(value, str) else f"{value:,.{decimals}f}"


def _section(document: Mapping[str, Any]) -> str:
    study = STUDIES[document["study"]]
    lines = [f"## {study.title}", ""]
    form = " --quick" if document["quick"] else ""
    lines += [f"`smoothnet experiments {document['study']}{form}`, models: {', '.join(document['models'])}."]
    if document["quick"]:
        lines += ["**The quick form: a few clips, for checking that it runs. The numbers mean nothing.**"]
    lines += ["", f"Differs from the paper: {document['differs']}", "", f"Where we lose: {document['losses']}", ""]
    for table in document["tables"]:
        lines += [f"**{table['title']}.** {table['protocol']}", ""]
        lines += ["| " + " | ".join(heading for heading, _ in table["columns"]) + " |"]
        lines += ["|" + "|".join("---" if decimals is None else "--:" for _, decimals in table["columns"]) + "|"]
        for row in table["rows"]:
            cells = [text_of(value, decimals) for value, (_, decimals) in zip(row, table["columns"], strict=True)]
            lines += ["| " + " | ".join(cells) + " |"]
        lines += [""]
    for figure in document["figures"]:
        lines += [f"![{figure['caption']}](results/{figure['file']})", "", f"*{figure['caption']}*", ""]
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    """Return a document in JSON's own types; what is no number becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
