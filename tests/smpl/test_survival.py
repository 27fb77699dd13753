"""What survives in a new file of each format: tried out here, stated in the table of formats, printed in the docs.

``SMOOTHNET_WRITE_DOCS=1 pytest tests/smpl/test_survival.py`` writes the table into ``docs/formats.md``.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from smpl_tools.contents import CONTENTS, as_content
from smpl_tools.convert import had, make, makeable, prepared_for
from smpl_tools.formats import FORMATS, read
from smpl_tools.formats._format import KEPT
from smpl_tools.joint_names import normal_name
from smpl_tools.motion import Motion
from smpl_tools.rotations import axis_angle_to_matrix, geodesic_angle
from smpl_tools.skeleton import SMPL
from tests.helpers import REPOSITORY
from tests.smpl.plain_motions import (
    FACE,
    HANDS,
    RATE,
    base,
    picked_rows,
    points_person,
    smooth,
    smpl_parts,
    smpl_person,
    track,
    with_track,
)

DOCUMENT = REPOSITORY / "docs" / "formats.md"
BEGIN, END = "<!-- what survives: written by tests/smpl/test_survival.py -->", "<!-- end -->"
SEEN = [0, 1, 2, 5, 6, 7, 8, 11]
# Formats that are written and not read have nothing to compare.
READ = [name for name in makeable() if name not in ("gltf",)]


def smpl_cases():
    """Return for every thing that may survive a motion that has it."""
    one = smpl_person()
    parts = smpl_parts(len(one.frames))
    hands, face = ({n: parts[n] for n in names} for names in (HANDS, FACE))
    holes = picked_rows(one, SEEN)
    return {
        "translation": base("smpl", with_track(one, transl=parts["transl"])),
        "hands": base("smpl", with_track(one, **hands)),
        "jaw and eyes": base("smpl", with_track(one, **face)),
        "expression": base("smpl", with_track(one, **face, expression=parts["expression"])),
        "betas": base("smpl", dataclasses.replace(one, betas=np.linspace(-1, 1, 10))),
        "changing betas": base("smpl", with_track(one, betas=parts["betas"])),
        "gender": base("smpl", dataclasses.replace(one, gender="female")),
        "people": base("smpl", [one, smpl_person(ident="1")]),
        "ids": base("smpl", [smpl_person(ident="3"), smpl_person(ident="12")]),
        "gaps": base("smpl", holes),
        "frame numbers": base("smpl", dataclasses.replace(one, frames=one.frames + 17)),
        "frame rate": base("smpl", one),
    }


def points_cases(content):
    size = 2 if content == "joints_2d" else 3
    one = points_person(size=size)
    count = len(one.tracks["joints"].joints)
    confidence = np.random.default_rng(0).uniform(0.2, 0.9, (len(one.frames), count)).round(3)
    holes = picked_rows(one, SEEN)
    other = points_person(ident="1", size=size)
    moved = other.tracks["joints"].values + (400 if size == 2 else 2)
    other = other.with_tracks({"joints": other.tracks["joints"].replace(values=moved)})
    return {
        "joint names": base(content, one),
        "confidence": base(content, points_person(size=size, confidence=confidence)),
        "people": base(content, [one, other]),
        "ids": base(content, [dataclasses.replace(one, id="3"), dataclasses.replace(other, id="12")]),
        "gaps": base(content, holes),
        "frame numbers": base(content, dataclasses.replace(one, frames=one.frames + 17)),
        "frame rate": base(content, one),
    }


def rig_cases():
    one = smpl_person()
    transl = track(smooth(12, 1, 3, seed=4), "position", "root", ["pelvis"], metres=1.0, up="y")
    names = tuple(f"bone_{name}" for name in SMPL.joints)
    skeleton = dataclasses.replace(SMPL, joints=names, metres=1.0)
    tracks = {n: t.replace(joints=tuple(f"bone_{j}" for j in t.joints)) for n, t in one.tracks.items()}
    tracks = {n: t.replace(values=axis_angle_to_matrix(t.values), kind="rotation_matrix") for n, t in tracks.items()}
    person = dataclasses.replace(one, tracks={**tracks, "transl": transl.replace(joints=names[:1])})
    motion = Motion("something else", (person,), RATE, skeleton)
    other = dataclasses.replace(person, id="1")
    return {
        "translation": motion,
        "joint names": motion,
        "people": dataclasses.replace(motion, people=(person, other)),
        "frame rate": motion,
    }


CASES = {
    "smpl": smpl_cases,
    "rig": rig_cases,
    "joints": lambda: points_cases("joints"),
    "joints_2d": lambda: points_cases("joints_2d"),
    "array": lambda: points_cases("joints"),
}


def there_and_back(motion, name, folder):
    """Return the motion as it was made ready for a format, and as it is read from the new file."""
    ready, _ = prepared_for(motion, name)
    suffixes = FORMATS[name].suffixes
    # Of a plain array's two suffixes the second is the archive, which can state a rate.
    path = Path(folder) / f"file{suffixes[-1 if name == 'array' else 0] if suffixes else ''}"
    make(ready, name, path)
    again = read(path, kind="position" if name == "array" else None)
    content = "joints" if name == "array" else FORMATS[name].contents[0]
    if name == "array":
        named = {p.id: p.tracks["motion"] for p in ready.people}
        ready = ready.with_people(tuple(dataclasses.replace(p, tracks={"joints": named[p.id]}) for p in ready.people))
    if content == "joints" and any(t.values.shape[2:] == (2,) for p in ready.people for t in p.tracks.values()):
        content = "joints_2d"
    return ready, as_content(again, content)[0]


def close(new, old):
    return new.shape == old.shape and np.allclose(new, old, atol=1e-5, equal_nan=True)


def matching(new, old):
    """Return for every joint the index of the old track's joint of that name, by its place where it has no name."""
    names = [normal_name(j) for j in old.joints]
    known = [names.index(normal_name(j)) if normal_name(j) in names else -1 for j in new.joints]
    return np.array(known if max(known) >= 0 else range(len(known)))


