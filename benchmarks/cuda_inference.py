"""Speed and error of the fused CUDA kernels: python3 benchmarks/cuda_inference.py --out FOLDER

``--sweep`` times, instead of what is tuned, every division of work in a table of cuda_cases.py.

Compiles and checks every case, one track in each of many processes side by side (what fails or takes too long costs
nothing but itself), then times the cases one after the other. Without a GPU it says so and does nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from cuda_cases import (  # noqa: E402
    DEFAULT_HOP,
    LARGE,
    NETWORKS,
    PAPER,
    cases,
    network,
    operations,
    stretches,
    title,
    tracks_of,
    walk,
    windows_of,
)

from smoothnet_core.inference.torch_tracks import TorchTracks  # noqa: E402
from smoothnet_core.inference.triton_launch import Launch  # noqa: E402
from smoothnet_core.model import load_model  # noqa: E402


def triton_tracks(name: str, precision: str, launch: Launch | None):
    from smoothnet_core.inference.triton_tracks import TritonTracks

    architecture, tensors = network(name)
    return TritonTracks(architecture, tensors, "cuda", precision, launch)


def laid_out(values: torch.Tensor, over_time: bool) -> torch.Tensor:
    return values.permute(1, 2, 0).contiguous().permute(2, 0, 1) if over_time else values


def phase(what: str) -> None:
    """Said before what may hang, so that a process that was ended has told where it was."""
    print(f"PHASE {what} ({time.process_time():.1f} s of computing)", flush=True)


def prepare(case: dict, track: tuple[int, int, int, bool]) -> dict:
    """Compile a case for a track and compare it with float64 on the CPU, with poisoned outputs."""
    launch = None if case["launch"] is None else Launch(**case["launch"])
    name, precision, hop = case["network"], case["precision"], case["hop"]
    phase("weights")
    tracks = triton_tracks(name, precision, launch)
    architecture, tensors = network(name)
    exact = TorchTracks(architecture, tensors, "cpu", torch.float64)
    worst = {"error": 0.0, "of the change": 0.0, "largest": 0.0}
    frames, joints, size, over_time = track
    values = laid_out(walk(frames, joints, size), over_time)
    out = torch.full_like(values, float("nan"))
    torch.cuda.synchronize()
    phase(f"compiling for {frames} frames, time {'last' if over_time else 'first'}")
    started = time.perf_counter()
    tracks(values, hop=hop, blend="taper", out=out)
    compiled = time.perf_counter() - started
    phase("launched")
    torch.cuda.synchronize()
    phase("checking")
    for stretch, inner in stretches(frames, hop, tracks.launch.rows):
        given = values[stretch, :2].double().cpu()
        wanted = exact(given, hop=hop, blend="taper")[inner]
        gap = out[stretch, :2].double().cpu()[inner] - wanted
        off = {
            "error": gap.norm() / wanted.norm(), "of the change": gap.norm() / (wanted - given[inner]).norm(),
            "largest": gap.abs().max(),
        }  # fmt: skip
        # A NaN is the worst there is.
        worst = {key: max(v, float(off[key].nan_to_num(nan=float("inf")))) for key, v in worst.items()}
    if not bool(torch.isfinite(out).all()):
        raise RuntimeError("not every frame was written")
    phase("done")
    return {"compiled_s": compiled, **worst}


def timed(run, budget: float = 0.12) -> tuple[float, float]:
    """Seconds a call on the device, median and relative spread of five groups of calls."""
    for i in range(3):
        run(i)
    torch.cuda.synchronize()
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run(0)
    stop.record()
    stop.synchronize()
    calls = max(1, min(400, int(budget / 5 / max(1e-6, start.elapsed_time(stop) * 1e-3))))
    groups = []
    for _ in range(5):
        start.record()
        for i in range(calls):
            run(i)
        stop.record()
        stop.synchronize()
        groups.append(start.elapsed_time(stop) * 1e-3 / calls)
    middle = statistics.median(groups)
    return middle, (max(groups) - min(groups)) / middle


def waited(run, calls: int = 60) -> float:
    """Seconds from a call to its result, on the host's clock, median."""
    for _ in range(5):
        run()
    torch.cuda.synchronize()
    seen = []
    for _ in range(calls):
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        seen.append(time.perf_counter() - started)
    return statistics.median(seen)


def ceilings() -> dict:
    result = {}
    a, b = (torch.randn((8192, 8192), device="cuda", dtype=torch.bfloat16) for _ in range(2))
    seconds, _ = timed(lambda i: torch.matmul(a, b), 0.3)
    result["bf16 matmul TFLOP/s"] = 2 * 8192**3 / seconds / 1e12
    torch.backends.cuda.matmul.allow_tf32 = True
    c, d = a[:4096, :4096].float(), b[:4096, :4096].float()
    seconds, _ = timed(lambda i: torch.matmul(c, d))
    result["tf32 matmul TFLOP/s"] = 2 * 4096**3 / seconds / 1e12
    torch.backends.cuda.matmul.allow_tf32 = False
    seconds, _ = timed(lambda i: torch.matmul(c, d))
    result["fp32 matmul TFLOP/s"] = 2 * 4096**3 / seconds / 1e12
    source = torch.randn(2**29, device="cuda")
    target = torch.empty_like(source)
    seconds, _ = timed(lambda i: target.copy_(source), 0.3)
    result["copy TB/s"] = 2 * source.numel() * 4 / seconds / 1e12
    return result


