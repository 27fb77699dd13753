"""Rules of the repository that no module can check about itself."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import REPOSITORY

PACKAGES = ("smoothnet_core", "smpl_tools")
MODULES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
ADDON = sorted((REPOSITORY / "blender_addon").rglob("*.py"))
# What Blender's Python has and no other.
BLENDER = {"bpy", "mathutils", "bl_math", "bmesh", "blf", "gpu", "gpu_extras", "idprop", "addon_utils", "bpy_extras"}
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = ("torch", "typer", "rich", "matplotlib", "click", "pydantic", "yaml", "lightning_fabric", "bpy")
# The modules made for them: networks and training for torch, the command line for Typer and Rich.
MADE_FOR_HEAVY = (
    "smoothnet_core.models.",
    "smoothnet_core.training.",
    "smoothnet_core.inference.torch",
    "smoothnet_core.inference.triton",
    "smpl_tools.cli",
    "smpl_tools.experiments.networks.",
)
# Written in pieces, so that this file passes its own test: paths of one machine, and hosts of package registries.
FORBIDDEN = re.compile(
    "|".join(("/" + "work/", "/" + "tmp/", "/" + "root/", "/" + "home/", "files.python" + "hosted", "pypi" + r"\.org"))
)
# Constructs that read or run code from a file, or could: refused in the packages, whatever name they go by.
UNSAFE_CALLS = {
    ("pickle", "load"),
    ("pickle", "loads"),
    ("torch", "load"),
    ("joblib", "load"),
    ("marshal", "load"),
    ("marshal", "loads"),
    ("shelve", "open"),
    ("yaml", "load"),
    ("yaml", "unsafe_load"),
    ("numpy", "fromregex"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "compile"),
}


def relative(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(module: ast.Module) -> Iterator[str]:
    """Yield the top-level name of every absolute import, wherever in the module it stands."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def called(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of every call, through the names the module gave its imports."""
    modules: dict[str, str] = {}
    members: dict[str, tuple[str, str]] = {name: ("builtins", name) for name in ("eval", "exec", "compile")}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            modules.update({alias.asname or alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module:
            members.update({alias.asname or alias.name: (node.module, alias.name) for alias in node.names})
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name) and function.id in members:
                yield members[function.id]
            elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
                yield modules.get(function.value.id, function.value.id), function.attr


def tracked() -> list[Path]:
    """Return the files git tracks, or would if they were added."""
    command = ["git", "-C", str(REPOSITORY), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    return [path for name in names if name and (path := REPOSITORY / name).is_file()]


def heavy_after_importing(names: list[str]) -> list[str]:
    """Return which of ``HEAVY`` a new interpreter holds once it has imported the modules."""
    script = "\n".join(
        [
            "import importlib, sys",
            f"sys.path.insert(0, {str(REPOSITORY)!r})",
            f"for name in {names!r}: importlib.import_module(name)",
            f"print(*[name for name in {HEAVY!r} if name in sys.modules])",
        ]
    )
    # Isolated (-I), so that nothing of the user's environment imports for itself.
    command = [sys.executable, "-I", "-B", "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_imports_nothing_heavy(package):
    assert heavy_after_importing([package]) == []


def test_importing_modules_imports_nothing_heavy_but_in_those_made_for_it():
    names = [relative(path)[:-3].replace("/", ".").removesuffix(".__init__") for path in MODULES]
    assert heavy_after_importing([name for name in names if not name.startswith(MADE_FOR_HEAVY)]) == []


def test_the_core_knows_nothing_of_motions():
    core = [path for path in MODULES if relative(path).startswith("smoothnet_core/")]
    assert core
    assert [relative(path) for path in core if "smpl_tools" in set(imported(tree(path)))] == []


def test_blender_is_imported_by_the_extension_only():
    allowed = ("blender_addon/", "tests/blender/", "benchmarks/blender")
    python = [p for p in tracked() if p.suffix == ".py" and not relative(p).startswith(allowed)]
    assert [relative(p) for p in python if BLENDER & set(imported(tree(p)))] == []


def test_the_extension_imports_what_it_brings_and_what_blender_has():
    there = set(sys.stdlib_module_names) | BLENDER | {"numpy", "scipy", "safetensors", *PACKAGES}
    # The worker runs in a Python of the user's; there, torch is what it is for.
    allowed = {"blender_addon/engine/engine_worker.py": {"torch"}}
    wrong = {relative(p): set(imported(tree(p))) - there - allowed.get(relative(p), set()) for p in ADDON}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_the_libraries_know_nothing_of_the_extension():
    assert [relative(path) for path in MODULES if "blender_addon" in set(imported(tree(path)))] == []


def test_the_packages_load_no_code_from_files():
    shipped = [*MODULES, *(path for path in ADDON if "packaging" not in path.parts)]
    wrong = [
        f"{relative(path)}: {'.'.join(call)}" for path in shipped for call in called(tree(path)) if call in UNSAFE_CALLS
    ]
    assert wrong == []


def pickles_read(module: ast.Module) -> list[int]:
    """Return the lines of calls that let NumPy read a pickle; writing one (of an array of objects) runs nothing."""
    return [
        node.lineno
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] not in ("write_array", "save")
        for keyword in node.keywords
        if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False"
    ]


def test_the_packages_read_no_pickles_in_numpy_files():
    assert [f"{relative(path)}:{line}" for path in (*MODULES, *ADDON) for line in pickles_read(tree(path))] == []
    assert pickles_read(ast.parse("np.load(f, allow_pickle=flag)\nwrite_array(f, a, allow_pickle=True)")) == [1]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import pickle as p\np.load(f)", ("pickle", "load")),
        ("from torch import load as read\nread(f)", ("torch", "load")),
        ("def g():\n    import joblib\n    joblib.load(f)", ("joblib", "load")),
        ("eval(text)", ("builtins", "eval")),
    ],
)
def test_the_scan_sees_through_renamed_imports(source, expected):
    assert expected in set(called(ast.parse(source)))
    assert expected in UNSAFE_CALLS


