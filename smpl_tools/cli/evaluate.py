"""``smoothnet evaluate``: the errors of a motion against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from smpl_tools.cli._shared import (
    BODIES,
    UNITS,
    about,
    comma_list,
    console,
    fps_option,
    kind_option,
    models_option,
    name_option,
    number,
    one_name_of,
    order_option,
    print_json,
    printable,
    table,
)


def evaluate(
    estimate: Annotated[Path, typer.Argument(metavar="ESTIMATE", help="Motion file or folder to judge.")],
    groundtruth: Annotated[
        Path, typer.Argument(metavar="GROUNDTRUTH", help="The true motion, same people and joints.")
    ],
    root: Annotated[
        list[str] | None,
        typer.Option(
            metavar="JOINTS",
            help="Joints (names or numbers) whose mean is subtracted before distances are taken; none: nothing is."
            " Default: the hips, where known.",
        ),
    ] = None,
    joints: Annotated[
        list[str] | None, typer.Option(metavar="JOINTS", help="Joints to compare (names or numbers). Default: all.")
    ] = None,
    hands: Annotated[bool, typer.Option("--hands", help="Compare the fingers of rotation motions as well.")] = False,
    unit: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Unit of positions in both files: {', '.join(UNITS)}. Default: the format's, or told by size.",
            callback=one_name_of(tuple(UNITS)),
        ),
    ] = None,
    body: Annotated[
        str | None,
        name_option(BODIES, "Pose this body as both and add the error of its vertices (MPVPE)."),
    ] = None,
    models: Annotated[
        Path | None,
        models_option(),
    ] = None,
    fps: Annotated[float | None, fps_option("the files say")] = None,
    kind: Annotated[str | None, kind_option("plain arrays hold")] = None,
    order: Annotated[str | None, order_option()] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare a motion with the truth.

    Errors in millimetres (2D: pixels), speed and jitter relative to the truth's. Motions of rotations are compared by
    the positions of their joints on the same skeleton, and by angle. JOINTS are separated by commas.
    """
    from smpl_tools import formats
    from smpl_tools.evaluation import evaluate_motions, vertex_metrics

    judged, truth = (formats.read(path, kind=kind, fps=fps, order=order) for path in (estimate, groundtruth))
    with about(estimate, groundtruth):
        found = evaluate_motions(
            judged,
            truth,
            root=comma_list(root) or None,
            joints=comma_list(joints) or None,
            unit=unit,
            hands=hands,
        )
        if body is not None:
            found["body"] = body
            found["metrics"] |= vertex_metrics(judged, truth, body, models, root=comma_list(root) != ["none"])
    if json:
        print_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    out = console()
    out.print(f"{printable(found['estimate'])} against {printable(found['groundtruth'])}", soft_wrap=True)
    missing = f", {found['missing_frames']} of them not in the estimate" if found["missing_frames"] else ""
    out.print(f"  {found['frames']} frames{missing}; {len(found['joints'])} joints")
    rate = f"{found['fps']:g} fps{' (assumed)' if found['fps_assumed'] else ''}"
    unit = f"positions in {found['unit']}{' (told by size; set --unit)' if found['unit_assumed'] else ''}"
    root = f"root {', '.join(map(printable, found['root'])) or 'not subtracted'}"
    how = "; joint positions by forward kinematics" if found["forward_kinematics"] else ""
    out.print(f"  {rate}; {unit}; {root}{how}", soft_wrap=True)
    rows = table("measure", "mean", "worst 1 % of frames")
    values = found["metrics"]
    for name, value in values.items():
        if not name.endswith("_worst_1_percent"):
            rows.add_row(name, number(value), number(values.get(f"{name}_worst_1_percent")))
    out.print(rows)
