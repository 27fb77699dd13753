"""``smoothnet info``: what a motion file holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smpl_tools.cli._shared import (
    about,
    console,
    fps_option,
    kind_option,
    number,
    order_option,
    print_json,
    printable,
    table,
)

if TYPE_CHECKING:
    from smpl_tools.motion import Motion, Person

_MOST_ROWS = 24


def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Motion file or folder.")],
    fps: Annotated[float | None, fps_option("the file says")] = None,
    kind: Annotated[str | None, kind_option("a plain array holds")] = None,
    order: Annotated[str | None, order_option()] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show what a motion file holds.

    Format, frames, people, the gaps in which they are missing, their tracks and how much these jitter.
    """
    from smpl_tools import formats

    motion = formats.read(file, kind=kind, fps=fps, order=order)
    with about(file):
        document = describe(motion, formats.FORMATS[motion.format].title)
    if json:
        print_json(document)
    else:
        _show(document)


def describe(motion: Motion, title: str) -> dict[str, Any]:
    """Return what is known of a motion, as JSON has it."""
    from smpl_tools.measures import ASSUMED_FPS

    rate = motion.fps or ASSUMED_FPS
    return {
        "path": str(motion.path),
        "format": motion.format,
        "title": title,
        "frames": motion.frame_count,
        "duration_s": motion.frame_count / rate,
        "fps": rate,
        "fps_assumed": motion.fps is None,
        "image_size": motion.image_size,
        "skeleton_joints": None if motion.skeleton is None else list(motion.skeleton.joints),
        "people": [_person(motion, person, rate) for person in motion.people],
        "notes": list(motion.notes),
    }


def _person(motion: Motion, person: Person, fps: float) -> dict[str, Any]:
    import numpy as np

    breaks = np.flatnonzero(np.diff(person.frames) > 1)
    return {
        "id": person.id,
        "frames": len(person.frames),
        "first_frame": int(person.frames[0]) if len(person.frames) else None,
        "last_frame": int(person.frames[-1]) if len(person.frames) else None,
        "gaps": [[int(person.frames[b]) + 1, int(person.frames[b + 1]) - 1] for b in breaks],
        "tracks": [_track(motion, person, name, fps) for name in person.tracks],
    }


def _track(motion: Motion, person: Person, name: str, fps: float) -> dict[str, Any]:
    from smpl_tools.measures import is_observed, jitter, prepared, unit_of

    track = person.tracks[name]
    unit = unit_of(motion, name, track)
    observed, jumps = 0.0, None
    if is_observed(track):
        ready = prepared(track)
        observed, jumps = float(ready.observed.mean()), jitter(ready, person.frames, fps)
    return {
        "name": name,
        "part": track.part,
        "kind": track.kind,
        "joints": list(track.joints),
        "observed": observed,
        "has_confidence": track.confidence is not None,
        "unit": unit.name,
        "jitter_per_s2": None if jumps is None else jumps * unit.factor,
    }


def _show(document: dict[str, Any]) -> None:
    out = console()
    assumed = ", assumed" if document["fps_assumed"] else ""
    out.print(f"{printable(document['path'])}: {document['title']} ({document['format']})", soft_wrap=True)
    out.print(f"  {document['frames']} frames, {document['duration_s']:.2f} s at {document['fps']:g} fps{assumed}")
    if document["image_size"] is not None:
        out.print("  image {:g} x {:g} pixels".format(*document["image_size"]))
    if document["skeleton_joints"] is not None:
        out.print(f"  skeleton of {len(document['skeleton_joints'])} joints")
    people = document["people"]
    out.print(f"  {len(people)} {'person' if len(people) == 1 else 'people'}")
    listed = [(person, track) for person in people for track in person["tracks"]]
    several = [person["id"] for person in people] != ["0"]
    rows = table(*["person"] * several, "track", "part", "kind", "joints", "seen", "jitter", "", left=3 + several)
    for person, track in listed[:_MOST_ROWS]:
        rows.add_row(
            *[printable(person["id"])] * several,
            printable(track["name"]),
            track["part"],
            track["kind"],
            str(len(track["joints"])),
            f"{track['observed']:.1%}",
            number(track["jitter_per_s2"]),
            f"{track['unit']}/s²",
        )
    out.print(rows)
    if len(listed) > _MOST_ROWS:
        out.print(f"  ... and {len(listed) - _MOST_ROWS} more tracks; --json lists them all")
    for person in [p for p in people if p["gaps"]][:_MOST_ROWS]:
        gaps = ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in person["gaps"][:_MOST_ROWS])
        more = ", ..." if len(person["gaps"]) > _MOST_ROWS else ""
        out.print(f"  person {printable(person['id'])} is missing in frames {gaps}{more}", soft_wrap=True)
    for note in document["notes"]:
        out.print(f"  note: {printable(note)}", soft_wrap=True)