def test_modules_stay_short():
    lengths = {relative(p): len(p.read_text(encoding="utf-8").splitlines()) for p in (*MODULES, *ADDON)}
    assert {name: n for name, n in lengths.items() if n > 400} == {}


def test_modules_use_postponed_annotations():
    line = "from __future__ import annotations\n"
    modules = [path for path in MODULES if path.name != "__init__.py"]
    assert [relative(path) for path in modules if line not in path.read_text(encoding="utf-8")] == []


def test_tracked_text_names_no_machine_and_no_registry():
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{relative(path)}: {match.group()}" for match in FORBIDDEN.finditer(text)]
    assert found == []


def test_every_asset_has_its_provenance():
    described = "\n".join(p.read_text(encoding="utf-8") for p in (REPOSITORY / "assets").rglob("README.md"))
    files = [p for p in tracked() if relative(p).startswith("assets/") and p.name != "README.md"]
    assert files
    # A text beside an asset (its licence or provenance) is named in the asset's own row.
    assert [relative(p) for p in files if f"`{p.name}`" not in described] == []


def test_the_cmu_acknowledgement_is_given():
    sentence = (
        "The data used in this project was obtained from mocap.cs.cmu.edu. "
        "The database was created with funding from NSF EIA-0196217."
    )
    for name in ("assets/README.md", "assets/takes/dance_smplh.txt"):
        text = " ".join((REPOSITORY / name).read_text(encoding="utf-8").split())
        assert sentence in text, name


def test_the_version_is_stated_once():
    core = pytest.importorskip("smoothnet_core")
    assert core.__version__ == PROJECT["version"]