def speed(run, name: str, frames: int, joints: int, hop: int, top: float) -> dict:
    seconds, spread = timed(run)
    per_window = operations(name, 3) * joints
    rate = per_window * windows_of(frames, 32, hop) / seconds / 1e12
    return {
        "seconds": seconds, "spread": spread, "frames/s": frames / seconds, "TFLOP/s": rate,
        "share of bf16 matmul": rate / top, "TB/s": frames * joints * 24 / seconds / 1e12,
    }  # fmt: skip


def time_large(case: dict, top: float) -> dict:
    launch = None if case["launch"] is None else Launch(**case["launch"])
    name, hop = case["network"], case["hop"]
    tracks = triton_tracks(name, case["precision"], launch)
    result = {}
    for over_time in (True,) if case["sweep"] else (True, False):
        sets = [laid_out(walk(LARGE[name], 24, 3, seed=i), over_time) for i in range(3)]
        outs = [torch.empty_like(s) for s in sets]
        row = speed(
            lambda i, sets=sets, outs=outs: tracks(sets[i % 3], hop=hop, blend="taper", out=outs[i % 3]),
            name, LARGE[name], 24, hop, top,
        )  # fmt: skip
        result["time last" if over_time else "time first"] = row
    if case["sweep"]:
        return result
    values = walk(100_000, 17, 3)
    out = torch.empty_like(values)
    row = speed(lambda i: tracks(values, hop=hop, blend="taper", out=out), name, 100_000, 17, hop, top)
    row["times the paper"] = row["frames/s"] / PAPER
    result["paper's size"] = row
    short, goal = walk(300, 24, 3), torch.empty((300, 24, 3), device="cuda")

    def once(i: int = 0) -> None:
        tracks(short, hop=hop, blend="taper", out=goal)

    result["300 frames, queued"] = timed(once)[0]
    result["300 frames, waited for"] = waited(once)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        once()
    result["300 frames, graph"] = timed(lambda i: graph.replay())[0]
    result["300 frames, graph, waited for"] = waited(graph.replay)
    return result


