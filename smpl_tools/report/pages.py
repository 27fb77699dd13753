"""The page of a report: one HTML file that holds its data, its programs and their libraries, and asks for nothing."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from smpl_tools.formats._files import replacing
from smpl_tools.motion import Motion
from smpl_tools.report.data import report_data
from smpl_tools.report.packing import packed

_OWN = Path(__file__).parent / "page"
# In an installed package the libraries lie inside it; in a source tree they are assets.
_LIBRARIES = (Path(__file__).parent / "libraries", Path(__file__).parents[2] / "assets" / "web")
# By the names that modules import them under; Plotly is a plain script.
LIBRARIES = {
    "three-core": "three.core.js",
    "three": "three.module.js",
    "three/addons/controls/OrbitControls.js": "OrbitControls.js",
    "plotly": "plotly-basic.min.js",
}


def page(data: bytes, title: str, *, live: str | None = None) -> str:
    """Return the HTML of a report.

    Args:
        data: of :func:`smpl_tools.report.data.report_data`.
        title: of the page, any text.
        live: the version of the data, for a page that asks its server for a newer one; None for a file of its own.
    """
    parts = [("data", packed(data))]
    for name, file in LIBRARIES.items():
        folder = next((folder for folder in _LIBRARIES if (folder / file).is_file()), _LIBRARIES[0])
        parts.append((f"library:{name}", packed((folder / file).read_bytes())))
    for path in sorted(_OWN.glob("*.js")):
        if path.name != "boot.js":
            parts.append((f"module:{path.stem}", packed(path.read_bytes())))
    blocks = [f'<script type="text/plain" data-part="{name}">{text}</script>' for name, text in parts]
    connect = "'none'" if live is None else "'self'"
    filled = {
        "title": html.escape(title),
        "connect": connect,
        "live": html.escape(live or ""),
        "style": (_OWN / "page.css").read_text(encoding="utf-8"),
        "boot": (_OWN / "boot.js").read_text(encoding="utf-8"),
        "parts": "\n".join(blocks),
    }
    pieces = (_OWN / "page.html").read_text(encoding="utf-8").split("{{")
    made = [pieces[0]]
    for piece in pieces[1:]:
        name, rest = piece.split("}}", 1)
        made += [filled[name], rest]
    return "".join(made)


def title_of(motions: list[Motion]) -> str:
    """Return what to call a report of these motions."""
    return " · ".join(m.path.name if m.path is not None else m.format for m in motions)


def write_report(
    path: Path, before: Motion, after: Motion | None = None, truth: Motion | None = None, **how: Any
) -> int:
    """Write a report, whole or not at all.

    Args:
        path: of the HTML file.
        before: the motion as captured.
        after: the same motion refined.
        truth: the true motion.
        how: ``person``, ``unit``, ``body``, ``body_model`` and ``share_template`` of
            :func:`smpl_tools.report.data.report_data`.

    Returns:
        The file's size in bytes.

    Raises:
        ValueError: see there, or nothing can be written there.
    """
    data = report_data(before, after, truth, **how)
    content = page(data, title_of([m for m in (before, after, truth) if m is not None])).encode()
    with replacing(path) as file:
        file.write(content)
    return len(content)
