"""Does, one after the other, the jobs that come as JSON lines, and answers how long each took.

What is asked with an empty object is which Python this is. :class:`benchmarks.speed_jobs.Worker` talks to it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.speed_jobs import Job, here
from benchmarks.speed_measuring import Side


def main() -> None:
    kept: dict[Job, Side] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if not question:
            answer = {"python": sys.version.split()[0], "numpy": np.__version__}
        else:
            job = Job(**question)
            if job not in kept:
                # The track of an earlier comparison is let go of.
                if len(kept) > 1:
                    kept.clear()
                kept[job] = here(job)
            answer = {"seconds": kept[job]()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
