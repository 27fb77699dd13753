"""``smoothnet fit``: SMPL poses from the joints of a motion, or from the vertices of a body."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from smpl_tools.cli._paths import check_free, is_in
from smpl_tools.cli._shared import (
    BODIES,
    GENDERS,
    UNITS,
    about,
    console,
    fps_option,
    from_up_option,
    kind_option,
    models_option,
    name_option,
    number,
    one_name_of,
    print_json,
    printable,
)

FITTED = ("skeleton", *BODIES)


def fit(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Motion with 3D joints, or vertices (.npz, .npy) of the body.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    to: Annotated[str, typer.Option(metavar="NAME", help="Format of the output, one that holds SMPL poses.")] = "amass",
    body: Annotated[
        str | None,
        name_option(
            FITTED,
            "What is fitted; skeleton: 24 joints whose bones get the lengths that fit. Default: skeleton for "
            "joints, free for vertices.",
        ),
    ] = None,
    models: Annotated[
        Path | None,
        models_option(),
    ] = None,
    gender: Annotated[
        str,
        name_option(GENDERS, "Of the body."),
    ] = "neutral",
    person: Annotated[str | None, typer.Option(metavar="ID", help="Only this person.")] = None,
    fps: Annotated[float | None, fps_option("the file says")] = None,
    from_up: Annotated[
        str | None,
        from_up_option(),
    ] = None,
    from_unit: Annotated[
        str | None,
        name_option(UNITS, "Unit of the joints, in place of what is known."),
    ] = None,
    kind: Annotated[str | None, kind_option("a plain array holds")] = None,
    fill: Annotated[bool, typer.Option("--fill", help="Fill gaps by interpolation in time.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output (never the input).")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find the poses, the place and the shape with which a body's joints or vertices lie nearest to those given.

    Positions do not tell how a limb is turned about itself: it is turned least. The error is printed.
    """
    from smpl_tools.bodies.fitted_motion import fitted_joints, fitted_vertices, vertices_of
    from smpl_tools.convert import make, makeable, prepared_for
    from smpl_tools.formats import FORMATS

    if is_in(output, source):
        raise typer.BadParameter(f"the output {output} is the input {source} or lies in it; name another")
    one_name_of(tuple(name for name in makeable() if "smpl" in FORMATS[name].contents), "--to")(to)
    check_free(output, force)
    remarks: list[str] = []
    vertices = vertices_of(source)
    if vertices is not None and body == "skeleton":
        raise typer.BadParameter("--body skeleton has no vertices", param_hint="--body")
    model = _body(body or ("skeleton" if vertices is None else "free"), models, gender)
    with about(source):
        if vertices is not None:
            points, rate, frames = vertices
            up: Any = from_up or "y"
            motion, reports = fitted_vertices(points, model, fps=fps or rate, up=up, frames=frames)
        else:
            motion, reports = fitted_joints(_read(source, kind, fps, person, from_up, from_unit, remarks), model)
        ready, notes = prepared_for(motion, to, fill=fill)
    check_free(output, force)
    with about(source, output):
        make(ready, to, output)
    if json:
        people = [dataclasses.asdict(report) for report in reports]
        print_json(
            {"input": str(source), "output": str(output), "format": to, "people": people, "notes": [*remarks, *notes]}
        )
        return
    out = console()
    out.print(f"{printable(source)} -> {printable(output)}", soft_wrap=True)
    for report in reports:
        who = f"person {printable(report.person)}: " if len(reports) > 1 else ""
        frames = f"{report.fitted_frames:,} of {report.frames:,} frames fitted, {report.converged_frames:,} converged"
        off = f"off by {number(report.mean_mm, 'mm')} on average, {number(report.max_mm, 'mm')} at most"
        out.print(f"  {who}{frames}; {off}", soft_wrap=True)
    for note in (*remarks, *notes):
        out.print(f"  note: {printable(note)}", soft_wrap=True)


def _read(
    source: Path,
    kind: str | None,
    fps: float | None,
    person: str | None,
    up: str | None,
    unit: str | None,
    remarks: list[str],
) -> Any:
    from smpl_tools import formats
    from smpl_tools.contents import as_content
    from smpl_tools.convert import only
    from smpl_tools.coordinates import assuming, stated_units
    from smpl_tools.rigs.guesses import with_guesses

    motion = formats.read(source, kind=kind, fps=fps)
    motion = motion if person is None else only(motion, [person])
    motion, _ = as_content(motion, "joints")
    if up or unit:
        motion = assuming(motion, up=up, metres=UNITS.get(unit or ""))  # type: ignore[arg-type]
    motion, guesses = with_guesses(motion)
    remarks += guesses
    if not stated_units(motion):
        raise ValueError(f"{source}: unit of the joints: expected m, cm, mm or in (--from-unit says it), received none")
    return motion


def _body(name: str, models: Path | None, gender: str) -> Any:
    import numpy as np

    from smpl_tools.bodies.choice import body_for
    from smpl_tools.motion import Person
    from smpl_tools.skeleton import SMPL

    if name == "skeleton":
        return SMPL
    return body_for(Person("0", {}, np.empty(0, np.int64)), name, folder=models, gender=gender)
