"""``smoothnet pairs``: exact truth and an estimator's output, from rendered people that any motion moves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smoothnet_core._checks import mismatch
from smpl_tools.cli._shared import (
    SOME_FAILED,
    comma_list,
    complain,
    console,
    counted,
    frame_rate,
    number,
    one_name_of,
    printable,
    table,
)

if TYPE_CHECKING:
    from smpl_tools.pairs.camera import View
    from smpl_tools.pairs.paired_set import Result

MODES = ("static", "video", "video smoothed")
PYTHON_VARIABLE = "SMOOTHNET_MEDIAPIPE_PYTHON"


def pairs(
    inputs: Annotated[list[Path], typer.Argument(metavar="MOTION", help="Motion files of any format that is read.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the clips and splits.json.")],
    cameras: Annotated[
        str, typer.Option(metavar="N|FILE", help="How many cameras around the person, or a JSON file that lists them.")
    ] = "2",
    bodies: Annotated[int, typer.Option(min=1, help="Different bodies that each motion moves.")] = 1,
    occluders: Annotated[int, typer.Option(min=0, help="Things in the way, in every clip.")] = 0,
    size: Annotated[int, typer.Option(min=64, max=2048, help="Width and height of the pictures in pixels.")] = 448,
    fps: Annotated[float, typer.Option(help="Frames a second of the clips.", callback=frame_rate)] = 30.0,
    motion_fps: Annotated[
        float | None,
        typer.Option(help="Frames a second of the motions, in place of what they say.", callback=frame_rate),
    ] = None,
    estimator: Annotated[
        str, typer.Option(metavar="COMMAND", help="Estimator to run on the pictures, or mediapipe; see docs/pairs.md.")
    ] = "mediapipe",
    modes: Annotated[
        list[str] | None, typer.Option(metavar="NAMES", help=f"Comma-separated, of {', '.join(MODES)}. Default: all.")
    ] = None,
    mediapipe_python: Annotated[
        str | None, typer.Option(envvar=PYTHON_VARIABLE, metavar="FILE", help="Python that has MediaPipe 0.10.21.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that the estimator may take for one clip.")] = 3600.0,
    by_folder: Annotated[
        bool, typer.Option("--by-folder", help="Files of one folder are of one subject; otherwise each is of its own.")
    ] = False,
    validation: Annotated[
        list[str] | None,
        typer.Option(metavar="SUBJECTS", help="Comma-separated, to validate on. Default: every fifth, none of one."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of bodies, cameras, colours and occluders.")] = 0,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Keep the pictures, in a folder of the clip's name in the output.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Make clips again that are there.")] = False,
) -> None:
    """Render people moved by motions, run an estimator on them, write a paired set.

    Clips that are there already are kept, so that an interrupted run goes on where it stopped. What fails is left out,
    and the exit status is 3.
    """
    chosen = tuple(comma_list(modes) or MODES)
    for mode in chosen:
        one_name_of(MODES, "--modes")(mode)

    from smpl_tools.pairs.estimator import given_estimator
    from smpl_tools.pairs.paired_set import make_clip, read_motion, subjects_in, write_splits
    from smpl_tools.pairs.stage import Settings, clips_of

    settings = Settings(
        given_estimator(estimator, timeout, mediapipe_python),
        chosen,
        _views(cameras),
        bodies,
        occluders,
        size,
        fps,
        seed,
    )
    motions = [read_motion(path, motion_fps) for path in inputs]
    jobs = [
        (clip, motion)
        for path, motion in zip(inputs, motions, strict=True)
        for clip in clips_of(path, motion, settings, by_folder=by_folder)
    ]
    names = [clip.name for clip, _ in jobs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(
            f"names of the clips: expected different ones, received {twice} twice; rename a motion file, or --by-folder"
        )
    subjects = comma_list(validation) if validation else None
    if subjects is not None:
        known = {clip.subject for clip, _ in jobs} | set(subjects_in(output).values())
        if not set(subjects) <= known:
            raise mismatch("subjects to validate on", "some of " + ", ".join(sorted(known)), ", ".join(subjects))
    output.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    screen = console(stderr=True)
    for count, (clip, motion) in enumerate(jobs, 1):
        try:
            with screen.status(f"{count} of {len(jobs)}: {printable(clip.name)}"):
                results.append(make_clip(clip, motion, settings, output, force=force, keep_pictures=pictures))
        except (ValueError, OSError) as error:
            if len(jobs) == 1:
                raise
            complain(f"{clip.name}: {error}")
        else:
            screen.print(f"{count} of {len(jobs)}: {printable(clip.name)}")
    if not results:
        raise ValueError(f"{output}: no clip could be made")
    splits = write_splits(output, subjects)
    _show(results)
    console().print(", ".join(f"{name}: {counted(len(clips), 'clip')}" for name, clips in splits.items()))
    if len(results) < len(jobs):
        raise typer.Exit(SOME_FAILED)


def _views(text: str) -> tuple[View, ...] | int:
    from smpl_tools.pairs.camera import read_views

    if text.isdecimal() and int(text) > 0:
        return int(text)
    return tuple(read_views(Path(text)))


def _show(results: list[Result]) -> None:
    shown = table("clip", "mode", "frames", "pictures/s", "found %", "MPJPE mm", left=2)
    for result in results:
        about = (result.name, str(result.frames), number(result.render_fps))
        for mode, found in result.found.items():
            name, frames, rate = about
            shown.add_row(name, mode, frames, rate, f"{100 * found:.0f}", number(result.mpjpe_mm[mode]))
            about = ("", "", "")
    console().print(shown)
