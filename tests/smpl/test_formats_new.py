"""What holds for the new files of all formats of SMPL poses that are made from plain motions."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from smpl_tools.contents import as_content
from smpl_tools.formats import FORMATS, read
from smpl_tools.motion import Motion
from tests.smpl.plain_smpl import plain_motion, plain_person

NAMES = ("wham", "vibe", "gvhmr", "tram", "aist", "smoothnet")


def motion_for(name: str, **changes) -> Motion:
    made_for = FORMATS[name]
    person = plain_person(up=made_for.up or "y", metres=made_for.metres or 1.0, **changes)
    return plain_motion(person, fps=made_for.fps or 30.0)


@pytest.mark.parametrize("name", NAMES)
def test_the_motion_is_not_modified_and_the_file_is_written_whole(tmp_path, name):
    motion = motion_for(name, frames=[1, 2, 5])
    before = copy.deepcopy(motion.people[0])
    make = FORMATS[name].make
    assert make is not None
    make(motion, tmp_path / "new")
    for key, track in motion.people[0].tracks.items():
        np.testing.assert_array_equal(track.values, before.tracks[key].values)
    assert [p.name for p in tmp_path.iterdir()] == ["new"]
    with pytest.raises(ValueError, match=r"nowhere"):
        make(motion, tmp_path / "nowhere" / "new")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_what_was_not_observed_stays_so(tmp_path, name, dtype):
    motion = motion_for(name, dtype=dtype)
    person = motion.people[0]
    for track, joint in (("global_orient", 0), ("body_pose", 4), ("transl", 0)):
        person.tracks[track].values[2, joint] = np.nan
    make = FORMATS[name].make
    assert make is not None
    make(motion, tmp_path / "new")
    new = as_content(read(tmp_path / "new"), "smpl")[0].people[0]
    for key, track in new.tracks.items():
        # GVHMR's body has 21 joints.
        if key in person.tracks:
            wanted = person.tracks[key].values[:, : track.values.shape[1]]
            np.testing.assert_array_equal(np.isnan(track.values), np.isnan(wanted))


@pytest.mark.parametrize("name", NAMES)
def test_one_frame_and_none(tmp_path, name):
    make = FORMATS[name].make
    assert make is not None
    for frames in ([7], []):
        make(motion_for(name, frames=frames), tmp_path / "new")
        (new,) = read(tmp_path / "new", format=name).people
        assert len(new.frames) == len(frames)
        assert new.tracks["body_pose"].values.shape[0] == len(frames)


@pytest.mark.parametrize("name", ["amass", "amass-smplx", "smplx-blender"])
def test_one_frame_and_none_of_an_archive(tmp_path, name):
    make = FORMATS[name].make
    assert make is not None
    for frames in ([0], []):
        make(motion_for("wham", frames=frames), tmp_path / "new.npz")
        with np.load(tmp_path / "new.npz") as archive:
            assert archive["poses"].shape == (len(frames), 156 if name == "amass" else 165)
        assert len(read(tmp_path / "new.npz").people[0].frames) == len(frames)


@pytest.mark.parametrize("name", NAMES)
def test_no_other_format_takes_the_file(tmp_path, name):
    path = tmp_path / "new"
    make = FORMATS[name].make
    assert make is not None
    make(motion_for(name), path)
    head = path.read_bytes()[:4096]
    takers = [n for n, one in FORMATS.items() if one.matches is not None and one.matches(path, head)]
    # Plain arrays are asked last; to them any array will do.
    assert [n for n in takers if n != "array"] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_only_what_is_said_to_survive_is_promised(name):
    # Frame numbers can only survive where gaps do, and ids where there can be several people.
    keeps = set(FORMATS[name].keeps)
    assert ("frame numbers" in keeps) == ("gaps" in keeps)
    assert ("ids" in keeps) == ("people" in keeps)
    assert "frame rate" not in keeps
