"""What a built wheel holds."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module

import pytest

from tests.helpers import REPOSITORY

PACKAGES = ("smoothnet_core", "smpl_tools")
WEIGHTS = sorted((REPOSITORY / "assets" / "models").glob("*.safetensors"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("setuptools", minversion="77", reason="setuptools 77 or newer builds the wheel")
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    for name in (*PACKAGES, "assets"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    script = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    result = subprocess.run([sys.executable, "-c", script], cwd=source, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(source / result.stdout.splitlines()[-1]) as archive:
        yield archive


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel):
    modules = {p.relative_to(REPOSITORY).as_posix() for name in PACKAGES for p in (REPOSITORY / name).rglob("*.py")}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {name for name in held if name.endswith(".py")} == modules
    assert {name.split("/")[0] for name in held} == set(PACKAGES)


def test_the_wheel_holds_the_shipped_weights(wheel):
    held = {name.rsplit("/", 1)[-1]: wheel.read(name) for name in wheel.namelist() if name.endswith(".safetensors")}
    assert held == {path.name: path.read_bytes() for path in WEIGHTS}
    assert held, "there are weights to ship"


def test_the_wheel_is_pure_licensed_and_has_its_command(wheel):
    (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/WHEEL")]
    info = name.rsplit("/", 1)[0]
    assert "Root-Is-Purelib: true" in wheel.read(name).decode()
    assert wheel.read(f"{info}/licenses/LICENSE") == (REPOSITORY / "LICENSE").read_bytes()
    commands = configparser.ConfigParser()
    commands.read_string(wheel.read(f"{info}/entry_points.txt").decode())
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert dict(commands["console_scripts"]) == project["scripts"]


def test_the_command_exists():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for target in project["scripts"].values():
        module, function = target.split(":")
        assert callable(getattr(import_module(module), function))
