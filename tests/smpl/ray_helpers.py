"""A batch that Ray runs, for a process of its own: objects that this process alone has, and one that kills."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import fsspec

from smpl_tools.batch.job import Job, Refining
from smpl_tools.batch.places import Place
from smpl_tools.batch.ray_engine import RayCluster
from smpl_tools.batch.run import Batch, run


class Deadly(Place):
    """Objects of which one ends the process that reads it."""

    def fetch(self, local: Path) -> None:
        if self.name == "bad.npy":
            os.kill(os.getpid(), signal.SIGKILL)
        super().fetch(local)


def main(address: str, take: str) -> None:
    """Print what became of copies of a take as JSON."""
    memory = fsspec.filesystem("memory")
    content = Path(take).read_bytes()
    for index in range(6):
        memory.pipe_file(f"/in/a/{index}.npy", content)
    refining = Refining({"method": "median"}, None)
    told: dict[str, Any] = {}
    with RayCluster(address) as cluster:
        batch = Batch("memory://in", "memory://out", refining, engine=cluster.engine)
        for turn in ("first", "again"):
            tally = run(batch)
            told[turn] = [len(tally.refined), tally.unchanged, tally.failed]
        told["results"] = {name: memory.cat_file(name).hex() for name in memory.find("/out") if name.endswith(".npy")}
        told["others"] = [name for name in memory.find("/out") if not name.endswith(".npy")]
        names = [f"{index}.npy" for index in range(5)] + ["bad.npy"]
        jobs = [
            Job(name, Deadly("memory://in", name, (("", content),)), name, Place("memory://out", name, ()), None)
            for name in names
        ]
        workers = cluster.engine(None, len(jobs), refining)
        outcomes = [outcome for ready in workers.outcomes(iter(jobs)) for outcome in ready]
        told["deadly"] = {one.name: one.record and one.record["error"] for one in outcomes}
        told["said"] = len(outcomes)
    json.dump(told, sys.stdout)
