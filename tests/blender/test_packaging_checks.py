"""What the checks of the archives find; without Blender and without downloads."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from blender_addon.packaging import check_extension
from blender_addon.packaging.build_extension import PLATFORMS, addon_files, manifest_for
from blender_addon.packaging.check_extension import PYTHONS, problems
from blender_addon.packaging.wheels import BuildError, parse_name, pinned_wheels, write_zip

FOREIGN = "scipy-1-cp311-cp311-win_amd64.whl"


def archive(folder: Path, changes: dict[str, bytes], wheels: tuple[str, ...] = ()) -> list[str]:
    """Return what is found in an archive of the extension's own files and these."""
    contents: dict[str, bytes | Path] = dict(addon_files())
    contents["blender_manifest.toml"] = manifest_for("linux-x64", list(wheels))
    write_zip(folder / "x.zip", contents | changes)
    return problems(folder / "x.zip")


def small_wheel(name: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr(f"{name}/__init__.py", "")
    return data.getvalue()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_python_of_a_platform_finds_one_pinned_wheel_of_each_project(platform):
    here = [wheel for wheel in pinned_wheels() if wheel.platform == platform]
    for python in PYTHONS[platform]:
        found = sorted(wheel.project for wheel in here if wheel.runs_on(python))
        assert found == ["safetensors", "scipy"], python


def test_no_pinned_wheel_is_for_another_platform():
    assert {wheel.platform for wheel in pinned_wheels()} == set(PLATFORMS)


@pytest.mark.parametrize(
    ("name", "python", "runs"),
    [
        ("a-1-cp311-cp311-win_amd64.whl", "3.11", True),
        ("a-1-cp311-cp311-win_amd64.whl", "3.13", False),
        ("a-1-cp310-abi3-win_amd64.whl", "3.14", True),
        ("a-1-cp312-abi3-win_amd64.whl", "3.11", False),
        ("a-1-py3-none-any.whl", "3.13", True),
    ],
)
def test_a_wheels_name_says_which_python_runs_it(name, python, runs):
    assert parse_name(name).runs_on(python) is runs


def test_a_name_that_is_no_wheels_is_refused():
    with pytest.raises(BuildError, match=r"must be named PROJECT-VERSION-PYTHON-ABI-PLATFORM\.whl, received 'a\.whl'"):
        parse_name("a.whl")


def test_the_archive_depends_on_its_contents_alone(tmp_path):
    for folder, order in (("a", ("x", "y")), ("b", ("y", "x"))):
        (tmp_path / folder).mkdir()
        write_zip(tmp_path / folder / "z.zip", {name: name.encode() for name in order})
    assert (tmp_path / "a" / "z.zip").read_bytes() == (tmp_path / "b" / "z.zip").read_bytes()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"../evil.py": b""}, "../evil.py would be written outside the extension's folder"),
        ({"take.bvh": b""}, "take.bvh is neither source nor a wheel"),
        ({"tests/test_a.py": b""}, "tests/test_a.py does not belong in it"),
        ({"broken.py": b"def"}, "broken.py cannot be compiled: "),
        ({"newer.py": b"type A = int"}, "newer.py cannot be compiled: "),
        ({"LICENSE": b"Apache"}, "LICENSE must be the GNU General Public License"),
        ({f"wheels/{FOREIGN}": small_wheel("scipy")}, f"{FOREIGN} is not for linux-x64"),
        ({"wheels/smplx-1-py3-none-any.whl": small_wheel("smplx")}, "smplx-1-py3-none-any.whl must not be in it: "),
        ({}, "Python 3.14 must find one wheel of scipy, received 0"),
    ],
)
def test_what_must_not_be_is_found(tmp_path, changes, expected):
    assert any(found.startswith(expected) for found in archive(tmp_path, changes))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("GPL-3.0-or-later", "MIT", "license must be ['SPDX:GPL-3.0-or-later'], received ['SPDX:MIT']"),
        ('"Animation"', '"Dancing"', "tags must be of the official list, received ['Dancing', 'Import-Export']"),
        ('platforms = ["linux-x64"]', 'platforms = ["amiga"]', "platforms must be one of "),
        ('name = "SmoothNet"', 'name = "Blender SmoothNet"', "name and tagline must not contain the word Blender"),
        ("files = ", "network = ", "permissions must be files alone, received ['network']"),
    ],
)
def test_a_manifest_that_the_official_site_refuses_is_found(tmp_path, old, new, expected):
    text = manifest_for("linux-x64", []).decode()
    assert old in text
    found = archive(tmp_path, {"blender_manifest.toml": text.replace(old, new, 1).encode()})
    assert any(problem.startswith(expected) for problem in found)


def test_an_archive_too_big_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(check_extension, "MOST_BYTES", 1000)
    assert archive(tmp_path, {})[0].startswith("the archive must have at most 1,000 bytes, received ")
