"""Check finished archives of the extension: what Blender's own validator leaves unchecked, and that validator too.

``python -m blender_addon.packaging.check_extension dist/*.zip`` from the repository's root; with
``--validator PATH`` (``scripts/addons_core/bl_pkg/cli/blender_ext.py`` of a Blender) that program validates them as
well. Nothing is imported or run from an archive.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import io
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from .build_extension import PLATFORMS
from .wheels import REPOSITORY, BuildError, Wheel, parse_name, pinned_wheels, project_version

# The official site refuses more.
MOST_BYTES = 200_000_000
# Tags of add-ons on the official site, as Blender's scripts/modules/_bpy_internal/extensions/tags.py lists them.
TAGS = frozenset(
    """3D View|Add Curve|Add Mesh|Animation|Bake|Camera|Compositing|Development|Game Engine|Geometry Nodes|Grease Pencil
    |Import-Export|Lighting|Material|Mesh|Modeling|Node|Object|Paint|Physics|Pipeline|Render|Rigging|Scene|Sculpt
    |Sequencer|System|Text Editor|Tracking|User Interface|UV""".replace("\n    ", "").split("|")
)
# Pythons of the Blenders it is for: those of the official builds, and of Debian's.
PYTHONS = dict.fromkeys(PLATFORMS, ("3.11", "3.13")) | {"linux-x64": ("3.11", "3.13", "3.14")}
# Projects whose wheels it holds, and the packages they may unpack; whatever else would reach every other extension.
PACKAGES = {
    "smoothnet": {"smoothnet_core", "smpl_tools"},
    "scipy": {"scipy", "scipy.libs"},
    "safetensors": {"safetensors"},
}
_WEIGHTS = "smoothnet_core/weights/"
_FREE_BODY = "smpl_tools/pairs/body_data/body.npz"
# Files that motions, body models and networks come in; weights and the licence-free body are the only ones allowed.
_DATA = (".npz", ".npy", ".pkl", ".pickle", ".bvh", ".amc", ".asf", ".c3d", ".fbx", ".glb", ".gltf", ".safetensors")
_DATA += (".pt", ".pth", ".ckpt", ".zip", ".whl")
_CODE = (".so", ".pyd", ".dll", ".dylib", ".exe", ".sh", ".bat")


def problems(path: Path) -> list[str]:
    """Return what is wrong with an archive, in words; empty if it is as it must be."""
    found: list[str] = []
    if path.stat().st_size > MOST_BYTES:
        found.append(f"the archive must have at most {MOST_BYTES:,} bytes, received {path.stat().st_size:,}")
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            return [*found, f"{damaged} is damaged"]
        names = archive.namelist()
        if "blender_manifest.toml" not in names:
            return [*found, "blender_manifest.toml is missing"]
        manifest = tomllib.loads(archive.read("blender_manifest.toml").decode())
        found += _manifest_problems(manifest)
        found += _file_problems(archive)
        files = [PurePosixPath(name) for name in names]
        held = {file.name for file in files if file.suffix == ".whl"}
        listed = {PurePosixPath(name).name for name in manifest.get("wheels", [])}
        found += [f"{name} is listed and missing" for name in sorted(listed - held)]
        found += [f"{name} is there and not listed" for name in sorted(held - listed)]
        try:
            wheels = {parse_name(file.name): archive.read(str(file)) for file in files if file.suffix == ".whl"}
            platforms = manifest.get("platforms", [])
            found += _wheel_problems(wheels, platforms[0] if len(platforms) == 1 else "")
        except BuildError as error:
            found.append(str(error))
    return found


def _manifest_problems(manifest: dict[str, Any]) -> Iterator[str]:
    expected = {
        "schema_version": "1.0.0",
        "id": "smoothnet",
        "type": "add-on",
        "version": project_version(),
        "license": ["SPDX:GPL-3.0-or-later"],
        "blender_version_min": "4.2.0",
    }
    for key, value in expected.items():
        if manifest.get(key) != value:
            yield f"{key} must be {value!r}, received {manifest.get(key)!r}"
    tags = set(manifest.get("tags", []))
    if not tags or tags - TAGS:
        yield f"tags must be of the official list, received {sorted(tags)}"
    platforms = manifest.get("platforms")
    if not isinstance(platforms, list) or len(platforms) != 1 or platforms[0] not in PLATFORMS:
        yield f"platforms must be one of {', '.join(PLATFORMS)}, received {platforms!r}"
    if "blender" in f"{manifest.get('name')} {manifest.get('tagline')}".lower():
        yield "name and tagline must not contain the word Blender"
    if set(manifest.get("permissions", {})) != {"files"}:
        yield f"permissions must be files alone, received {sorted(manifest.get('permissions', {}))}"


def _file_problems(archive: zipfile.ZipFile) -> Iterator[str]:
    names = archive.namelist()
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            yield f"{name} would be written outside the extension's folder"
        if path.suffix != ".whl" and (path.suffix.lower() in _DATA + _CODE):
            yield f"{name} is neither source nor a wheel"
        if {"tests", "packaging", "__pycache__"} & set(path.parts):
            yield f"{name} does not belong in it"
        if path.suffix == ".py":
            yield from _source_problems(name, archive.read(name))
    if "__init__.py" not in names:
        yield "__init__.py is missing"
    if "LICENSE" not in names:
        yield "LICENSE is missing"
    elif b"GNU GENERAL PUBLIC LICENSE" not in archive.read("LICENSE")[:200]:
        yield "LICENSE must be the GNU General Public License"


def _wheel_problems(wheels: dict[Wheel, bytes], platform: str) -> Iterator[str]:
    pins = {wheel.file: digest for wheel, digest in pinned_wheels().items()}
    for wheel, data in wheels.items():
        if wheel.platform not in ("any", platform):
            yield f"{wheel.file} is not for {platform}"
        if wheel.project not in PACKAGES:
            yield f"{wheel.file} must not be in it: its wheels are of {', '.join(sorted(PACKAGES))}"
        elif wheel.project == "smoothnet":
            yield from _own_problems(wheel, data)
        elif hashlib.sha256(data).hexdigest() != pins.get(wheel.file):
            yield f"{wheel.file} is not the one that constraints/extension.txt pins"
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            tops = {name.split("/")[0] for name in archive.namelist()}
            info = f"{wheel.project}-{wheel.version}.dist-info"
            # Wheels for Windows hold an empty file of their own name.
            if other := sorted(tops - PACKAGES.get(wheel.project, set()) - {info, wheel.file}):
                yield f"{wheel.file} unpacks {', '.join(other)}"
            if not any("LICENSE" in name for name in archive.namelist() if name.startswith(info)):
                yield f"{wheel.file} brings no licence"
    for project in PACKAGES:
        for python in PYTHONS.get(platform, ()):
            count = sum(wheel.project == project and wheel.runs_on(python) for wheel in wheels)
            if count != 1:
                yield f"Python {python} must find one wheel of {project}, received {count}"


def _own_problems(wheel: Wheel, data: bytes) -> Iterator[str]:
    if wheel.version.split("+")[0] != project_version():
        yield f"{wheel.file} must be of the version {project_version()}"
    if (wheel.pythons, wheel.abi, wheel.platforms) != ("py3", "none", ("any",)):
        yield f"{wheel.file} must be pure"
    weights = {path.name: path.read_bytes() for path in (REPOSITORY / "assets" / "models").glob("*.safetensors")}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            suffix = PurePosixPath(name).suffix.lower()
            if name.startswith(_WEIGHTS) and suffix == ".safetensors":
                if archive.read(name) != weights.pop(PurePosixPath(name).name, None):
                    yield f"{name} is not among the weights of the repository"
            elif suffix in _DATA + _CODE and name != _FREE_BODY:
                yield f"{name} must not be in it: of data, it holds weights and the licence-free body"
            if suffix == ".py":
                yield from _source_problems(name, archive.read(name))
    yield from (f"the weights {name} are missing" for name in sorted(weights))


def _source_problems(name: str, source: bytes) -> Iterator[str]:
    try:
        # The oldest of Blender's Pythons may read less than the one that runs this.
        compile(ast.parse(source, name, feature_version=(3, 11)), name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        yield f"{name} cannot be compiled: {error}"


def validated(validator: Path, path: Path) -> list[str]:
    """Return what Blender's own validator finds wrong."""
    command = [sys.executable, str(validator), "validate", "--valid-tags=", str(path)]
    tags = validator.parents[3] / "modules" / "_bpy_internal" / "extensions" / "tags.py"
    if tags.is_file():
        command[3] = f"--valid-tags={tags}"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    if done.returncode or re.search(r"error|warning", text, re.IGNORECASE):
        return [f"{validator}: {line}" for line in text.splitlines() or ["failed"]]
    return []


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Check archives of the extension.")
    parser.add_argument("archives", nargs="+", type=Path)
    parser.add_argument("--validator", action="append", default=[], type=Path, help="blender_ext.py of a Blender")
    options = parser.parse_args(arguments)
    failed = False
    for path in options.archives:
        found = problems(path)
        for validator in options.validator:
            found += validated(validator, path)
        failed |= bool(found)
        print(f"{path.name}: {'not as it must be' if found else 'good'}")
        for problem in found:
            print(f"  {problem}")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
