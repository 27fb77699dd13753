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
    from smpl_tools.pairs.paired_set import Job, Result
    from smpl_tools.pairs.stage import Settings

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
    errors_of: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="In place of pictures and an estimator: errors drawn from a model that is fitted to the training "
            "clips of this paired set.",
        ),
    ] = None,
    drawn: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="In place of every motion before every camera: N clips of a few seconds, drawn at random from all "
            "motions, mirrored, re-timed, tilted, with limbs of another motion, by another body before another camera.",
        ),
    ] = None,
    tilted: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="With --drawn: how many of the clips show somebody who lies, falls or stands on the hands. "
            "[default: 0.15]",
        ),
    ] = None,
    tumbling: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="With --drawn: how many of the other clips show somersaults and cartwheels. [default: 0]",
        ),
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="SUBJECTS", help="Comma-separated, whose motions are not rendered.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Clips that are made at the same time.")] = 1,
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
        typer.Option(metavar="SUBJECTS", help="Comma-separated, to validate on, or none. Default: every fifth."),
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

    if drawn and (cameras != "2" or bodies != 1 or occluders):
        raise ValueError("--drawn: expected no --cameras, --bodies or --occluders, which it draws itself, received one")

    for option, share in (("--tilted", tilted), ("--tumbling", tumbling)):
        if share is not None and not drawn:
            raise ValueError(f"{option}: expected --drawn beside it, received {share:g} alone")

    if errors_of is not None and (estimator != "mediapipe" or occluders or pictures):
        raise ValueError(
            "--errors-of: expected no --estimator, --occluders or --pictures, since nothing is rendered, received one"
        )

    from smpl_tools.pairs.drawn import TILTED
    from smpl_tools.pairs.estimator import given_estimator
    from smpl_tools.pairs.motions import read_motions
    from smpl_tools.pairs.paired_set import drawn_jobs, grid_jobs, subjects_in, write_splits
    from smpl_tools.pairs.simulated import errors_like
    from smpl_tools.pairs.stage import Settings

    settings = Settings(
        errors_like(errors_of, chosen, fps) if errors_of else given_estimator(estimator, timeout, mediapipe_python),
        chosen,
        _views(cameras),
        bodies,
        occluders,
        size,
        fps,
        seed,
    )
    sources = read_motions(inputs, motion_fps, by_folder=by_folder, leave_out=comma_list(leave_out) or ())
    shares = (TILTED if tilted is None else tilted, tumbling or 0.0)
    planned = drawn_jobs(sources, drawn, settings, *shares) if drawn else grid_jobs(sources, settings)
    names = [job.name for job in planned]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(
            f"names of the clips: expected different ones, received {twice} twice; rename a motion file, or --by-folder"
        )
    subjects = [] if validation == ["none"] else comma_list(validation) if validation else None
    if subjects is not None:
        there = {subject for found in subjects_in(output).values() for subject in found}
        known = {source.subject for source in sources} | there
        if not set(subjects) <= known:
            raise mismatch("subjects to validate on", "some of " + ", ".join(sorted(known)), ", ".join(subjects))
    output.mkdir(parents=True, exist_ok=True)
    results = _made(planned, settings, output, jobs, force=force, pictures=pictures)
    if not results:
        raise ValueError(f"{output}: no clip could be made")
    splits = write_splits(output, subjects)
    _show(results)
    console().print(", ".join(f"{name}: {counted(len(clips), 'clip')}" for name, clips in splits.items()))
    if len(results) < len(planned):
        raise typer.Exit(SOME_FAILED)


def _made(
    planned: list[Job], settings: Settings, output: Path, jobs: int, *, force: bool, pictures: bool
) -> list[Result]:
    """Make the clips, in the order of the plan as seen from outside; what fails is said and left out."""
    from concurrent.futures import ThreadPoolExecutor

    from smpl_tools.pairs.paired_set import make_clip

    results: list[Result] = []
    screen = console(stderr=True)
    # Threads are enough: the estimator, which takes most of the time, is a process of its own.
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [
            pool.submit(make_clip, job, settings, output, force=force, keep_pictures=pictures) for job in planned
        ]
        try:
            for count, (job, made) in enumerate(zip(planned, waiting, strict=True), 1):
                progress = f"{count} of {len(planned)}: {printable(job.name)}"
                try:
                    with screen.status(progress):
                        results.append(made.result())
                except (ValueError, OSError) as error:
                    if len(planned) == 1:
                        raise
                    complain(f"{job.name}: {error}")
                else:
                    screen.print(progress)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


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
