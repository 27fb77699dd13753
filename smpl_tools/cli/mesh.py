"""``smoothnet mesh``: the bodies of a motion of SMPL poses as meshes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smpl_tools.cli._paths import check_free, is_in
from smpl_tools.cli._shared import (
    BODIES,
    GENDERS,
    UPS,
    about,
    console,
    counted,
    fps_option,
    models_option,
    name_option,
    print_json,
    printable,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from smpl_tools.bodies.body_model import BodyModel
    from smpl_tools.motion import Motion, Person

# Those of smpl_tools.bodies.meshes.
MESH_UNITS = ("m", "cm", "mm")
SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".npz")


def mesh(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="Motion file or folder with SMPL poses.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="What to write: .glb or .gltf, the animated bodies; .obj or .ply, a file for each of --frames; .npz, "
            "the vertices of every frame.",
        ),
    ],
    body: Annotated[
        str,
        name_option(BODIES, "Body: free needs no model files; the others take them from --models."),
    ] = "free",
    models: Annotated[
        Path | None,
        models_option(),
    ] = None,
    gender: Annotated[
        str | None,
        name_option(GENDERS, "In place of what the file says."),
    ] = None,
    stature: Annotated[float | None, typer.Option(help="Height of the free body in metres.")] = None,
    frames: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Frames for .obj and .ply, such as 0,10,20-30. Default: the first."),
    ] = None,
    up: Annotated[str, name_option(UPS, "Axis to point up.")] = "y",
    unit: Annotated[str, name_option(MESH_UNITS, "Unit of lengths.")] = "m",
    person: Annotated[str | None, typer.Option(metavar="ID", help="Only this person.")] = None,
    camera: Annotated[
        bool, typer.Option("--camera", help="Poses as the camera sees them, where a file has the world's too.")
    ] = False,
    fps: Annotated[float | None, fps_option("the file says")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing outputs (never the input).")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write the bodies of a motion as meshes, or as one animated model."""
    from smpl_tools import formats
    from smpl_tools.bodies.choice import bodies_for
    from smpl_tools.contents import as_content
    from smpl_tools.convert import only
    from smpl_tools.coordinates import with_unit

    suffix = output.suffix.lower()
    if suffix not in SUFFIXES:
        raise typer.BadParameter(f"expected a name that ends in {', '.join(SUFFIXES)}, received {output.name!r}")
    if suffix in (".glb", ".gltf") and (unit != "m" or up != "y"):
        raise typer.BadParameter("glTF is in metres with y up; --unit and --up go with .obj, .ply and .npz")
    if frames is not None and suffix not in (".obj", ".ply"):
        raise typer.BadParameter("--frames goes with .obj and .ply")
    if stature is not None and body != "free":
        raise typer.BadParameter("--stature goes with --body free; other bodies have the file's betas")
    if is_in(output, source):
        raise typer.BadParameter(f"the output {output} is the input {source} or lies in it; name another")
    motion = formats.read(source, fps=fps)
    with about(source):
        if person is not None:
            motion = only(motion, [person])
        plain, notes = as_content(motion, "smpl", camera=camera)
        plain = with_unit(plain, 1.0)
    remarks = [*notes]
    if body == "free" and any((p.betas is not None and p.betas.any()) or "betas" in p.tracks for p in plain.people):
        remarks.append("the file's betas are SMPL's and mean nothing to the free body (--stature sets its height)")
    made = bodies_for(plain.people, body, folder=models, gender=gender, stature=stature)
    with about(source, output, f"{output.stem}_"):
        if suffix in (".glb", ".gltf"):
            written = _animated(plain, made, output, force, remarks)
        elif suffix == ".npz":
            written = _vertices(_one(plain), made, plain.fps, output, up, unit, force, remarks)
        else:
            written = _frames(_one(plain), made, output, _numbers(frames), up, unit, force, remarks)
    for licence in dict.fromkeys(model.licence for model in made.values() if model.licence):
        remarks.append(licence)
    if json:
        print_json({"input": str(source), "files": [str(path) for path in written], "notes": remarks})
        return
    out = console()
    shown = printable(written[0]) if len(written) == 1 else f"{printable(written[0])} and {len(written) - 1} more"
    out.print(f"{printable(source)} -> {shown}", soft_wrap=True)
    count = len(next(iter(made.values())).vertices) if made else 0
    out.print(f"  body {body}, {count:,} vertices, {counted(plain.frame_count, 'frame')}")
    for note in dict.fromkeys(remarks):
        out.print(f"  note: {printable(note)}", soft_wrap=True)


