"""Pages that the site makes when it is built: the command line's from Typer, the library's from docstrings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer
from mkdocs.structure.files import File

from smpl_tools.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "reference/python"
# Packages whose modules are for who works on the project; design.md says what is where.
INSIDE = {"cli", "experiments", "inference", "models", "networks", "weights", "body_data"}


def on_config(config: Any) -> Any:
    """Put the generated pages into the navigation, in the place that names their folder."""
    for section in config.nav:
        for items in section.values():
            for item in items if isinstance(items, list) else []:
                if isinstance(item, dict) and item.get("Python") == PYTHON:
                    item["Python"] = _python_navigation()
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    pages = {"reference/command-line.md": command_line_page()}
    pages |= {page: text for contents in python_pages().values() for page, text in contents.values()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def command_line_page() -> str:
    """Return the reference of every command, from what its own ``--help`` is made of."""
    program = typer.main.get_group(app)
    text = f"# The command line\n\n{program.help}\n\n"
    text += (
        "Every command takes `-h` or `--help`. Exit status: 0; 1 an input was refused; 2 wrong usage; 3 some of several"
    )
    text += " inputs failed; 130 interrupted.\n\n"
    for name, command in program.commands.items():
        context = command.context_class(command, info_name=f"smoothnet {name}")
        usage = " ".join(command.get_usage(context).split()).removeprefix("Usage: ")
        text += f"## smoothnet {name}\n\n{_plain(command.help)}\n\n```text\n{usage}\n```\n\n"
        records = [(p.param_type_name, p.get_help_record(context)) for p in command.get_params(context)]
        rows = [(kind, *record) for kind, record in records if record and "--help" not in record[0]]
        for kind, heading in (("argument", "Argument"), ("option", "Option")):
            chosen = [(names, said) for this, names, said in rows if this == kind]
            if chosen:
                text += f"| {heading} | what it does |\n|---|---|\n"
                text += "".join(f"| {_names(names)} | {_cell(said)} |\n" for names, said in chosen) + "\n"
    return text


def python_pages() -> dict[str, dict[str, tuple[str, str]]]:
    """Return, for each package, titles of pages with their paths and texts: one of every public module."""
    result: dict[str, dict[str, tuple[str, str]]] = {}
    for package in ("smoothnet_core", "smpl_tools"):
        pages = {}
        for name, modules in _public_modules(package).items():
            title = name.split(".", 1)[1] if "." in name else name
            # The first module's heading is the page's; those of the modules in a package come below it.
            body = "".join(f"::: {m}\n    options: {{heading_level: {1 + (m != name)}}}\n\n" for m in modules)
            pages[title] = (f"{PYTHON}/{name}.md", body)
        result[package] = pages
    return result


def _python_navigation() -> list[Any]:
    return [
        {package: [{title: page} for title, (page, _) in pages.items()]} for package, pages in python_pages().items()
    ]


def _public_modules(package: str) -> dict[str, list[str]]:
    """Return name of a page to its modules: what the package itself exports, its modules, and packages in it as one."""
    folder = ROOT / package
    pages = {package: [package]} if "__all__" in (folder / "__init__.py").read_text(encoding="utf-8") else {}
    for path in sorted(folder.iterdir()):
        name = path.stem
        if name.startswith("_") or name in INSIDE:
            continue
        if path.suffix == ".py":
            pages[f"{package}.{name}"] = [f"{package}.{name}"]
        elif (initial := path / "__init__.py").is_file():
            modules = [f"{package}.{name}"]
            public = sorted(p.stem for p in path.glob("*.py") if not p.stem.startswith("_"))
            # A package that says what it exports has its modules for itself; but for those of the name of what they
            # hold, which hide it from who reads the sources.
            exports = re.search(r"^__all__ = \[(.*?)\]", initial.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
            if exports:
                public = [module for module in public if f'"{module}"' in exports[1]]
            modules += [f"{package}.{name}.{module}" for module in public]
            pages[f"{package}.{name}"] = modules
    return pages


def _names(text: str) -> str:
    return ", ".join(f"`{name.strip()}`" for name in text.split(","))


def _plain(text: str | None) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", (text or "").replace("\b\n", ""))


def _cell(text: str) -> str:
    return " ".join(_plain(text).split())
