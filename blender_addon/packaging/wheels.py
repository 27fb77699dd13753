"""The wheels of the extension: those of other projects, downloaded and checked, and our own, built from the sources."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PINS = REPOSITORY / "constraints" / "extension.txt"
# Times of everything in an archive, so that the same sources make the same bytes; zip knows none before 1980.
TIME = (1980, 1, 1, 0, 0, 0)

_PIN = re.compile(r"([0-9a-f]{64})  (\S+\.whl)")
_MACHINES = {"x86_64": "x64", "amd64": "x64", "arm64": "arm64", "aarch64": "arm64"}
_SYSTEMS = {"manylinux": "linux", "win": "windows", "macosx": "macos"}


class BuildError(Exception):
    """The extension cannot be built, or is not as it must be; the message says what to do."""


class DownloadError(BuildError):
    """A wheel cannot be had from pip's index."""


@dataclass(frozen=True)
class Wheel:
    """What a wheel's file name says.

    Attributes:
        file: the name.
        project: as in the name, e.g. ``scipy``.
        version: e.g. ``1.15.3``.
        pythons: Python tag, e.g. ``cp311`` or ``py3``.
        abi: e.g. ``cp311``, ``abi3`` or ``none``.
        platforms: pip's platform tags, e.g. ``("win_amd64",)``; several where one wheel serves several.
    """

    file: str
    project: str
    version: str
    pythons: str
    abi: str
    platforms: tuple[str, ...]

    @property
    def platform(self) -> str:
        """Blender's name of the platform, e.g. ``linux-x64``; ``any`` of a pure wheel."""
        return blender_platform(self.platforms[0])

    def runs_on(self, python: str) -> bool:
        """Return whether Python ``3.11`` (for example) of this platform can import it."""
        major, minor = (int(part) for part in python.split("."))
        found = re.fullmatch(r"(cp|py)(\d)(\d*)", self.pythons)
        if found is None or int(found[2]) != major:
            return False
        if not found[3]:
            return True
        return int(found[3]) == minor or (self.abi == f"abi{major}" and int(found[3]) <= minor)


def blender_platform(tag: str) -> str:
    """Return Blender's platform for pip's: ``linux-x64`` for ``manylinux_2_17_x86_64``."""
    if tag == "any":
        return "any"
    for system, name in _SYSTEMS.items():
        for machine, short in _MACHINES.items():
            if tag.startswith(system) and tag.endswith(f"_{machine}"):
                return f"{name}-{short}"
    raise BuildError(f"the platform of a wheel must be one of Blender's, received {tag!r}")


def parse_name(file: str) -> Wheel:
    """Read a wheel's file name; raises :class:`BuildError` for what is none."""
    parts = file.removesuffix(".whl").split("-")
    if not file.endswith(".whl") or len(parts) != 5:
        raise BuildError(f"a wheel must be named PROJECT-VERSION-PYTHON-ABI-PLATFORM.whl, received {file!r}")
    project, version, pythons, abi, platforms = parts
    return Wheel(file, project, version, pythons, abi, tuple(platforms.split(".")))


def pinned_wheels(path: Path = PINS) -> dict[Wheel, str]:
    """Return the wheels of other projects and their SHA-256."""
    result: dict[Wheel, str] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith("#"):
            continue
        found = _PIN.fullmatch(line)
        if found is None:
            raise BuildError(f"{path.name}: a line must be SHA-256, two spaces and a wheel, received {line!r}")
        result[parse_name(found[2])] = found[1]
    return result


def sha256(path: Path) -> str:
    """Return a file's SHA-256 as text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(wheel: Wheel, digest: str, folder: Path) -> Path:
    """Return the wheel's path in ``folder``, downloaded by pip from its configured index if it is not there yet."""
    path = folder / wheel.file
    if path.is_file():
        if sha256(path) == digest:
            return path
        path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        wanted = Path(temporary) / "wanted.txt"
        wanted.write_text(f"{wheel.project}=={wheel.version} --hash=sha256:{digest}\n", encoding="ascii")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "--requirement", str(wanted), "--dest", temporary]
        command += ["--implementation", "cp", "--python-version", wheel.pythons.removeprefix("cp"), "--abi", wheel.abi]
        command += [part for platform in wheel.platforms for part in ("--platform", platform)]
        # Constraints of this machine are not those of an animator's.
        environment = os.environ | {"PIP_CONSTRAINT": ""}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        got = Path(temporary) / wheel.file
        if done.returncode or not got.is_file():
            raise DownloadError(f"{wheel.file} could not be downloaded:\n{done.stderr.strip() or done.stdout.strip()}")
        if (received := sha256(got)) != digest:
            raise BuildError(f"{wheel.file} must have the SHA-256 {digest}, received {received}")
        got.replace(path)
    return path


def project_version() -> str:
    """Return the version that ``pyproject.toml`` states."""
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def own_wheel(folder: Path) -> Path:
    """Build our two libraries, weights included, as one pure wheel into ``folder``, and return its path.

    The version gets a suffix made of what is inside (``0.1.0+3f9c21d0a4b7``): Blender unpacks a wheel only if no wheel
    of this name and version was unpacked before, and would go on with the libraries of an archive built earlier.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "source"
        source.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(REPOSITORY / name, source)
        for name in ("smoothnet_core", "smpl_tools", "assets"):
            # A copy, since setuptools leaves files beside the sources, and packs what lies there from earlier.
            shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        version = project_version()
        stated = f'version = "{version}"'
        project = (source / "pyproject.toml").read_text(encoding="utf-8")
        if project.count(stated) != 1:
            raise BuildError(f"pyproject.toml must contain {stated!r} once")
        suffixed = f'version = "{version}+{_fingerprint(source)}"'
        (source / "pyproject.toml").write_text(project.replace(stated, suffixed), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-build-isolation", "--wheel-dir", temporary, str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        built = sorted(Path(temporary).glob("*.whl"))
        if done.returncode or len(built) != 1:
            raise BuildError(f"our own wheel could not be built:\n{done.stderr.strip() or done.stdout.strip()}")
        path = folder / built[0].name
        _repack(built[0], path)
    return path


def write_zip(path: Path, contents: dict[str, bytes | Path], stored: tuple[str, ...] = ()) -> None:
    """Write an archive whose bytes depend on the contents alone; what ends in one of ``stored`` is not compressed."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        with zipfile.ZipFile(temporary, "w") as archive:
            for name in sorted(contents):
                data = contents[name]
                info = zipfile.ZipInfo(name, TIME)
                info.create_system = 3
                info.external_attr = 0o100644 << 16
                info.compress_type = zipfile.ZIP_STORED if name.endswith(stored) else zipfile.ZIP_DEFLATED
                archive.writestr(info, data if isinstance(data, bytes) else data.read_bytes(), compresslevel=9)
        temporary.replace(path)


def _repack(source: Path, path: Path) -> None:
    with zipfile.ZipFile(source) as archive:
        write_zip(path, {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")})


def _fingerprint(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(
                path.relative_to(folder).as_posix().encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest()
            )
    return total.hexdigest()[:12]
