from __future__ import annotations

import io
import pickle
import re
import zipfile
from typing import Any

import numpy as np
import pytest

from smpl_tools.formats import detect, read, write

RNG = np.random.default_rng(5)


def numbers(*shape, dtype: Any = np.float64):
    return RNG.normal(size=shape).astype(dtype)


def changed(motion, values):
    person = motion.people[0]
    return motion.with_people((person.with_tracks({"motion": person.tracks["motion"].replace(values=values)}),))


SHAPES = [
    (None, (9, 17, 3), "position", (9, 17, 3)),
    (None, (9, 17, 2), "position", (9, 17, 2)),
    (None, (9, 1, 3), "position", (9, 1, 3)),
    (None, (0, 17, 3), "position", (0, 17, 3)),
    ("position", (9, 51), "position", (9, 17, 3)),
    ("position", (9, 34), "position", (9, 17, 2)),
    ("position", (9, 3), "position", (9, 1, 3)),
    ("position", (9, 2, 4, 3), "position", (9, 8, 3)),
    ("axis_angle", (9, 72), "axis_angle", (9, 24, 3)),
    ("axis_angle", (9, 24, 3), "axis_angle", (9, 24, 3)),
    ("rotation_matrix", (9, 24, 3, 3), "rotation_matrix", (9, 24, 3, 3)),
    ("rotation_matrix", (9, 3, 3), "rotation_matrix", (9, 1, 3, 3)),
    ("rotation_matrix", (9, 24, 9), "rotation_matrix", (9, 24, 3, 3)),
    ("rotation_matrix", (9, 216), "rotation_matrix", (9, 24, 3, 3)),
    ("quat_wxyz", (9, 96), "quat_wxyz", (9, 24, 4)),
    ("quat_wxyz", (9, 24, 4), "quat_wxyz", (9, 24, 4)),
    ("rotation_6d", (9, 144), "rotation_6d", (9, 24, 6)),
    ("channels", (9, 5), "channels", (9, 5)),
    ("channels", (9, 5, 7), "channels", (9, 35)),
    ("channels", (9,), "channels", (9, 1)),
]


@pytest.mark.parametrize(("kind", "shape", "found", "track_shape"), SHAPES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_npy_layouts(tmp_path, kind, shape, found, track_shape, dtype):
    array = numbers(*shape, dtype=dtype)
    path = tmp_path / "take.bin"
    with path.open("wb") as file:
        np.save(file, array)
    assert detect(path).name == "array"
    motion = read(path, kind=kind)
    track = motion.people[0].tracks["motion"]
    assert (track.kind, track.values.shape, track.values.dtype) == (found, track_shape, array.dtype)
    np.testing.assert_array_equal(track.values.ravel(), array.ravel())
    write(motion, tmp_path / "same.npy")
    assert (tmp_path / "same.npy").read_bytes() == path.read_bytes()
    new = (track.values * 2).astype(np.float64)
    write(changed(motion, new), tmp_path / "out.npy")
    result = np.load(tmp_path / "out.npy")
    assert (result.shape, result.dtype) == (array.shape, array.dtype)
    np.testing.assert_array_equal(result, array * 2)


def test_columns_first_arrays(tmp_path):
    array = np.asfortranarray(numbers(9, 17, 3))
    np.save(tmp_path / "take.npy", array)
    motion = read(tmp_path / "take.npy")
    write(motion, tmp_path / "same.npy")
    assert (tmp_path / "same.npy").read_bytes() == (tmp_path / "take.npy").read_bytes()
    write(changed(motion, motion.people[0].tracks["motion"].values + 1), tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), array + 1)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("key", ["motion", "poses", "positions", "anything"])
def test_npz_with_one_motion(tmp_path, key, compressed):
    arrays = {
        "names": np.array(["a", "b"]),
        key: numbers(9, 4, 3, dtype=np.float32),
        "fps": np.array(59.94),
        "label": numbers(4),
        "frame": np.arange(9)[:, None],
        "file": np.array(1),
    }
    if key != "anything":
        arrays["offsets"] = numbers(4, 3)
    path = tmp_path / "take.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            stream = io.BytesIO()
            np.save(stream, array)
            archive.writestr(name + ".npy", stream.getvalue())
    motion = read(path)
    assert motion.fps == 59.94
    new = motion.people[0].tracks["motion"].values + np.float32(1)
    for values in (None, new):
        write(motion if values is None else changed(motion, values), tmp_path / "out.npz")
        expected = arrays if values is None else {**arrays, key: new}
        with np.load(tmp_path / "out.npz") as found:
            assert list(found.files) == list(arrays)
            for name, array in expected.items():
                assert found[name].dtype == array.dtype
                assert found[name].tobytes() == array.tobytes()
        with zipfile.ZipFile(tmp_path / "out.npz") as archive:
            assert {i.compress_type for i in archive.infolist()} == {8 if compressed else 0}


