"""TRAM's people in the world, with the camera's movement beside them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smpl_tools.contents import as_content
from smpl_tools.coordinates import PELVIS
from smpl_tools.formats import FORMATS, read, write
from smpl_tools.formats.tram import _dump
from smpl_tools.motion import Motion
from tests.smpl.plain_smpl import plain_motion, plain_person

SEEN = [3, 4, 5, 9, 10]
RNG = np.random.default_rng(5)
TURNS = Rotation.from_rotvec(RNG.normal(size=(12, 3))).as_matrix().astype(np.float32)
PLACES = RNG.normal(size=(12, 3)).astype(np.float32)
CAMERA = {"pred_cam_R": TURNS[::-1].copy(), "pred_cam_T": PLACES[::-1].copy(), "img_focal": np.float32(900)}
WORLD = {"world_cam_R": TURNS, "world_cam_T": PLACES}
WITHOUT = "as the camera sees it: its own movement is in camera.npy"


def take(folder, camera=None, **changes):
    """Save a person as TRAM lays out its folders, with the camera's file; return the person's."""
    (folder / "hps").mkdir(exist_ok=True)
    path = folder / "hps" / "hps_track_0.npy"
    make = FORMATS["tram"].make
    assert make is not None
    make(plain_motion(plain_person(frames=SEEN, up="-y", **changes)), path)
    if camera is not None:
        np.save(folder / "camera.npy", np.array(camera, dtype=object), allow_pickle=True)
    return path


def changed(motion: Motion, **values) -> Motion:
    (person,) = motion.people
    tracks = {name: person.tracks[name].replace(values=numbers) for name, numbers in values.items()}
    return motion.with_people((person.with_tracks(tracks),))


def points(person, suffix: str) -> np.ndarray:
    """Return points of a rigid body that the root carries, as the body model places them: turned about the pelvis."""
    rest = np.random.default_rng(0).normal(size=(7, 3))
    turn = person.tracks[f"global_orient{suffix}"].values[:, 0].astype(float)
    return (rest - PELVIS) @ turn.transpose(0, 2, 1) + PELVIS + person.tracks[f"transl{suffix}"].values


@pytest.mark.parametrize(
    ("camera", "up"), [(CAMERA, "-y"), ({**CAMERA, **WORLD}, "y"), (WORLD, "y")], ids=["old", "new", "world alone"]
)
def test_the_body_stands_in_the_world_where_the_camera_puts_it(tmp_path, camera, up):
    motion = read(take(tmp_path, camera))
    (person,) = motion.people
    turns, places = (TURNS, PLACES) if up == "y" else (CAMERA["pred_cam_R"], CAMERA["pred_cam_T"])
    seen = points(person, "")
    expected = np.einsum("tij,tkj->tki", turns[SEEN], seen) + places[SEEN][:, None]
    np.testing.assert_allclose(points(person, "_world"), expected, atol=1e-5)
    assert {person.tracks[f"{name}_world"].up for name in ("global_orient", "transl")} == {up}
    assert motion.notes[-1].startswith("the world's view is computed with camera.npy")
    # What is made of it by other formats is the world's view.
    plain = as_content(motion, "smpl")[0].people[0]
    assert plain.tracks["transl"].up == up


def test_beside_the_file_it_is_found_too(tmp_path):
    path = take(tmp_path, CAMERA)
    (tmp_path / "camera.npy").rename(tmp_path / "hps" / "camera.npy")
    assert "transl_world" in read(path).people[0].tracks


def test_unchanged_it_comes_back(tmp_path):
    path = take(tmp_path, CAMERA)
    write(read(path), tmp_path / "out.npy")
    assert (tmp_path / "out.npy").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["transl", "global_orient"])
def test_a_change_in_the_world_alone_is_written_as_the_camera_sees_it(tmp_path, name):
    path = take(tmp_path, {**CAMERA, **WORLD})
    motion = read(path)
    (person,) = motion.people
    values = person.tracks[f"{name}_world"].values.copy()
    # One frame; another that the refiner could not fill keeps what it was.
    values[2] = values[2] + 1 if name == "transl" else Rotation.from_rotvec([0.1, 0.2, 0.3]).as_matrix()
    values[1] = np.nan
    write(changed(motion, **{f"{name}_world": values}), path)
    (again,) = read(path).people
    values[1] = person.tracks[f"{name}_world"].values[1]
    np.testing.assert_allclose(again.tracks[f"{name}_world"].values, values, atol=1e-5)
    for track in person.tracks:
        kept = [0, 1, 3, 4] if track.startswith(name) else slice(None)
        np.testing.assert_array_equal(again.tracks[track].values[kept], person.tracks[track].values[kept])


@pytest.mark.parametrize("name", ["transl", "global_orient"])
def test_a_change_of_the_cameras_view_comes_first(tmp_path, name):
    path = take(tmp_path, CAMERA)
    motion = read(path)
    (person,) = motion.people
    values, world = (person.tracks[f"{name}{s}"].values[::-1].copy() for s in ("", "_world"))
    write(changed(motion, **{name: values, f"{name}_world": world}), path)
    (again,) = read(path).people
    np.testing.assert_array_equal(again.tracks[name].values, values)


def test_without_a_translation(tmp_path):
    path = take(tmp_path, CAMERA)
    content = read(path).source.content
    _dump({key: value for key, value in content.items() if key != "pred_trans"}, path, list(content.values()))
    motion = read(path)
    assert list(motion.people[0].tracks) == ["global_orient", "body_pose", "pred_cam", "global_orient_world"]
    write(motion, tmp_path / "out.npy")


UNUSABLE = [
    (None, WITHOUT),
    ({"other": 1}, f"{WITHOUT}, which cannot be read"),
    ({"pred_cam_R": TURNS}, f"{WITHOUT}, which cannot be read"),
    ({"pred_cam_R": "x", "pred_cam_T": PLACES}, f"{WITHOUT}, which cannot be read"),
    ([1, 2], f"{WITHOUT}, which cannot be read"),
    ({"pred_cam_R": TURNS[:, :2], "pred_cam_T": PLACES}, f"{WITHOUT}, which has other shapes than TRAM's"),
    ({"pred_cam_R": TURNS, "pred_cam_T": PLACES[:-1]}, f"{WITHOUT}, which has other shapes than TRAM's"),
    (
        {"pred_cam_R": TURNS[:10], "pred_cam_T": PLACES[:10]},
        f"{WITHOUT}, which is of another video: it has 10 frames",
    ),
    ({"pred_cam_R": 2 * TURNS, "pred_cam_T": PLACES}, f"{WITHOUT}, which holds no rotations"),
    ({"pred_cam_R": TURNS, "pred_cam_T": PLACES * np.nan}, f"{WITHOUT}, which holds no rotations"),
]


@pytest.mark.parametrize(("camera", "remark"), UNUSABLE)
def test_without_a_usable_camera_there_is_its_view_alone(tmp_path, camera, remark):
    motion = read(take(tmp_path, camera))
    assert motion.notes[-1] == remark
    assert not any(name.endswith("_world") for name in motion.people[0].tracks)
    assert motion.people[0].betas is not None
