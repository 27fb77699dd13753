"""``smoothnet formats``: what can be read, refined, and written anew."""

from __future__ import annotations

from typing import Annotated

import typer

from smpl_tools.cli._shared import console, print_json, table


def formats(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """List the formats of motion files: their names, what is read, and what new files of them hold."""
    from smpl_tools.contents import CONTENTS
    from smpl_tools.formats import FORMATS

    if json:
        print_json(
            [
                {
                    "name": one.name,
                    "title": one.title,
                    "suffixes": list(one.suffixes),
                    "folder": not one.suffixes,
                    "read": one.read is not None,
                    "new": one.make is not None,
                    "holds": list(one.contents),
                    "keeps": list(one.keeps),
                    "up": one.up,
                    "metres": one.metres,
                    "fps": one.fps,
                }
                for one in FORMATS.values()
            ]
        )
        return
    rows = table("name", "what", "files", "read", "new files hold", left=5)
    for one in FORMATS.values():
        held = ", ".join(CONTENTS[content] for content in one.contents) or "-"
        rows.add_row(one.name, one.title, " ".join(one.suffixes) or "folder", "yes" if one.read else "-", held)
    console().print(rows)
