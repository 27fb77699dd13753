"""``smoothnet convert``: a motion in another format, other axes, another unit or at another frame rate."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smpl_tools.cli._paths import check_free, is_in
from smpl_tools.cli._shared import (
    UNITS,
    UPS,
    about,
    console,
    counted,
    fps_option,
    frame_rate,
    from_up_option,
    kind_option,
    name_option,
    one_name_of,
    order_option,
    print_json,
    printable,
)

if TYPE_CHECKING:
    from smpl_tools.motion import Motion


# A file system allows 255 for the whole name.
_NAME_BYTES = 120


def convert(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="Motion file or folder.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="File or folder to write; of several people an existing folder gets a file each."
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Format; default: by the output's name. smoothnet formats lists them."),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames a second to change to, by time.", callback=frame_rate)
    ] = None,
    up: Annotated[
        str | None,
        name_option(UPS, "Axis to point up; default: the format's."),
    ] = None,
    unit: Annotated[
        str | None,
        name_option(UNITS, "Unit of lengths; default: the format's."),
    ] = None,
    rig: Annotated[
        Path | None,
        typer.Option(metavar="BVH", help="Put the motion on this character: its bones and names, by rest pose."),
    ] = None,
    fill: Annotated[bool, typer.Option("--fill", help="Fill gaps by interpolation in time.")] = False,
    camera: Annotated[
        bool, typer.Option("--camera", help="Poses as the camera sees them, where a file has the world's too.")
    ] = False,
    person: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Convert only this person; may be repeated.")
    ] = None,
    from_fps: Annotated[float | None, fps_option("the input says")] = None,
    from_up: Annotated[
        str | None,
        from_up_option(),
    ] = None,
    from_unit: Annotated[
        str | None,
        name_option(UNITS, "Unit of the input, in place of what is known."),
    ] = None,
    kind: Annotated[str | None, kind_option("a plain array holds")] = None,
    order: Annotated[str | None, order_option()] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing outputs (never the input).")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Convert a motion to another format.

    What the format cannot hold is named; a format that holds none of what the input carries is refused.
    """
    from smpl_tools import formats
    from smpl_tools.contents import with_smpl_poses
    from smpl_tools.convert import only, prepared_for
    from smpl_tools.coordinates import assuming

    if is_in(output, source):
        raise typer.BadParameter(f"the output {output} is the input {source} or lies in it; name another")
    motion = formats.read(source, kind=kind, fps=from_fps, order=order)
    target = _target(motion, output, to)
    plain_copy = not (rig or fps or up or unit or fill or camera or person or from_up or from_unit)
    if target == motion.format and plain_copy and formats.FORMATS[target].write is not None:
        if output.is_dir() and formats.FORMATS[target].suffixes:
            output = output / source.resolve().name
        if is_in(output, source):
            raise typer.BadParameter(f"the output {output} is the input {source} or lies in it; name another")
        check_free(output, force)
        formats.write(motion, output)
        _report(source, target, [(output, motion)], (), json)
        return
    if from_up or from_unit:
        if target != "array":
            # The root's rotation among a plain array's is told in the scene's axes.
            motion = with_smpl_poses(motion)
        motion = assuming(motion, up=from_up, metres=UNITS.get(from_unit or ""))  # type: ignore[arg-type]
    shape = None if rig is None else _read_rig(rig)
    with about(source):
        motion = only(motion, person or [p.id for p in motion.people])
        ready, notes = prepared_for(
            motion,
            target,
            fps=fps,
            up=up,  # type: ignore[arg-type]
            metres=UNITS.get(unit or ""),
            fill=fill,
            camera=camera,
            rig=shape,
        )
    _write(source, output, target, ready, notes, force, json)


def _read_rig(rig: Path) -> Motion:
    from smpl_tools import formats
    from smpl_tools.contents import as_content

    shape = formats.read(rig)
    with about(rig):
        as_content(shape, "rig")
    return shape


def _write(
    source: Path, output: Path, target: str, ready: Motion, notes: tuple[str, ...], force: bool, json: bool
) -> None:
    from smpl_tools import formats
    from smpl_tools.convert import make, only

    form = formats.FORMATS[target]
    suffix = output.suffix or (form.suffixes[0] if form.suffixes else "")
    places = [(output, ready)]
    if output.is_dir() and form.suffixes:
        stem = source.resolve().name if source.is_dir() else source.resolve().stem
        suffix = form.suffixes[0]
        if len(ready.people) > 1 and "people" not in form.keeps:
            ids = [person.id for person in ready.people]
            places = [(output / f"{stem}.{_file_name(ident)}{suffix}", only(ready, [ident])) for ident in ids]
        else:
            places = [(output / f"{stem}{suffix}", ready)]
    if len({os.path.realpath(path) for path, _ in places}) < len(places):
        ids = ", ".join(person.id for person in ready.people)
        raise ValueError(f"{source}: ids of people: expected different file names, received {ids}")
    for path, _ in places:
        check_free(path, force)
    for path, motion in places:
        with about(source, path):
            make(motion, target, path)
    _report(source, target, places, notes, json)


def _file_name(ident: str) -> str:
    """Return a part of a file's name made of a person's id, whatever that is: no separators, and not too long."""
    name = re.sub(r"[^\w.-]", "_", ident) or "_"
    return name.encode("utf-8", "replace")[:_NAME_BYTES].decode("utf-8", "ignore")


def _target(motion: Motion, output: Path, to: str | None) -> str:
    """Return the format to write: the one asked for, or the one that the output's name tells."""
    from smpl_tools.convert import makeable
    from smpl_tools.formats import FORMATS

    known = makeable()
    suffix = output.suffix.lower()
    if to is not None:
        checked = one_name_of(known, "--to")(to)
        assert checked is not None  # since a name was given
        own = FORMATS[checked].suffixes
        if suffix not in own and any(suffix in form.suffixes for form in FORMATS.values()):
            expected = f"a name that ends in {', '.join(own)}" if own else "a folder"
            raise typer.BadParameter(f"expected {expected} for {checked}, received {output.name!r}")
        return checked
    fitting = [name for name in known if suffix in FORMATS[name].suffixes]
    if motion.format in fitting or (not suffix and motion.format in known):
        return motion.format
    if len(fitting) == 1:
        return fitting[0]
    what = f"several formats end in {suffix}" if fitting else "the output's name tells no format"
    raise typer.BadParameter(f"{what}; name one of {', '.join(fitting or known)}", param_hint="--to")


def _report(source: Path, target: str, places: list[tuple[Path, Motion]], notes: tuple[str, ...], json: bool) -> None:
    if json:
        files: list[dict[str, Any]] = [
            {
                "path": str(path),
                "people": [person.id for person in motion.people],
                "frames": motion.frame_count,
                "fps": motion.fps,
            }
            for path, motion in places
        ]
        print_json({"input": str(source), "format": target, "files": files, "notes": list(notes)})
        return
    out = console()
    for path, motion in places:
        out.print(f"{printable(source)} -> {printable(path)}", soft_wrap=True)
        rate = "frame rate not known" if motion.fps is None else f"{motion.fps:g} fps"
        people = f", {counted(len(motion.people), 'person')}".replace("persons", "people")
        out.print(f"  {target}, {counted(motion.frame_count, 'frame')}, {rate}{people}")
    for note in notes:
        out.print(f"  note: {printable(note)}", soft_wrap=True)
