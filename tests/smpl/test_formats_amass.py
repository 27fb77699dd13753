from __future__ import annotations

import io
import re
import zipfile
from typing import Any

import numpy as np
import pytest

from smpl_tools.formats import detect, read, write
from smpl_tools.skeleton import SMPL, SMPL_H, SMPL_X

T = 7
RNG = np.random.default_rng(3)


def numbers(*shape, dtype: Any = np.float64):
    return RNG.normal(size=shape).astype(dtype)


def smpl_h(dtype: Any = np.float64):
    return {
        "trans": numbers(T, 3, dtype=dtype),
        "gender": np.array("female"),
        "mocap_framerate": np.array(120.0),
        "betas": numbers(16),
        "dmpls": numbers(T, 8),
        "poses": numbers(T, 156, dtype=dtype),
    }


def smpl_x(dtype: Any = np.float64, copies: Any = np.float64):
    poses = numbers(T, 165, dtype=dtype)
    return {
        "gender": np.array("neutral"),
        "surface_model_type": np.array("smplx"),
        "mocap_frame_rate": np.array(59.94),
        "mocap_time_length": np.array(0.1),
        "trans": numbers(T, 3, dtype=dtype),
        "poses": poses,
        "betas": numbers(16),
        "num_betas": np.array(16),
        "root_orient": poses[:, :3].astype(copies),
        "pose_body": poses[:, 3:66].astype(copies),
        "pose_hand": poses[:, 75:].astype(copies),
        "pose_jaw": poses[:, 66:69].astype(copies),
        "pose_eye": poses[:, 69:75].astype(copies),
    }


def blender_addon():
    return {
        "gender": np.array("male"),
        "betas": numbers(T, 10),
        "expressions": numbers(T, 10, dtype=np.float32),
        "trans": numbers(T, 3, dtype=np.float32),
        "poses": numbers(T, 165, dtype=np.float32),
        "mocap_frame_rate": np.array(30),
    }


def smpl():
    return {"poses": numbers(T, 72), "trans": numbers(T, 3), "betas": numbers(10), "gender": np.array("male")}


def parts_only():
    whole = smpl_x()
    del whole["poses"]
    return whole


FILES = {
    "SMPL-H": smpl_h,
    "SMPL-H float32": lambda: smpl_h(np.float32),
    "SMPL-X": smpl_x,
    "SMPL-X float32 copies": lambda: smpl_x(np.float64, np.float32),
    "Blender add-on": blender_addon,
    "SMPL": smpl,
    "parts only": parts_only,
    "(T, J, 3)": lambda: {**smpl_h(), "poses": numbers(T, 52, 3)},
    "no frames": lambda: {k: v[:0] if v.ndim == 2 else v for k, v in smpl_x().items()},
}


def saved(folder, arrays, *, compressed=False):
    path = folder / "take.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


def assert_same(path, arrays, *, but=()):
    with np.load(path) as found:
        assert list(found.files) == list(arrays)
        for key, array in arrays.items():
            if key not in but:
                assert found[key].dtype == array.dtype, key
                assert found[key].shape == array.shape, key
                assert found[key].tobytes() == array.tobytes(), key


def changed(motion, **values):
    person = motion.people[0]
    tracks = {name: person.tracks[name].replace(values=new) for name, new in values.items()}
    return motion.with_people((person.with_tracks(tracks),))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_comes_back_bit_for_bit(tmp_path, name, compressed):
    arrays = FILES[name]()
    path = saved(tmp_path, arrays, compressed=compressed)
    assert detect(path).name == "amass"
    write(read(path), tmp_path / "out.npz")
    assert_same(tmp_path / "out.npz", arrays)
    assert (tmp_path / "out.npz").stat().st_size == pytest.approx(path.stat().st_size, rel=0.05)