def survives(what, ready, again):
    """Tell whether a thing that the motion has is in what was read back."""
    old, new = ready.people[0], next(iter(again.people), None)
    if new is None:
        return False
    if what == "people":
        return len(again.people) == len(ready.people)
    if what == "ids":
        return [p.id for p in again.people] == [p.id for p in ready.people]
    if what in ("gaps", "frame numbers"):
        spans = [p.frames - (p.frames[0] if what == "gaps" else 0) for p in (old, new)]
        seen = np.isfinite(next(iter(new.tracks.values())).values).reshape(len(new.frames), -1).any(axis=1)
        return np.array_equal(spans[1][seen], spans[0])
    if what == "frame rate":
        return again.fps is not None and abs(again.fps / RATE - 1) < 1e-5
    if what == "gender":
        return new.gender == old.gender
    if what == "betas":
        found = new.betas if new.betas is not None else new.tracks["betas"].values[0] if "betas" in new.tracks else None
        return found is not None and close(found[:10], old.betas)
    if what == "confidence":
        one, other = new.tracks["joints"], old.tracks["joints"]
        at = matching(one, other)
        return one.confidence is not None and close(one.confidence[:, at >= 0], other.confidence[:, at[at >= 0]])
    if what == "joint names":
        names = [{normal_name(j) for t in p.tracks.values() for j in t.joints} for p in (old, new)]
        return names[1] <= names[0]
    tracks = {
        "translation": ("transl",),
        "hands": ("left_hand_pose", "right_hand_pose"),
        "jaw and eyes": ("jaw_pose", "eye_pose"),
        "expression": ("expression",),
        "changing betas": ("betas",),
    }[what]
    for name in tracks:
        if name not in new.tracks:
            return False
        columns = old.tracks[name].values.shape[1]
        if not close(new.tracks[name].values[:, :columns], old.tracks[name].values):
            return False
    return True


def pose_error(ready, again):
    """Return the largest error of rotations in degrees or of positions in the format's unit."""
    old, new = ready.people[0].tracks, again.people[0].tracks
    if "global_orient" in old:
        errors = []
        for name in ("global_orient", "body_pose"):
            pair = [t[name].values for t in (old, new)]
            pair = [axis_angle_to_matrix(v) if v.ndim == 3 else v for v in pair]
            joints = min(v.shape[1] for v in pair)
            order = [new[name].joints.index(j) for j in old[name].joints[:joints] if j in new[name].joints]
            errors.append(np.rad2deg(geodesic_angle(pair[0][:, :joints][:, : len(order)], pair[1][:, order])).max())
        return float(max(errors))
    at = matching(new["joints"], old["joints"])
    return float(np.nanmax(np.abs(new["joints"].values[:, at >= 0] - old["joints"].values[:, at[at >= 0]])))


@cache
def found(name):
    """Return what survives in a new file of a format, and the largest error of what it holds."""
    content = FORMATS[name].contents[0]
    kept, error = [], 0.0
    for what, motion in CASES[content]().items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                ready, again = there_and_back(motion, name, folder)
            except ValueError as refusal:
                if "room for gaps" not in str(refusal) and "people for" not in str(refusal):
                    raise
                continue
        if what in ("translation", "joint names"):
            error = max(error, pose_error(ready, again))
        if survives(what, ready, again):
            kept.append(what)
    return kept, error


@pytest.mark.parametrize("name", READ)
def test_what_the_format_states_is_what_survives(name):
    kept, _ = found(name)
    assert set(kept) == set(FORMATS[name].keeps)
    assert set(FORMATS[name].keeps) <= set(KEPT)


@pytest.mark.parametrize("name", READ)
def test_poses_and_positions_come_back(name):
    # Numbers are float32 in some formats, six decimals in others.
    assert found(name)[1] < 2e-3 if FORMATS[name].contents[0] != "joints_2d" else found(name)[1] < 0.01


def test_everything_a_motion_can_have_is_known():
    for cases in CASES.values():
        for what, motion in cases().items():
            if what not in ("ids", "frame numbers", "joint names"):
                assert what in had(motion), what


def _table():
    marks = {True: "yes", False: "-"}
    columns = [what for what in KEPT if any(what in FORMATS[name].keeps for name in READ)]
    lines = ["| format | holds | " + " | ".join(columns) + " | largest error |", "|---" * (len(columns) + 3) + "|"]
    for name in READ:
        kept, error = found(name)
        unit = "°" if FORMATS[name].contents[0] in ("smpl", "rig") else ""
        shown = "0" if error < 1e-9 else f"{error:.0e}{unit}"
        holds = ", ".join(CONTENTS[c] for c in FORMATS[name].contents)
        cells = " | ".join(marks[what in kept] for what in columns)
        lines.append(f"| `{name}` | {holds} | {cells} | {shown} |")
    return "\n".join(lines)


def test_the_docs_have_the_table():
    text = DOCUMENT.read_text(encoding="utf-8")
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    wanted = f"\n{_table()}\n"
    if os.environ.get("SMOOTHNET_WRITE_DOCS") == "1":
        DOCUMENT.write_text(text[:start] + wanted + text[end:], encoding="utf-8")
        return
    # Errors are rounding, whose size may differ between machines; all else must be as printed.
    strip = [[row.rsplit("|", 2)[0] for row in block.strip().split("\n")] for block in (text[start:end], wanted)]
    assert strip[0] == strip[1]
