"""Refining beside the published path, beside Savitzky-Golay, and beside what the machine can do at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks import speed_sgemm
from benchmarks.published_path import published_path
from benchmarks.speed_jobs import PUBLISHED, Job, Worker, flops, here, layers, model, track
from benchmarks.speed_measuring import Row, Side, cores, interleaved, progress, ratio, side, spread
from smoothnet_core import refine

CHANNELS = (72, 144, 312)
SHORT, LONG = 1_800, 100_000
# Each model's target, in times Savitzky-Golay.
MODELS = {"fast": 1.0, "default": 8.0}
SHARE = 60.0
WITHOUT_BLAS = 1.5
EQUAL = 1e-5


@dataclass(frozen=True)
class Limits:
    """What this machine can do.

    Attributes:
        products: of each network, in the block size in which they are fastest.
        own: FLOP/s of those on all cores, by the network's name.
        large: FLOP/s of a large product on all cores.
        copied: bytes read and written a second by a copy, on all cores.
    """

    products: dict[str, list[speed_sgemm.Product]]
    own: dict[str, float]
    large: float
    copied: float


def size_of(frames: int, channels: int, dtype: str = "") -> str:
    return f"{frames:,} x {channels}{', ' if dtype else ''}{dtype}"


def copy_rate(threads: int, seconds: float = 0.5) -> float:
    """Return the bytes read and written a second when arrays far beyond the cache are copied."""
    done = [0.0] * threads

    def work(own: int) -> None:
        source, target = np.ones(2**25, np.float32), np.zeros(2**25, np.float32)
        np.copyto(target, source)
        ready.wait()
        begun, count = time.perf_counter(), 0
        while (now := time.perf_counter()) - begun < seconds:
            np.copyto(target, source)
            count += 1
        done[own] = 2 * count * source.nbytes / (now - begun)

    ready = threading.Barrier(threads)
    pool = [threading.Thread(target=work, args=(own,)) for own in range(threads)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    return sum(done)


def limits(seconds: float) -> tuple[Limits, list[Row]]:
    """Measure this machine, and return rows that say what a network needs of it."""
    count, rows = cores(), []
    large = copied = 0.0
    for threads in sorted({1, count}):
        rates = [speed_sgemm.rate(speed_sgemm.large(), threads=threads, seconds=seconds) for _ in range(3)]
        case = f"sgemm of {speed_sgemm.LARGE} x {speed_sgemm.LARGE}, {threads} thread{'s' if threads > 1 else ''}"
        rows.append(Row("machine", case, "", spread(rates).times(1e-9), "GFLOP/s"))
        copies = [copy_rate(threads, seconds) for _ in range(3)]
        case = f"copy, read and written, {threads} thread{'s' if threads > 1 else ''}"
        rows.append(Row("machine", case, "", spread(copies).times(1e-9), "GB/s"))
        large, copied = spread(rates).median, spread(copies).median
    products, own = {}, {}
    for name, vector in ((PUBLISHED, 1), ("default", 3), ("fast", 3)):
        try:
            parts = layers(model(name), vector)
        except ValueError as error:
            progress(f"  {name}: no roofline ({error})")
            continue
        products[name] = speed_sgemm.best_products(parts)
        rates = [speed_sgemm.rate(products[name], threads=count, seconds=seconds) for _ in range(3)]
        own[name] = spread(rates).median
        once = sum(layer.flops for layer in parts)
        windows = products[name][0].rows // parts[0].times
        way = "windows" if products[name][0].windows_first else "places in the window"
        note = f"{once:,} FLOP a window, {once / vector / model(name).hop:,.0f} a value at hop {model(name).hop}: "
        note += f"{once / vector / model(name).hop / own[name] * 1e9:.1f} ns a value; blocks of {windows} by {way}"
        case = f"sgemm of `{name}`'s own shapes, {count} threads"
        rows.append(Row("machine", case, "", spread(rates).times(1e-9), "GFLOP/s", note=note))
    for name, bytes_ in (("float32", 8), ("float64", 16)):
        note = f"{bytes_} bytes a value at the speed of the copy"
        floor = spread([bytes_ / copied * 1e9])
        rows.append(Row("machine", f"floor of one pass over memory, {name}", "", floor, "ns a value", note=note))
    return Limits(products, own, large, copied), rows


def published(limit: Limits, lengths: Sequence[int], channels: Sequence[int], seconds: float) -> list[Row]:
    """Return the published weights at hop 1 beside sgemm on their own shapes, and beside the published path."""
    rows = []
    count = cores()
    for frames in lengths:
        for width in channels:
            job = Job("refine", frames, width, PUBLISHED, "channels", hop=1)
            sides: dict[str, Side] = {"ours": here(job)}
            sides["sgemm"] = lambda: speed_sgemm.rate(limit.products[PUBLISHED], threads=count, seconds=0.25)
            if frames == SHORT:
                sides["theirs"] = _theirs(frames, width)
            found = interleaved(sides, seconds=(2 if frames == SHORT else 4) * seconds)
            reached = [flops(job) / own for own in found["ours"]]
            share = ratio(reached, found["sgemm"]).times(100)
            size = size_of(frames, width, job.dtype)
            note = f"{spread(reached).median / 1e9:.0f} of {spread(found['sgemm']).median / 1e9:.0f} GFLOP/s; "
            note += f"{frames / spread(found['ours']).median:,.0f} frames/s"
            rows.append(Row("published", f"`{PUBLISHED}`, hop 1", size, share, "% of sgemm", SHARE, False, note))
            progress(f"  {size}: {share.median:.0f} % of sgemm, {note}")
            if "theirs" in found:
                faster = ratio(found["theirs"], found["ours"])
                note = f"published path {frames / spread(found['theirs']).median:,.0f} frames/s"
                rows.append(Row("published", "published path / ours", size, faster, "times", note=note))
                progress(f"  {size}: {faster.median:.1f} times the published path, {note}")
    return rows


def _theirs(frames: int, channels: int) -> Side:
    """Return the published path as a side, after it was seen to give the same numbers."""
    path = published_path(model(PUBLISHED).tensors)
    values = track(frames, channels, "float32")
    ours = refine(values, kind="channels", model=model(PUBLISHED), hop=1, blend="uniform")
    off = float(np.abs(path(values) - ours).max())
    if off > EQUAL:
        raise RuntimeError(f"the published path and ours: expected equal to {EQUAL:g}, differ by {off:g}")
    return side(lambda: path(values))


def models(
    limit: Limits,
    lengths: Sequence[int],
    channels: Sequence[int],
    dtypes: Sequence[str],
    seconds: float,
    other: Worker | None,
) -> list[Row]:
    """Return our own models beside Savitzky-Golay, here and under another Python."""
    rows = []
    for name, target in MODELS.items():
        for frames in lengths:
            for width in channels:
                for dtype in dtypes:
                    job = Job("refine", frames, width, name, dtype=dtype)
                    filtered = replace(job, what="savgol")
                    sides = {"ours": here(job), "savgol": here(filtered)}
                    if other is not None:
                        sides |= {"other": other.side(job), "other savgol": other.side(filtered)}
                    rows += _beside(job, interleaved(sides, seconds=seconds), limit, target)
                    progress(
                        "\n".join(f"  {r.case} {r.size}: {r.value.median:.2f} {r.unit}, {r.note}" for r in rows[-2:])
                    )
    return rows


def _beside(job: Job, found: dict[str, list[float]], limit: Limits, target: float) -> list[Row]:
    case = f"`{job.model}`, hop {model(job.model).hop} / Savitzky-Golay 31/2"
    size = size_of(job.frames, job.channels, job.dtype)
    ours, filtered = (spread(found[name]).times(1e9 / job.values).median for name in ("ours", "savgol"))
    note = f"{ours:.1f} and {filtered:.1f} ns a value"
    if job.model in limit.own:
        share = flops(job) / spread(found["ours"]).median / limit.own[job.model]
        note += f"; {100 * share:.0f} % of sgemm on its own shapes"
    rows = [Row("models", case, size, ratio(found["ours"], found["savgol"]), "times", target, note=note)]
    if "other" in found:
        there = ratio(found["other"], found["other savgol"])
        note = f"there {spread(found['other']).times(1e9 / job.values).median:.1f} ns a value, "
        note += f"{there.median:.2f} times its own Savitzky-Golay"
        slower = ratio(found["other"], found["ours"])
        case = f"`{job.model}`, NumPy without BLAS / the row above"
        rows.append(Row("models", case, size, slower, "times", WITHOUT_BLAS, note=note))
    return rows


def threads(frames: int, channels: int, seconds: float) -> list[Row]:
    """Return what all cores give over one, and what two calls at once take beside the same two in turn."""
    rows = []
    one = Worker(environment={"OMP_NUM_THREADS": "1"})
    try:
        for name, kind in (("default", "position"), ("fast", "position"), (PUBLISHED, "channels")):
            own = min(frames, 10_000) if name == PUBLISHED else frames
            job = Job("refine", own, channels, name, kind)
            sides = {"all": here(job), "one": one.side(job)}
            sides |= {"twice": here(replace(job, what="twice")), "after": here(replace(job, what="after"))}
            found = interleaved(sides, seconds=seconds)
            size = size_of(own, channels, job.dtype)
            gain = ratio(found["one"], found["all"])
            rows.append(Row("threads", f"`{name}`, one thread / {cores()} cores", size, gain, "times"))
            both = ratio(found["twice"], found["after"])
            rows.append(Row("threads", f"`{name}`, two calls at once / in turn", size, both, "times"))
            progress(f"  {name}: {gain.median:.2f} times by {cores()} cores; two at once {both.median:.2f} times")
    finally:
        one.close()
    return rows