def test_tracks_of_smpl_h(tmp_path):
    arrays = smpl_h(np.float32)
    motion = read(saved(tmp_path, arrays))
    tracks = motion.people[0].tracks
    assert motion.fps == 120.0
    assert list(tracks) == ["global_orient", "body_pose", "left_hand_pose", "right_hand_pose", "transl"]
    assert sum((t.joints for n, t in tracks.items() if n != "transl"), ()) == SMPL_H.joints
    assert [t.part for t in tracks.values()] == ["root", "body", "hands", "hands", "root"]
    flat = np.concatenate([t.values.reshape(T, -1) for n, t in tracks.items() if n != "transl"], axis=1)
    np.testing.assert_array_equal(flat, arrays["poses"])
    assert flat.dtype == np.float32
    np.testing.assert_array_equal(tracks["transl"].values[:, 0], arrays["trans"])


def test_tracks_of_smpl_x(tmp_path):
    arrays = smpl_x()
    motion = read(saved(tmp_path, arrays))
    tracks = motion.people[0].tracks
    assert motion.fps == 59.94
    assert motion.notes == ()
    assert {n: t.part for n, t in tracks.items()} == {
        "global_orient": "root",
        "body_pose": "body",
        "jaw_pose": "face",
        "eye_pose": "face",
        "left_hand_pose": "hands",
        "right_hand_pose": "hands",
        "transl": "root",
    }
    assert sum((t.joints for n, t in tracks.items() if n != "transl"), ()) == SMPL_X.joints
    np.testing.assert_array_equal(tracks["left_hand_pose"].values.reshape(T, -1), arrays["pose_hand"][:, :45])
    np.testing.assert_array_equal(tracks["eye_pose"].values.reshape(T, -1), arrays["pose_eye"])


def test_parts_alone_make_the_same_tracks(tmp_path):
    arrays = smpl_x()
    whole = read(saved(tmp_path, arrays)).people[0].tracks
    del arrays["poses"]
    parts = read(saved(tmp_path, arrays)).people[0].tracks
    assert parts.keys() == whole.keys()
    for name, track in whole.items():
        np.testing.assert_array_equal(parts[name].values, track.values)


def test_tracks_of_smpl_and_of_what_varies_per_frame(tmp_path):
    assert read(saved(tmp_path, smpl())).people[0].tracks["body_pose"].joints == SMPL.joints[1:]
    motion = read(saved(tmp_path, blender_addon()))
    betas, expression = (motion.people[0].tracks[n] for n in ("betas", "expression"))
    assert (betas.kind, betas.part, betas.values.shape) == ("channels", "shape", (T, 10))
    assert (expression.kind, expression.part, expression.values.dtype) == ("channels", "face", np.float32)


@pytest.mark.parametrize("copies", [np.float64, np.float32])
def test_a_change_lands_in_both_places_and_nowhere_else(tmp_path, copies):
    arrays = smpl_x(np.float64, copies)
    motion = read(saved(tmp_path, arrays))
    new = motion.people[0].tracks["right_hand_pose"].values.copy()
    new[2] += 0.25
    kept = new.copy()
    write(changed(motion, right_hand_pose=new), tmp_path / "out.npz")
    np.testing.assert_array_equal(new, kept)
    expected = dict(arrays)
    expected["poses"] = arrays["poses"].copy()
    expected["poses"][2, 120:] = new[2].ravel()
    expected["pose_hand"] = arrays["pose_hand"].copy()
    expected["pose_hand"][2, 45:] = new[2].ravel().astype(copies)
    assert_same(tmp_path / "out.npz", expected)
    again = read(tmp_path / "out.npz")
    assert again.notes == ()
    np.testing.assert_array_equal(again.people[0].tracks["right_hand_pose"].values, new)


def test_several_changes_share_an_array(tmp_path):
    arrays = smpl_h()
    motion = read(saved(tmp_path, arrays))
    tracks = motion.people[0].tracks
    new = {name: tracks[name].values + 0.1 for name in ("global_orient", "body_pose", "transl")}
    write(changed(motion, **new), tmp_path / "out.npz")
    expected = {**arrays, "poses": arrays["poses"].copy(), "trans": arrays["trans"] + 0.1}
    expected["poses"][:, :66] += 0.1
    assert_same(tmp_path / "out.npz", expected)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(1500, 156), (1500, 52, 3)])