def _numbers(text: str | None) -> list[range] | None:
    """Return the frame numbers of a list such as ``0,10,20-30``; as ranges, since nobody has a thousand million."""
    if text is None:
        return None
    numbers: list[range] = []
    for entry in text.split(","):
        first, dash, last = entry.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise typer.BadParameter(f"expected numbers such as 0,10,20-30, received {text!r}", param_hint="--frames")
        numbers.append(range(int(first), int(last or first) + 1))
    return numbers


def _one(motion: Motion) -> Person:
    if len(motion.people) != 1:
        ids = ", ".join(person.id for person in motion.people) or "nobody"
        raise ValueError(f"{motion.path}: people: expected one (--person chooses one), received {ids}")
    return motion.people[0]


def _placed(person: Person, model: BodyModel, up: str, remarks: list[str]) -> tuple[Any, Any, Any, Any]:
    """Return rotations, betas, translation and expression in a scene with that axis up."""
    from smpl_tools.bodies.person_body import person_body
    from smpl_tools.coordinates import with_up
    from smpl_tools.motion import Motion

    betas = None if model.name == "free" else person_body(person, model).betas
    pelvis = model.joint_places[0]
    if betas is not None and betas.ndim == 1:
        pelvis = pelvis + model.shape_joints[0][:, : len(betas)] @ betas
    motion = with_up(Motion("", (person,), None), up, pelvis=pelvis)  # type: ignore[arg-type]
    found = person_body(motion.people[0], model)
    if model.name != "free":
        remarks += found.notes
    return found.rotations, betas, found.transl, found.expression


def _animated(
    motion: Motion, models: dict[str, BodyModel], output: Path, force: bool, remarks: list[str]
) -> list[Path]:
    import numpy as np

    from smpl_tools.bodies.gltf_body import MovingBody, write_bodies

    if motion.fps is None:
        raise ValueError(f"{motion.path}: frame rate: expected one (--fps gives it), received none")
    bodies = []
    for person in motion.people:
        rotations, betas, transl, _ = _placed(person, models[person.id], "y", remarks)
        if betas is not None and betas.ndim == 2:
            remarks.append("the shape changes over time: its mean is taken, as glTF knows one shape")
            betas = np.nanmean(betas, axis=0)
        place = np.zeros((len(rotations), 3)) if transl is None else transl
        name = person.id if len(motion.people) > 1 else "person"
        bodies.append(MovingBody(name, models[person.id], rotations, place, betas, person.frames))
    check_free(output, force)
    write_bodies(output, bodies, motion.fps)
    return [output]


def _vertices(
    person: Person,
    models: dict[str, BodyModel],
    fps: float | None,
    output: Path,
    up: str,
    unit: str,
    force: bool,
    remarks: list[str],
) -> list[Path]:
    import numpy as np

    from smpl_tools.bodies.meshes import write_vertices_npz
    from smpl_tools.bodies.posing import posed_vertices

    if fps is None:
        raise ValueError("frame rate: expected one (--fps gives it), received none")
    model = models[person.id]
    rotations, betas, transl, expression = _placed(person, model, up, remarks)
    blocks: Iterator[NDArray[np.floating]] = posed_vertices(
        model, rotations, betas, transl, expression, dtype=np.float32
    )
    check_free(output, force)
    write_vertices_npz(
        output,
        blocks,
        model.faces,
        count=len(rotations),
        fps=fps,
        unit=unit,
        frame_numbers=person.frames,
        licence=model.licence,
    )
    return [output]


def _frames(
    person: Person,
    models: dict[str, BodyModel],
    output: Path,
    wanted: list[range] | None,
    up: str,
    unit: str,
    force: bool,
    remarks: list[str],
) -> list[Path]:
    from smpl_tools.bodies.meshes import write_mesh
    from smpl_tools.bodies.posing import posed_vertices

    model = models[person.id]
    rows = {int(frame): row for row, frame in enumerate(person.frames)}
    if not rows:
        raise ValueError(f"frames of person {person.id}: expected at least one, received none")
    numbers: list[int] = []
    for number in [next(iter(rows))] if wanted is None else itertools.chain.from_iterable(wanted):
        if number not in rows:
            span = f"{person.frames[0]} to {person.frames[-1]}"
            raise ValueError(f"--frames: expected frames of person {person.id}, {span}, received {number}")
        numbers.append(number)
    rotations, betas, transl, expression = _placed(person, model, up, remarks)
    paths = [output] if len(numbers) == 1 else [output.with_stem(f"{output.stem}_{n:06d}") for n in numbers]
    for path in paths:
        check_free(path, force)
    chosen = [rows[number] for number in numbers]
    made = iter(paths)
    for block in posed_vertices(model, rotations, betas, transl, expression, frames=chosen):
        for vertices in block:
            write_mesh(next(made), vertices, model.faces, unit=unit, licence=model.licence)
    return paths
