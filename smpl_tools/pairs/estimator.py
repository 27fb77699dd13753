"""Pose estimators as commands: run once for a clip and mode, never through a shell."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import mismatch
from smpl_tools.formats._files import reason
from smpl_tools.pairs.body import JOINT_NAMES
from smpl_tools.sources._arrays import load

Array = NDArray[np.float32]

MEDIAPIPE_VERSION = "0.10.21"
PYTHON_VARIABLE = "SMOOTHNET_MEDIAPIPE_PYTHON"
MAKE_ENVIRONMENT = (
    f"python3.12 -m venv mediapipe-env && mediapipe-env/bin/pip install mediapipe=={MEDIAPIPE_VERSION} 'numpy<2'"
    f" && export {PYTHON_VARIABLE}=$PWD/mediapipe-env/bin/python"
)
# Where MediaPipe's landmarks lie beside the joints of MakeHuman's skeleton, in metres to the left, up and forwards of
# the body at rest; of the left side, the right one mirrored. As the rendered paired set that the shipped weights are
# trained on states them (``definition_offsets_m`` in its metadata).
_MEDIAPIPE_LEFT = {
    "shoulder": (-0.0066, 0.0314, 0.0001),
    "elbow": (-0.0112, 0.0057, 0.0026),
    "wrist": (0.0015, 0.0017, 0.0071),
    "hip": (-0.0116, 0.0072, 0.0135),
    "knee": (-0.0055, 0.0099, -0.0032),
    "ankle": (-0.0007, 0.0221, 0.0030),
    "foot_index": (-0.0099, -0.0049, -0.0152),
}
MEDIAPIPE_OFFSETS = {
    "nose": (0.0, 0.0173, -0.0222),
    **{f"left_{name}": offset for name, offset in _MEDIAPIPE_LEFT.items()},
    **{f"right_{name}": (-x, y, z) for name, (x, y, z) in _MEDIAPIPE_LEFT.items()},
}
_RUNNER = Path(__file__).with_name("mediapipe_runner.py")
# How much of what a failed command printed is repeated, from its end.
_SHOWN = 300


@dataclass(frozen=True)
class Estimator:
    """A pose estimator.

    Attributes:
        name: for the metadata of what it makes.
        command: program and first arguments; folder of pictures, output file, mode and frame rate follow.
        timeout: seconds that one run may take.
        offsets: how far from the joints of the rendered skeleton the estimator's own lie, see ``body.truth``.
    """

    name: str
    command: tuple[str, ...]
    timeout: float
    offsets: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def run(self, pictures: Path, output: Path, mode: str, fps: float, frames: int) -> dict[str, Array]:
        """Run it on a folder of pictures.

        Args:
            pictures: the folder, with ``frames`` files whose sorted names are the order.
            output: the ``.npz`` that it writes.
            mode: a key of ``smpl_tools.sources.paired.MODES``.
            fps: frames a second.
            frames: T.

        Returns:
            ``est_3d`` (T, 15, 3) metres in the camera's axes, ``est_2d`` (T, 15, 2) pixels and ``visibility``
            (T, 15), float32, NaN where nobody was found.

        Raises:
            ValueError: it could not be started, failed, took too long, or wrote something else.
        """
        command = [*self.command, str(pictures), str(output), mode, f"{fps:g}"]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=self.timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise mismatch(f"estimator {self.name}", f"an end within {self.timeout:g} s", "none") from None
        except OSError as error:
            raise mismatch(f"estimator {self.name}", "a program that can be run", reason(error)) from None
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())[-_SHOWN:] or "nothing"
            raise ValueError(f"estimator {self.name}: exit status {done.returncode}; it said: {said}")
        if not output.is_file():
            raise mismatch(f"estimator {self.name}", f"a file {output.name}", "none")
        return read_estimate(output, frames)


def array_shapes(frames: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of an estimate's arrays by name."""
    joints = len(JOINT_NAMES)
    return {"est_3d": (frames, joints, 3), "est_2d": (frames, joints, 2), "visibility": (frames, joints)}


def read_estimate(path: Path, frames: int) -> dict[str, Array]:
    """Read what an estimator's command wrote for T frames.

    Raises:
        ValueError: not an archive, an array missing, of another shape or without numbers.
    """
    arrays, shapes = load(path), array_shapes(frames)
    result = {}
    for name, shape in shapes.items():
        array: NDArray[Any] | None = arrays.get(name)
        if array is None:
            raise mismatch(f"{path.name} of the estimator", ", ".join(shapes), ", ".join(arrays) or "nothing")
        if array.shape != shape or array.dtype.kind not in "fiu":
            raise mismatch(f"{name} of the estimator", f"numbers of shape {shape}", f"{array.dtype} {array.shape}")
        result[name] = np.where(np.isfinite(array), array, np.nan).astype(np.float32)
    return result


def given_estimator(text: str, timeout: float, python: str | None) -> Estimator:
    """Return the estimator that a user named: ``mediapipe``, or a command.

    Args:
        text: as on the command line.
        timeout: seconds that one run may take.
        python: the Python of MediaPipe's environment.

    Raises:
        ValueError: no such program, or no Python that has the version of MediaPipe that is needed.
    """
    if text == "mediapipe":
        version = _mediapipe_version(python)
        name, command = f"MediaPipe Pose {version}, model_complexity 1", (str(python), "-I", str(_RUNNER))
        return Estimator(name, command, timeout, MEDIAPIPE_OFFSETS)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise mismatch("estimator", "a command", f"{text!r}: {reason(error)}") from None
    if not words or shutil.which(words[0]) is None:
        raise mismatch("estimator", "mediapipe, or a command whose program exists", repr(text))
    return Estimator(text, tuple(words), timeout)


def _mediapipe_version(python: str | None) -> str:
    what = f"Python of MediaPipe (--mediapipe-python or {PYTHON_VARIABLE})"
    wanted = f"one with mediapipe {MEDIAPIPE_VERSION}, made by: {MAKE_ENVIRONMENT}"
    if python is None:
        raise ValueError(f"{what}: not given; expected {wanted}")
    script = "from importlib.metadata import version; print(version('mediapipe'))"
    try:
        asked = subprocess.run([python, "-I", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"{what}: {python}: {reason(error)}; expected {wanted}") from None
    version = asked.stdout.strip()
    if asked.returncode or version != MEDIAPIPE_VERSION:
        raise ValueError(f"{what}: {python} has {version or 'no mediapipe'}; expected {wanted}")
    return version