def test_long_archives_are_written_as_short_ones(tmp_path, shape, order):
    given = {"poses": np.asarray(numbers(*shape, dtype=np.float32), order=order), "trans": numbers(1500, 3)}
    np.savez(tmp_path / "take.npz", **given)
    motion = read(tmp_path / "take.npz")
    person = motion.people[0]
    new = {
        name: person.tracks[name].replace(values=person.tracks[name].values + np.float32(0.5))
        for name in ("global_orient", "right_hand_pose")
    }
    new["right_hand_pose"].values[1400, 3] = np.nan
    write(motion.with_people((person.with_tracks(new),)), tmp_path / "new.npz")
    expected = given["poses"].reshape(1500, 156).copy()
    kept = expected[1400, 111 + 9 : 111 + 12].copy()
    expected[:, :3] += np.float32(0.5)
    expected[:, 111:] += np.float32(0.5)
    expected[1400, 111 + 9 : 111 + 12] = kept
    with np.load(tmp_path / "new.npz") as found:
        assert found["poses"].dtype == np.float32
        np.testing.assert_array_equal(found["poses"], expected.reshape(shape))
        np.testing.assert_array_equal(found["trans"], given["trans"])
    plain = io.BytesIO()
    np.save(plain, expected.reshape(shape))
    with zipfile.ZipFile(tmp_path / "new.npz") as archive:
        assert archive.read("poses.npy") == plain.getvalue()


def test_what_is_not_finite_keeps_the_files_number(tmp_path):
    arrays = smpl_h()
    arrays["trans"][3] = np.nan
    motion = read(saved(tmp_path, arrays))
    new = motion.people[0].tracks["transl"].values + 1
    new[5] = np.nan
    write(changed(motion, transl=new), tmp_path / "out.npz")
    expected = arrays["trans"] + 1
    expected[5] = arrays["trans"][5]
    assert_same(tmp_path / "out.npz", {**arrays, "trans": expected})


def test_copies_that_differ_are_left_alone_with_a_note(tmp_path):
    arrays = smpl_x()
    arrays["pose_body"] = arrays["pose_body"] + 0.5
    motion = read(saved(tmp_path, arrays))
    assert motion.notes == ("'pose_body' differs from 'poses' and is left as it is",)
    new = motion.people[0].tracks["body_pose"].values * 0
    write(changed(motion, body_pose=new), tmp_path / "out.npz")
    assert_same(tmp_path / "out.npz", arrays, but=("poses",))


@pytest.mark.parametrize("rate", [None, np.array("fast"), np.array(0.0), np.array(np.nan), np.array([1.0, 2.0])])
def test_no_frame_rate(tmp_path, rate):
    arrays = smpl_h()
    del arrays["mocap_framerate"]
    if rate is not None:
        arrays["mocap_framerate"] = rate
    path = saved(tmp_path, arrays)
    motion = read(path)
    assert motion.fps is None
    assert motion.notes == ("the file does not state its frame rate",)
    assert read(path, fps=25).fps == 25.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"poses": numbers(T, 100)}, "shape of 'poses': expected (T, C) with C one of 72, 156, 165, received (7, 100)"),
        ({"trans": numbers(T - 1, 3)}, "shape of 'trans': expected (7, 3), received (6, 3)"),
        ({"pose_body": numbers(T, 60)}, "shape of 'pose_body': expected (7, 63), received (7, 60)"),
        ({"poses": np.zeros((T, 165), int)}, "'poses': expected floating-point numbers, received dtype int64"),
    ],
)
def test_refusals(tmp_path, change, message):
    path = saved(tmp_path, {**smpl_x(), **change})
    with pytest.raises(ValueError, match="^" + re.escape(f"{path}: {message}") + "$"):
        read(path, format="amass")


def test_another_archive_is_refused_by_name(tmp_path):
    path = saved(tmp_path, {"a": numbers(3, 3)})
    expected = f"{path}: keys: expected 'poses', or 'root_orient' and 'pose_body', received a"
    with pytest.raises(ValueError, match="^" + re.escape(expected) + "$"):
        read(path, format="amass")
