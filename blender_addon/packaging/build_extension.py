"""Build the extension's archives, one a platform, with all they need inside.

``python -m blender_addon.packaging.build_extension`` from the repository's root makes
``dist/smoothnet-VERSION-PLATFORM.zip`` for every platform, or for those named.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path

from .wheels import (
    REPOSITORY,
    BuildError,
    Wheel,
    fetch,
    own_wheel,
    parse_name,
    pinned_wheels,
    project_version,
    write_zip,
)

ADDON = REPOSITORY / "blender_addon"
PLATFORMS = ("linux-x64", "windows-x64", "macos-arm64", "macos-x64")
# What the archives leave out, of what lies in the extension's folder.
_NOT_SHIPPED = ("packaging", "__pycache__", "wheels")
_SUFFIXES = (".py", ".toml", ".svg", ".png", ".json")


def addon_files() -> dict[str, Path]:
    """Return the extension's own files by their name in the archive, without the manifest."""
    files: dict[str, Path] = {}
    for path in sorted(ADDON.rglob("*")):
        name = path.relative_to(ADDON)
        if not path.is_file() or any(part in _NOT_SHIPPED or part.startswith(".") for part in name.parts):
            continue
        if path.suffix in _SUFFIXES or name.name == "LICENSE":
            files[name.as_posix()] = path
    del files["blender_manifest.toml"]
    return files


def manifest_for(platform: str, wheels: list[str]) -> bytes:
    """Return the manifest of one archive: the one in the sources, with its platform and wheels."""
    text = (ADDON / "blender_manifest.toml").read_text(encoding="utf-8")
    stated = tomllib.loads(text)["version"]
    if stated != project_version():
        raise BuildError(f"blender_manifest.toml must state the version {project_version()}, received {stated}")
    lines = [f"platforms = [{json.dumps(platform)}]", "wheels = ["]
    lines += [f"  {json.dumps('./wheels/' + name)}," for name in wheels] + ["]", ""]
    # Keys of the manifest itself end where its first table starts.
    filled, count = re.subn(r"^# The build adds .*\n", "\n".join(lines), text, count=1, flags=re.MULTILINE)
    if not count:
        raise BuildError("blender_manifest.toml must have a line '# The build adds ...' before its first table")
    return filled.encode()


def build(platform: str, own: Path, cache: Path, folder: Path) -> Path:
    """Write one platform's archive into ``folder`` and return its path; wheels are kept in ``cache``."""
    wheels: dict[Wheel, Path] = {parse_name(own.name): own}
    wheels |= {wheel: fetch(wheel, pin, cache) for wheel, pin in pinned_wheels().items() if wheel.platform == platform}
    contents: dict[str, bytes | Path] = dict(addon_files())
    contents["blender_manifest.toml"] = manifest_for(platform, sorted(wheel.file for wheel in wheels))
    contents |= {f"wheels/{wheel.file}": path for wheel, path in wheels.items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"smoothnet-{project_version()}-{platform}.zip"
    write_zip(path, contents, stored=(".whl",))
    return path


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build the extension's archives, one a platform.")
    parser.add_argument("platforms", nargs="*", metavar="PLATFORM", help=f"of {', '.join(PLATFORMS)}; default: all")
    parser.add_argument("--output-dir", type=Path, default=REPOSITORY / "dist")
    parser.add_argument(
        "--cache-dir", type=Path, default=REPOSITORY / "build" / "wheels", help="keeps what was downloaded"
    )
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.platforms) - set(PLATFORMS)):
        parser.error(f"platforms are {', '.join(PLATFORMS)}, received {', '.join(unknown)}")
    try:
        own = own_wheel(options.cache_dir / "own")
        for stale in own.parent.glob("*.whl"):
            if stale != own:
                stale.unlink()
        for platform in options.platforms or PLATFORMS:
            path = build(platform, own, options.cache_dir, options.output_dir)
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
