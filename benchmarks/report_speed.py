"""How large a report's page is, how soon it is there, and how many frames a second it plays.

A made-up take of 5,000 frames and 24 joints before, after and in truth, in headless Chromium at 1280x720 that draws
with the processor. Run on a machine that does nothing else:

    python benchmarks/report_speed.py                # three times; also --frames, --times, --body, --chromium
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from smpl_tools.motion import Motion, Person, Track
from smpl_tools.report.pages import write_report
from smpl_tools.skeleton import SMPL

ARGUMENTS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
]
FPS = 60.0
PLAY = """async (seconds) => {
    const { state, player, plots } = smoothnetReport;
    const plotted = plots.drawn;
    state.go(0);
    state.play();
    await new Promise((go) => setTimeout(go, 1500));
    const [drawn, started] = [player.drawn, performance.now()];
    await new Promise((go) => setTimeout(go, 1000 * seconds));
    const rate = (player.drawn - drawn) / (performance.now() - started) * 1000;
    const sharpness = player.sharpness;
    state.play();
    return { rate, sharpness, plotted: plots.drawn - plotted };
}"""


def take(frames: int, name: str, noise: float, seed: int) -> Motion:
    """Return someone who swings all limbs and walks in a circle, with that much jitter in metres, as SMPL poses."""
    generator = np.random.default_rng(0)
    seconds = np.arange(frames)[:, None, None] / FPS
    swing = 0.4 * np.sin(
        2 * np.pi * generator.uniform(0.2, 1.2, (1, 24, 1)) * seconds + generator.uniform(0, 6, (1, 24, 3))
    )
    swing[:, 0] *= 0.3
    way = np.stack([2 * np.sin(seconds / 6), 0.95 + 0 * seconds, 2 * np.cos(seconds / 6)], axis=-1)[:, 0]
    errors = np.random.default_rng(seed)
    # A radian at a joint moves what hangs on it by about a quarter of a metre.
    poses = swing + errors.normal(0, 4 * noise, swing.shape)
    tracks = {
        "global_orient": Track(poses[:, :1], "axis_angle", "root", SMPL.joints[:1], up="y"),
        "body_pose": Track(poses[:, 1:], "axis_angle", "body", SMPL.joints[1:]),
        "transl": Track(
            way + errors.normal(0, noise, way.shape), "position", "root", SMPL.joints[:1], metres=1.0, up="y"
        ),
    }
    return Motion("amass", (Person("0", tracks, np.arange(frames)),), FPS, path=Path(name))


def until(page: Any, condition: str) -> None:
    end = time.monotonic() + 60
    while not page.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < end, f"still not: {condition}"
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="to play each time")
    parser.add_argument("--body", action="store_true", help="draw the licence-free body")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    settings = parser.parse_args()
    from playwright.sync_api import sync_playwright

    motions = [
        take(settings.frames, name, noise, seed)
        for seed, (name, noise) in enumerate((("before.npz", 0.01), ("after.npz", 0.001), ("truth.npz", 0.0)))
    ]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "report.html"
        started = time.perf_counter()
        size = write_report(path, *motions, body=settings.body)
        print(f"written in {time.perf_counter() - started:.2f} s, {size / 1e6:.2f} MB")
        browser = playwright.chromium.launch(executable_path=settings.chromium, args=ARGUMENTS)
        found: list[dict[str, float]] = []
        for _ in range(settings.times):
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            started = time.perf_counter()
            page.goto(path.as_uri(), wait_until="commit")
            until(page, "globalThis.smoothnetReport?.player?.drawn")
            seen = time.perf_counter() - started
            until(page, "globalThis.smoothnetReport.ready")
            ready = time.perf_counter() - started
            found.append({"seen": seen, "ready": ready, **page.evaluate(PLAY, settings.seconds)})
            page.close()
            print("  ".join(f"{name} {value:.2f}" for name, value in found[-1].items()))
        browser.close()
    middle = {name: statistics.median(one[name] for one in found) for name in found[0]}
    print(
        f"median: first picture after {middle['seen']:.2f} s, everything after {middle['ready']:.2f} s,"
        f" {middle['rate']:.1f} frames a second at {middle['sharpness']:.0%} of the pixels along a side,"
        f" {middle['plotted']:.0f} plots drawn meanwhile"
    )


if __name__ == "__main__":
    main()