def test_the_extension_states_the_same_version_and_its_own_licence():
    text = (REPOSITORY / "blender_addon" / "blender_manifest.toml").read_text(encoding="utf-8")
    manifest = tomllib.loads(text)
    assert manifest["version"] == PROJECT["version"]
    assert manifest["license"] == ["SPDX:GPL-3.0-or-later"]
    licence = (REPOSITORY / "blender_addon" / "LICENSE").read_text(encoding="ascii")
    assert licence.split()[:7] == ["GNU", "GENERAL", "PUBLIC", "LICENSE", "Version", "3,", "29"]


def test_the_licence_is_the_one_the_project_names():
    text = (REPOSITORY / "LICENSE").read_text(encoding="ascii")
    assert PROJECT["license"] == "Apache-2.0"
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert text.rstrip().endswith("limitations under the License.")


def pins(name: str) -> dict[str, str]:
    """Return the versions a constraints file pins, by normalised name; every line must pin exactly one."""
    result = {}
    for line in (REPOSITORY / "constraints" / f"{name}.txt").read_text(encoding="ascii").splitlines():
        if not line.startswith("#"):
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][A-Za-z0-9.]*)", line)
            assert match, f"constraints/{name}.txt: {line!r} is no exact version"
            result[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[2]
    return result


def requirements(group: str | None) -> dict[str, str]:
    """Return what pyproject asks for, name to specifier, of the base (None) or an extra, its own extras resolved."""
    lines = PROJECT["dependencies"] if group is None else PROJECT["optional-dependencies"][group]
    result: dict[str, str] = {}
    for line in lines:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[([a-z,]+)\])?(.*)", line)
        assert match, line
        if match[1] == PROJECT["name"]:
            for extra in match[2].split(","):
                result |= requirements(extra)
        else:
            result[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[3]
    return result


@pytest.mark.parametrize(
    ("constraints", "groups"),
    [("base", (None, "report")), ("dev", (None, "dev")), ("oldest", (None,))],
)
def test_the_constraints_pin_whatever_is_asked_for(constraints, groups):
    pinned = pins(constraints)
    wanted = {"setuptools", "pytest", "pytest-xdist", "hypothesis", "joblib"}
    wanted |= {name for group in groups for name in requirements(group)}
    assert wanted - set(pinned) == set()


def test_the_base_constraints_agree_with_those_of_development_and_know_no_torch():
    base, dev = pins("base"), pins("dev")
    assert {name: version for name, version in base.items() if dev.get(name) != version} == {}
    for name in ("base", "oldest"):
        assert "torch" not in pins(name)
    assert dev["torch"] == "2.13.0"


@pytest.mark.parametrize("blender", ["4.2", "4.5", "5.0", "5.2"])
def test_the_constraints_of_a_blender_hold_the_extensions_needs_alone(blender):
    pinned = pins(f"blender-{blender}")
    assert pinned["bpy"].startswith(f"{blender}.")
    assert {"numpy", "scipy", "safetensors", "pytest", "hypothesis", "setuptools"} <= set(pinned)
    assert not {"torch", "typer", "rich", "matplotlib", "smplx", "trimesh"} & set(pinned)
    # The SciPy that the extension brings for this Python.
    python = "cp313" if blender == "5.2" else "cp311"
    text = (REPOSITORY / "constraints" / "extension.txt").read_text(encoding="ascii")
    assert f"scipy-{pinned['scipy']}-{python}-" in text
    assert f"safetensors-{pinned['safetensors']}-" in text


def test_the_oldest_constraints_are_the_oldest_versions_admitted():
    pinned = pins("oldest")
    for name, specifier in requirements(None).items():
        lower = re.match(r">=([0-9.]+)", specifier)
        assert lower, f"{name} has no lower bound"
        bound = lower[1].split(".")
        assert pinned[name].split(".")[: len(bound)] == bound, name


def test_the_continuous_check_runs_every_suite():
    script = REPOSITORY / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text(encoding="utf-8")
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in ("test", "docs", "demo", "test-base", "test-oldest", "extension", "test-blender"):
        assert re.search(rf"make {target}\b", text), target
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
