"""Make the gallery: three takes of pose estimators before and after, from the reference data (``make gallery``).

Each take is refined by ``smoothnet refine`` at its default settings, drawn by ``smoothnet render``, and measured by
what ``refine`` and ``evaluate`` print. The page ``README.md`` beside this file is written by it too.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from smpl_tools.cli.main import main

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared"
LOOK = ["--size", "640x360", "--fps", "30"]

PAGE = """# Gallery

Three takes as pose estimators made them, and the same refined by `smoothnet refine` with the shipped network and
default settings. Takes and seconds were chosen for what can be seen in them; no setting was. The magenta line is the
last second of a wrist's way. Every picture shows one captured frame as it is; nothing is interpolated.

Written by `make gallery`, which needs the reference data in `../shared`.

{takes}
Licences of what the takes were made from: [`licences.md`](licences.md). The pictures themselves are Apache-2.0, as the
rest of the repository.
"""
TAKE = """## {title}

![{title}]({file})

{what}

{change}

```sh
{commands}
```

"""


class Log:
    """Runs ``smoothnet`` in this process and remembers the commands."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, *arguments: str) -> str:
        """Return what a command prints."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            status = main(list(arguments))
        if status:
            raise SystemExit(status)
        self.lines.append(shlex.join(["smoothnet", *(a for a in arguments if a not in ("--force", "--json"))]))
        return printed.getvalue()

    def refine(self, *arguments: str) -> list[dict[str, Any]]:
        """Return what was said of the tracks of a refined file."""
        return json.loads(self("refine", *arguments, "--json", "--force"))["refined"][0]["tracks"]

    def errors(self, *arguments: str) -> dict[str, float]:
        """Return the errors against the truth."""
        return json.loads(self("evaluate", *arguments, "--json"))["metrics"]


def mediapipe() -> str:
    """A kick in real video, seen by MediaPipe."""
    run = Log()
    shutil.copyfile(SHARED / "data/real/mediapipe/cam01_raw.npz", "mediapipe.npz")
    track = run.refine("mediapipe.npz", "-o", "refined.npz")[0]
    run(
        "render",
        "mediapipe.npz",
        "refined.npz",
        "-o",
        "mediapipe.webp",
        "--speed",
        "0.5",
        *LOOK,
        "--trail",
        "left_wrist",
    )
    return TAKE.format(
        title="MediaPipe, 3D",
        file="mediapipe.webp",
        what="A person in real video of 60 frames a second, seen by MediaPipe Pose 0.10.21 with its own smoothing off: "
        "33 landmarks in metres about the hips, at half speed. Feet leave the floor, since all is told from the hips. "
        "There is no truth.",
        change=_jitter(track),
        commands="\n".join(run.lines),
    )


def openpose() -> str:
    """The same video, seen by OpenPose."""
    run = Log()
    shutil.copytree(SHARED / "data/real/openpose/single_cam01", "openpose")
    track = run.refine("openpose", "--fps", "60", "-o", "refined")[0]
    how = ["--from-fps", "60", "--person", "0", "--speed", "0.5", *LOOK, "--trail", "RWrist", "--background", "dark"]
    run("render", "openpose", "refined", "-o", "openpose.webp", *how)
    return TAKE.format(
        title="OpenPose, 2D",
        file="openpose.webp",
        what="The same video, seen by OpenPose (BODY_25B): 2D keypoints of a folder of JSON files, at half speed. What "
        "OpenPose did not see is not drawn; refining fills it. There is no truth.",
        change=_jitter(track),
        commands="\n".join(run.lines),
    )


def dance() -> str:
    """A dance with its exact truth, seen by MediaPipe."""
    run = Log()
    with np.load(SHARED / "data/paired/cmu94_04_indiandance.npz") as archive:
        names = json.loads(str(archive["metadata"]))["joint_names"]
        for array, name in (("est_3d", "dance.csv"), ("gt_3d", "truth.csv")):
            values = archive[array].reshape(len(archive[array]), -1)
            heading = ",".join(f"{joint}_{axis}" for joint in names for axis in "xyz")
            np.savetxt(name, values, "%.5f", ",", header=heading, comments="")
    run.refine("dance.csv", "--fps", "30", "-o", "refined.csv")
    how = ["--from-fps", "30", "--start", "1.5", "--end", "5", *LOOK, "--trail", "left_wrist"]
    how[how.index("640x360")] = "720x360"
    run("render", "dance.csv", "refined.csv", "truth.csv", "-o", "dance.webp", *how)
    before, after = (run.errors(name, "truth.csv", "--fps", "30") for name in ("dance.csv", "refined.csv"))
    return TAKE.format(
        title="MediaPipe against the truth",
        file="dance.webp",
        what="A dance captured with markers (CMU, subject 94, which training did not see) moved a rendered person, and "
        "MediaPipe Pose 0.10.21 saw every picture by itself. So the truth is exact, and the errors are an estimator's "
        "own. 3.5 of 11 seconds; the numbers are of all of them.",
        change=f"MPJPE {before['mpjpe_mm']:.0f} to {after['mpjpe_mm']:.0f} mm, Accel "
        f"{before['accel_mm_per_frame2']:.1f} to {after['accel_mm_per_frame2']:.1f} mm/frame², jitter "
        f"{before['jitter_ratio']:.1f} to {after['jitter_ratio']:.2f} times that of the truth, speed "
        f"{before['speed_ratio']:.2f} to {after['speed_ratio']:.2f} times that of the truth. Poses that are wrong "
        "for long, as a leg that is not lifted high enough, stay wrong: only time is seen.",
        commands="\n".join(run.lines),
    )


def _jitter(track: dict[str, Any]) -> str:
    before, after = track["jitter_before"], track["jitter_after"]
    return (
        f"Jitter {before:,.0f} to {after:,.0f} {track['unit']}/s²; "
        f"{100 * track['speed_kept']:.0f} % of the speed is kept."
    )


def gallery() -> None:
    """Write the pictures and the page."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    if not (SHARED / "data").is_dir():
        raise SystemExit(f"the reference data are not there: {SHARED}")
    takes = []
    for take in (mediapipe, openpose, dance):
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            takes.append(take())
            for made in Path(folder).glob("*.webp"):
                shutil.copyfile(made, HERE / made.name)
                print(f"{made.name}: {made.stat().st_size / 1e6:.2f} MB")
    text = PAGE.format(takes="".join(takes))
    (HERE / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    gallery()