def test_not_finite_keeps_the_files_number(tmp_path):
    array = numbers(9, 4, 3)
    array[2, 1] = np.nan
    array[3, 1] = np.inf
    np.save(tmp_path / "take.npy", array)
    motion = read(tmp_path / "take.npy")
    new = motion.people[0].tracks["motion"].values + 1
    write(changed(motion, new), tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), array + 1)


REFUSED = [
    (
        numbers(9, 51),
        None,
        "array: shape: expected (T, J, 3) or (T, J, 2) where no kind is given (of position, ",
    ),
    (
        numbers(9, 24, 4),
        None,
        "array: shape: expected (T, J, 3) or (T, J, 2) where no kind is given (of position",
    ),
    (
        numbers(9, 25),
        "axis_angle",
        "array: shape for kind axis_angle: expected (T, J, 3), or (T, C) that divides into it,",
    ),
    (
        numbers(9, 25),
        "position",
        "array: shape for kind position: expected (T, J, 3) or (T, J, 2), or (T, C) that divides",
    ),
    (numbers(9, 24, 3), "quat_wxyz", "array: shape for kind quat_wxyz: expected (T, J, 4), or (T, C) that divides"),
    (np.array(1.0), "channels", "array: shape for kind channels: expected (T, C), or (T, C) that divides"),
    (numbers(9, 0, 3), None, "array: shape: expected at least one joint or channel, received (9, 0, 3)"),
    (np.zeros((9, 4, 3), int), None, "array: expected floating-point numbers, received dtype int64"),
    (np.zeros((9, 4, 3), complex), None, "array: expected floating-point numbers, received dtype complex128"),
]


@pytest.mark.parametrize(("array", "kind", "message"), REFUSED)
def test_refusals(tmp_path, array, kind, message):
    path = tmp_path / "take.npy"
    np.save(path, array)
    with pytest.raises(ValueError, match="^" + re.escape(f"{path}: {message}")) as caught:
        read(path, kind=kind)
    assert "\n" not in str(caught.value)


def test_ambiguous_archives_list_their_arrays(tmp_path):
    path = tmp_path / "take.npz"
    np.savez(path, a=numbers(3, 4, 3), b=numbers(3, 4, 3), c=np.arange(3))
    expected = (
        f"{path}: arrays: expected one array of floats with two or more axes, or one named motion, positions, poses, "
        "received a (3, 4, 3) float64, b (3, 4, 3) float64, c (3,) int64"
    )
    with pytest.raises(ValueError, match="^" + re.escape(expected) + "$"):
        read(path)
    many: Any = {f"a{k}": numbers(3, 4, 3) for k in range(20)}
    np.savez(path, **many)
    with pytest.raises(ValueError, match=r"and 8 more$"):
        read(path)
    np.savez(path, motion=numbers(3, 4, 3), poses=numbers(3, 4, 3))
    with pytest.raises(ValueError, match="received motion"):
        read(path)


class Attack:
    def __reduce__(self):
        return (exec, ("raise SystemExit('this ran')",))


def test_an_object_array_that_asks_for_code_is_refused(tmp_path):
    path = tmp_path / "take.npy"
    np.save(path, np.array([Attack()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"builtins\.exec"):
        read(path)


def test_an_object_array_is_no_motion(tmp_path):
    path = tmp_path / "take.npy"
    np.save(path, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="array: expected floating-point numbers, received dtype object"):
        read(path)


@pytest.mark.parametrize("keep", [3, 20, 90, -5])
def test_cut_files_are_refused_in_one_line(tmp_path, keep):
    for name, save in (("take.npy", np.save), ("take.npz", np.savez)):
        path = tmp_path / name
        save(path, numbers(9, 4, 3))
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(ValueError, match="^" + re.escape(str(path))) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_declared_size_is_not_believed(tmp_path):
    path = tmp_path / "take.npy"
    stream = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 17, 3)}
    np.lib.format.write_array_header_1_0(stream, header)
    path.write_bytes(stream.getvalue() + b"\0" * 100)
    with pytest.raises(ValueError, match="declares"):
        read(path)


def test_pickles_are_not_arrays(tmp_path):
    path = tmp_path / "take.npy"
    path.write_bytes(pickle.dumps(np.zeros((3, 4, 3)), protocol=4))
    with pytest.raises(ValueError, match="unknown format"):
        read(path)
