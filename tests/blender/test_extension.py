"""The archive as an animator gets it: installed into an empty profile of this Blender, in processes of its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from blender_addon.packaging.build_extension import build
from blender_addon.packaging.check_extension import problems, validated
from blender_addon.packaging.wheels import DownloadError, own_wheel
from tests.helpers import REPOSITORY

bpy = pytest.importorskip("bpy", reason="needs the bpy module")
pytest.importorskip("setuptools", minversion="77", reason="setuptools 77 or newer builds the wheel")

SCRIPT = Path(__file__).parent / "real" / "install_zip.py"
SYSTEMS = {"Linux": "linux", "Windows": "windows", "Darwin": "macos"}
MACHINE = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x64"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("extension")
    try:
        here = f"{SYSTEMS[platform.system()]}-{MACHINE}"
        return build(here, own_wheel(folder), REPOSITORY / "build" / "wheels", folder)
    except DownloadError as error:
        pytest.skip(f"its wheels cannot be had: {error}")


@pytest.fixture(scope="module")
def starts(archive: Path, tmp_path_factory: Any) -> list[dict[str, Any]]:
    """What two starts of Blender saw: one that installs, and the next."""
    folder = tmp_path_factory.mktemp("profile")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = clean | {"BLENDER_USER_RESOURCES": str(folder / "profile")}
    seen = []
    for arguments in ([str(archive)], []):
        # A crash at the end is a failure too, and so is a hang; the folder holds none of our sources.
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("SEEN ")]
        seen.append(json.loads(line.removeprefix("SEEN ")))
    return seen


def test_it_is_as_it_must_be(archive: Path):
    validator = Path(bpy.utils.resource_path("LOCAL")) / "scripts" / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
    assert validator.is_file()
    assert problems(archive) + validated(validator, archive) == []


def test_it_refines_as_soon_as_it_is_installed(starts: list[dict[str, Any]]):
    assert starts[0]["after"] < 0.6 * starts[0]["before"]


def test_it_brings_its_own_scipy_and_leaves_nothing_behind(starts: list[dict[str, Any]]):
    assert starts[1]["scipy"] == ("1.15.3" if sys.version_info < (3, 13) else "1.17.1")
    assert starts[1]["after"] == starts[0]["after"]
