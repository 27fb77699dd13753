"""The documentation as a site: complete, without anything from elsewhere, and the same as the program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
import typer

from smpl_tools.cli.main import app
from tests.helpers import REPOSITORY

pytest.importorskip("material", reason="the extra `docs` is not installed")
pytest.importorskip("mkdocstrings", reason="the extra `docs` is not installed")


class Links(HTMLParser):
    """Collects what a page fetches by itself and what it leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.led_to: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value}
        self.fetched += [found[name] for name in ("src", "srcset", "poster", "data") if name in found]
        if tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload", "preconnect", "modulepreload"):
            self.fetched.append(found["href"])
        if tag == "a" and "href" in found:
            self.led_to.append(found["href"])


def links(path: Path) -> Links:
    parser = Links()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_nothing_is_fetched_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    elsewhere = re.compile(r"^(https?:)?//")
    wrong = {str(p.relative_to(site)): [a for a in links(p).fetched if elsewhere.match(a)] for p in pages}
    assert {page: found for page, found in wrong.items() if found} == {}
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", text), style.name


def test_every_page_is_reached_from_the_first(site):
    reached, waiting = set(), [site / "index.html"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.is_file():
            continue
        reached.add(page)
        for address in links(page).led_to:
            name = unquote(urldefrag(address)[0])
            if name.endswith(".html") and ":" not in name:
                waiting.append((page.parent / name).resolve())
    assert {str(p.relative_to(site)) for p in site.rglob("*.html")} - {str(p.relative_to(site)) for p in reached} == {
        "404.html"
    }


def test_every_command_and_option_is_in_the_reference(site):
    text = (site / "reference" / "command-line.html").read_text(encoding="utf-8")
    for name, command in typer.main.get_command(app).commands.items():
        section = text.split(f'id="smoothnet-{name}"', 1)[1].split("<h2", 1)[0]
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert option == "-h" or option == "--help" or f"<code>{option}" in section, (name, option)


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("smoothnet_core", ["refine", "repair", "load_model", "OnlineRefiner"]),
        ("smoothnet_core.filters", ["butterworth", "gaussian", "savgol"]),
        ("smpl_tools.formats", ["read", "write", "detect"]),
        ("smpl_tools.refine_motion", ["refine_motion", "MotionReport"]),
    ],
)
def test_the_reference_has_what_is_public(site, page, names):
    text = (site / "reference" / "python" / f"{page}.html").read_text(encoding="utf-8")
    assert [name for name in names if f'id="{page}.{name}"' not in text] == []


def test_filters_in_modules_of_their_own_name_are_there(site):
    text = (site / "reference" / "python" / "smoothnet_core.filters.html").read_text(encoding="utf-8")
    for name in ("kalman", "median", "one_euro"):
        assert f'id="smoothnet_core.filters.{name}.{name}"' in text


def test_roles_in_docstrings_became_links(site):
    for path in (site / "reference").rglob("*.html"):
        assert not re.search(r":(func|class|mod|meth|attr|data|exc):<code>", path.read_text(encoding="utf-8")), (
            path.name
        )


def test_search_finds_words_of_all_sections(site):
    text = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    for location in ("howto/feet-slide.html", "reference/command-line.html#smoothnet-refine", "results.html"):
        assert f'"{location}"' in text or f'"location":"{location}' in text, location
