"""``smoothnet models``: the models that come with the package."""

from __future__ import annotations

from typing import Annotated

import typer

from smpl_tools.cli._shared import console, print_json, printable, table


def models(json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """List the shipped models.

    With the network, the data it was trained on, window and hop in frames, frame rate and number of parameters.
    """
    from smoothnet_core import load_model, shipped_models

    found = shipped_models()
    sizes = {name: sum(t.size for t in load_model(name).tensors.values()) for name in found}
    if json:
        print_json([{**metadata, "name": name, "parameters": sizes[name]} for name, metadata in found.items()])
        return
    rows = table("name", "network", "window", "hop", "fps", "parameters", left=2)
    for name, metadata in found.items():
        said = [printable(metadata.get(key, "-")) for key in ("architecture", "window", "hop")]
        rate = metadata.get("fps")
        rows.add_row(name, *said, "any" if rate is None else f"{rate:g}", f"{sizes[name]:,}")
    out = console()
    out.print(rows)
    for name, metadata in found.items():
        about = printable(metadata.get("configuration", {}).get("about", metadata["architecture"]))
        out.print(f"{name}: {about}. Trained on {printable(metadata.get('data', 'data not stated'))}", soft_wrap=True)
