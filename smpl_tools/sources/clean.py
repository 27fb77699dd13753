"""Clean motion capture without any estimate."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, Slerp

from smoothnet_core._checks import mismatch
from smpl_tools.motion import Motion, Person, Skeleton, Track
from smpl_tools.skeleton import positions
from smpl_tools.sources._arrays import load

Array = NDArray[np.float64]

# Capture shows hands as a whole; fingers and eyes ride on them.
_ALL = slice(None)

NO_BODY = re.compile("finger|thumb|index|mid|ring|pinky|eye", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class CleanClip:
    """A captured motion.

    Attributes:
        name: of the clip.
        subject: who moves.
        fps: frames a second.
        joints: J names.
        positions: (T, J, 3) metres, Y up.
        rotations: (T, J, 3, 3) local.
    """

    name: str
    subject: str
    fps: float
    joints: tuple[str, ...]
    positions: Array
    rotations: Array

    def body(self) -> CleanClip:
        """Return the clip without fingers and eyes."""
        kept = [j for j, name in enumerate(self.joints) if not NO_BODY.search(name)]
        return replace(
            self,
            joints=tuple(self.joints[j] for j in kept),
            positions=self.positions[:, kept],
            rotations=self.rotations[:, kept],
        )

    def at(self, fps: float) -> CleanClip:
        """Return the clip at another frame rate: every n-th frame, or cubic splines and spherical interpolation."""
        step = self.fps / fps
        if step == int(step):
            pick = slice(None, None, int(step))
            return replace(self, fps=fps, positions=self.positions[pick], rotations=self.rotations[pick])
        own = np.arange(len(self.positions)) / self.fps
        clock = np.arange(int(own[-1] * fps + 1e-6) + 1) / fps
        turned = [Slerp(own, Rotation.from_matrix(r))(clock).as_matrix() for r in self.rotations.swapaxes(0, 1)]
        moved = CubicSpline(own, self.positions)(clock)
        return replace(self, fps=fps, positions=moved, rotations=np.stack(turned, axis=1))


def is_clean(path: Path) -> bool:
    """Say whether a file looks like one of clean motion capture, by the names of its arrays alone."""
    if path.suffix != ".npz" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return "index.npy" in names and any(name.startswith("skel/") for name in names)


def clean_clips(
    path: Path, keep: Collection[str] = (), leave_out: Collection[str] = (), every: slice = _ALL
) -> Iterator[CleanClip]:
    """Read a file of clean motion capture, one clip after the other.

    The file holds ``index`` (JSON), and for every clip quaternions ``q`` (int16 times 1/32767, xyzw), ``root`` (T, 3)
    in metres and the skeleton's ``names``, ``parents`` and ``offsets``.

    Args:
        path: the ``.npz``.
        keep: subjects; none: all.
        leave_out: subjects.
        every: which of the clips that are left; the arrays of others are not read.

    Raises:
        ValueError: a missing or different file, or no clip of such a subject.
    """
    for name, subject, fps, skeleton, turned, root in _captured(path, keep, leave_out, every):
        yield CleanClip(name, subject, fps, skeleton.joints, positions(turned, root, skeleton), turned)


def clean_motions(path: Path, leave_out: Collection[str] = ()) -> Iterator[tuple[str, Motion]]:
    """Read the same file as motions of one person each, their ``path`` the clip's name; with each its subject.

    Raises:
        ValueError: as :func:`clean_clips`.
    """
    for name, subject, fps, skeleton, turned, root in _captured(path, (), leave_out):
        first, others = skeleton.joints[:1], skeleton.joints[1:]
        tracks = {
            "global_orient": Track(turned[:, :1], "rotation_matrix", "root", first),
            "body_pose": Track(turned[:, 1:], "rotation_matrix", "body", others),
            "transl": Track(root[:, None], "position", "root", first),
        }
        person = Person("0", tracks, np.arange(len(root)))
        yield subject, Motion("bvh", (person,), fps, skeleton=skeleton, path=Path(name))


def _captured(
    path: Path, keep: Collection[str], leave_out: Collection[str], every: slice = _ALL
) -> Iterator[tuple[str, str, float, Skeleton, Array, Array]]:
    """Yield name, subject, frames a second, skeleton, local rotations (T, J, 3, 3) and root (T, 3) of each clip."""
    try:
        index = json.loads(str(load(path, ("index",))["index"]))
        entries = [e for e in index if e["subject"] not in leave_out and (not keep or e["subject"] in keep)]
        skeletons = {f"skel/{e['skeleton']}/{name}" for e in entries for name in ("names", "parents", "offsets")}
        arrays = load(path, skeletons | {f"{e['clip']}/{name}" for e in entries[every] for name in ("q", "root")})
        for entry in entries[every]:
            place = f"skel/{entry['skeleton']}/"
            names = tuple(map(str, arrays[place + "names"]))
            parents = arrays[place + "parents"].astype(np.int64)
            skeleton = Skeleton(names, parents, arrays[place + "offsets"].astype(float))
            quat_xyzw = arrays[entry["clip"] + "/q"].astype(np.float64)
            turned = Rotation.from_quat(quat_xyzw.reshape(-1, 4)).as_matrix().reshape((*quat_xyzw.shape[:2], 3, 3))
            yield (
                entry["clip"],
                str(entry["subject"]),
                float(entry["fps"]),
                skeleton,
                turned,
                arrays[entry["clip"] + "/root"].astype(float),
            )
    except KeyError as error:
        raise mismatch(f"{path}", "the arrays of clean motion", f"none named {error}") from None
    if not entries:
        asked = "of subjects " + ", ".join(keep) if keep else "without subjects " + ", ".join(leave_out)
        raise mismatch(f"{path}", f"clips {asked}", "none")


def read_clean(
    path: Path, exclude_subjects: Collection[str], fps: float | None, every: slice = _ALL
) -> list[NDArray[np.float32]]:
    """Return the joint positions (T, J, 3) in metres of all clips whose own rate is a multiple of ``fps``.

    Without ``fps`` those of all clips, each at its own rate. ``every`` as for :func:`clean_clips`.

    Raises:
        ValueError: as :func:`clean_clips`.
    """
    clips = clean_clips(path, leave_out=exclude_subjects, every=every)
    steps = ((clip, 1.0 if fps is None else clip.fps / fps) for clip in clips)
    return [clip.positions[:: int(step)].astype(np.float32) for clip, step in steps if step.is_integer()]