def time_torch(name: str, precision: str, top: float) -> dict:
    architecture, tensors = network(name)
    tracks = TorchTracks(architecture, tensors, "cuda", torch.bfloat16 if precision == "bf16" else torch.float32)
    hop = DEFAULT_HOP[name]
    frames = max(4000, LARGE[name] // 10)
    values = walk(frames, 24, 3)
    row = speed(lambda i: tracks(values, hop=hop, blend="taper"), name, frames, 24, hop, top)
    short = walk(300, 24, 3)
    row["300 frames, waited for"] = waited(lambda: tracks(short, hop=hop, blend="taper"), 20)
    return row


def time_refine() -> dict:
    from smoothnet_core import refine
    from smoothnet_core.inference.torch_on_device import refine_on_device

    result = {}
    for name in ("default", "fast", "published-video"):
        model = load_model(name)
        blend = "uniform" if model.is_published else "taper"
        for frames in (300, 100_000):
            track = walk(frames, 24, 3)
            how = {"kind": "position", "backend": "triton", "hop": model.hop, "blend": blend}
            row = {"seconds": waited(lambda t=track, m=model, h=how: refine_on_device(t, m, **h), 20)}
            if frames == 300:
                found, wanted = refine_on_device(track, model, **how), refine(track.cpu().numpy(), model=model)
                row["off NumPy"] = float("nan") if found is None else float(np.abs(found.cpu().numpy() - wanted).max())
            result[f"{name}, {frames} frames"] = row
            result[f"{name}, {frames} frames, refine()"] = {
                "seconds": waited(lambda t=track, m=model: refine(t, model=m), 20)
            }
    return result


def prepared(found: list[dict], limit: float, each: float, workers: int) -> None:
    """Compile and check all cases side by side; each gets ``checked``, the worst of its tracks, or ``failed``."""
    waiting, running = [(case, track) for case in found for track in tracks_of(case)], []
    started = time.perf_counter()
    while waiting or running:
        now = time.perf_counter()
        if now - started > limit:
            for case, _ in waiting:
                case.setdefault("failed", f"never started: the others took {limit:.0f} s")
            waiting = []
        while waiting and len(running) < workers:
            case, track = waiting.pop(0)
            command = [sys.executable, __file__, "--prepare", json.dumps([case, track])]
            # A compiler that fails prints more than a pipe holds.
            log = tempfile.TemporaryFile("w+")  # noqa: SIM115
            running.append((case, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT), log, now))
        for entry in list(running):
            case, process, log, since = entry
            late = now - started > limit or now - since > each
            if process.poll() is None and not late:
                continue
            if process.poll() is None:
                process.kill()
            process.wait()
            log.seek(0)
            text = log.read()
            log.close()
            running.remove(entry)
            lines = [line for line in text.splitlines() if line.startswith("RESULT ")]
            phases = [line[6:] for line in text.splitlines() if line.startswith("PHASE ")]
            if lines:
                seen, before = json.loads(lines[-1][7:]), case.get("checked", {})
                case["checked"] = {key: max(value, before.get(key, 0.0)) for key, value in seen.items()}
            else:
                why = "ended" if late else text[-600:]
                where = phases[-1] if phases else "starting"
                case["failed"] = f"{why} after {now - since:.0f} s in the phase: {where}"
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--prepare", help=argparse.SUPPRESS)
    parser.add_argument("--compile-seconds", type=float, default=120)
    parser.add_argument("--case-seconds", type=float, default=90)
    parser.add_argument("--workers", type=int, default=max(1, min(15, (os.cpu_count() or 2) - 1)))
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: nothing to measure")
        return
    if arguments.prepare:
        torch.set_num_threads(1)
        print("RESULT " + json.dumps(prepare(*json.loads(arguments.prepare))))
        return
    started = time.perf_counter()
    import triton

    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,driver_version,clocks.sm,clocks.mem", "--format=csv,noheader"],
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    report: dict = {
        "device": torch.cuda.get_device_name(), "driver": driver, "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "torch": torch.__version__, "triton": triton.__version__, "python": sys.version.split()[0],
    }  # fmt: skip
    text: list[str] = []

    def say(line: str) -> None:
        text.append(line)
        print(line, flush=True)

    def save() -> None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "cuda_inference.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
        (arguments.out / "cuda_inference.txt").write_text("\n".join(text) + "\n", encoding="utf-8")

    def attempt(what: str, run):
        try:
            return run()
        except Exception as error:
            say(f"FAILED {what}: {type(error).__name__}: {str(error)[:300]}")
            report.setdefault("errors", {})[what] = traceback.format_exc()[-2000:]
            return None
        finally:
            save()

    say(" | ".join(f"{key} {value}" for key, value in report.items()))
    found = cases(arguments.sweep)
    attempt(
        "preparation", lambda: prepared(found, arguments.compile_seconds, arguments.case_seconds, arguments.workers)
    )
    say(f"compiled and checked after {time.perf_counter() - started:.0f} s")
    top_row = attempt("ceilings", ceilings) or {}
    report["ceilings"] = top_row
    say(" | ".join(f"{key} {value:.1f}" for key, value in top_row.items()))
    top = top_row.get("bf16 matmul TFLOP/s", float("nan"))
    report["cases"] = found
    for case in sorted(found, key=lambda c: c["sweep"]):
        if "checked" in case and "failed" not in case:
            case["timed"] = attempt(title(case), lambda c=case: time_large(c, top))
        save()
    if not arguments.sweep:
        report["torch_plain"] = {
            f"{name}, {precision}": attempt(
                f"torch {name} {precision}", lambda n=name, p=precision: time_torch(n, p, top)
            )
            for name in NETWORKS
            for precision in ("fp32", "bf16")
        }
        report["refine"] = attempt("refine on device", time_refine)
    attempt("summary", lambda: summary(report, found, say))
    report["seconds"] = time.perf_counter() - started
    say(f"{report['seconds']:.0f} s in all")
    save()


def summary(report: dict, found: list[dict], say) -> None:
    def order(case: dict) -> tuple:
        rate = ((case.get("timed") or {}).get("time last") or {}).get("TFLOP/s", 0.0)
        return case["network"], case["precision"], case["hop"], case["sweep"], -rate

    for case in sorted(found, key=order):
        if "failed" in case:
            say(f"{title(case)}: FAILED {case['failed'][-200:]}")
            continue
        row, checked = case.get("timed") or {}, case.get("checked") or {}
        off, changed = checked.get("error", float("nan")), checked.get("of the change", float("nan"))
        seconds = checked.get("compiled_s", 0.0)
        line = f"{title(case)}: error {off:.1e} ({changed:.1e} of the change), compiled in up to {seconds:.0f} s"
        for key in ("time last", "time first", "paper's size"):
            if key in row:
                r = row[key]
                line += (
                    f"; {key} {r['seconds'] * 1e3:.3f} ms {r['TFLOP/s']:.0f} TFLOP/s {r['share of bf16 matmul']:.1%}"
                )
                line += f" x{r['times the paper']:.0f} paper" if "times the paper" in r else ""
        for key in ("queued", "waited for", "graph", "graph, waited for"):
            if f"300 frames, {key}" in row:
                line += f"; 300 {key} {row[f'300 frames, {key}'] * 1e6:.0f} us"
        say(line)
    for name, row in (report.get("torch_plain") or {}).items():
        if row:
            short = row["300 frames, waited for"] * 1e6
            say(f"torch {name}: {row['frames/s']:.3g} frames/s {row['TFLOP/s']:.1f} TFLOP/s; 300 {short:.0f} us")
    for name, row in (report.get("refine") or {}).items():
        off = f", off NumPy {row['off NumPy']:.1e}" if "off NumPy" in row else ""
        say(f"on the device {name}: {row['seconds'] * 1e6:.0f} us{off}")


if __name__ == "__main__":
    main()
