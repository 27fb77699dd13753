from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smpl_tools.contents import as_content
from smpl_tools.formats import FORMATS, detect, read, write
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.skeleton import SMPL
from tests.smpl.plain_smpl import assert_same_person, made, people, plain_motion, plain_person

RNG = np.random.default_rng(7)
LENGTHS = (5, 8, 6)
VIDEOS = ("courtyard_00", "courtyard_00", "downtown_01")


def objects(entries):
    array = np.empty(len(entries), dtype=object)
    array[:] = entries
    return array


def sequences(*width, dtype: type = np.float32, lengths=LENGTHS):
    return objects([RNG.normal(size=(n, *width)).astype(dtype) for n in lengths])


def images(lengths=LENGTHS):
    return objects(
        [np.array([f"images/{v}/{k:05d}.jpg" for k in range(n)]) for v, n in zip(VIDEOS, lengths, strict=True)]
    )


def smpl():
    return {
        "imgname": images(),
        "pose": sequences(72),
        "shape": sequences(10),
        "joints_3d": sequences(42, dtype=np.float64),
        "trans": sequences(3),
        "scaling": objects([np.array([93.0])] * 3),
        "pred_cam": sequences(3),
    }


FILES = {
    "SMPL": smpl,
    "3D": lambda: {"imgname": images(), "joints_3d": sequences(42)},
    "3D by its other name": lambda: {"imgname": images(), "keypoints_3d": sequences(42)},
    "2D": lambda: {"imgname": images(), "joints_2d": sequences(34)},
    "no images": lambda: {"joints_3d": sequences(42)},
    "axes apart": lambda: {"imgname": images(), "joints_3d": sequences(14, 3)},
    "plain numbers": lambda: {"imgname": np.array(["a", "b"]), "joints_3d": RNG.normal(size=(2, 5, 42))},
}


def saved(folder, arrays, *, compressed=False):
    path = folder / "take.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


def assert_same(path, arrays):
    with np.load(path, allow_pickle=True) as found:
        assert list(found.files) == list(arrays)
        for key, array in arrays.items():
            assert found[key].dtype == array.dtype
            assert found[key].shape == array.shape
            for one, other in zip(found[key], array, strict=True):
                assert np.asarray(one).dtype == np.asarray(other).dtype
                np.testing.assert_array_equal(one, other)


def changed(motion, person, name, values):
    people = list(motion.people)
    people[person] = people[person].with_tracks({name: people[person].tracks[name].replace(values=values)})
    return motion.with_people(tuple(people))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_comes_back_with_equal_content(tmp_path, name, compressed):
    arrays = FILES[name]()
    path = saved(tmp_path, arrays, compressed=compressed)
    assert detect(path).name == "smoothnet"
    write(read(path), tmp_path / "out.npz")
    assert_same(tmp_path / "out.npz", arrays)


def test_sequences_are_people(tmp_path):
    arrays = smpl()
    motion = read(saved(tmp_path, arrays))
    assert motion.fps is None
    assert motion.notes == ("the file does not state its frame rate",)
    assert [p.id for p in motion.people] == ["courtyard_00", "courtyard_00 (2)", "downtown_01"]
    for k, person in enumerate(motion.people):
        assert {n: (t.kind, t.part) for n, t in person.tracks.items()} == {
            "joints_3d": ("position", "body"),
            "global_orient": ("axis_angle", "root"),
            "body_pose": ("axis_angle", "body"),
            "transl": ("position", "root"),
            "betas": ("channels", "shape"),
            "pred_cam": ("channels", "camera"),
        }
        np.testing.assert_array_equal(person.frames, np.arange(LENGTHS[k]))
        np.testing.assert_array_equal(person.tracks["joints_3d"].values.reshape(LENGTHS[k], -1), arrays["joints_3d"][k])
        assert person.tracks["body_pose"].joints == SMPL.joints[1:]
        np.testing.assert_array_equal(
            person.tracks["body_pose"].values.reshape(LENGTHS[k], 69), arrays["pose"][k][:, 3:]
        )


def test_people_without_images_are_numbered(tmp_path):
    assert [p.id for p in read(saved(tmp_path, FILES["no images"]())).people] == ["0", "1", "2"]


def test_a_change_lands_in_its_sequence_and_nowhere_else(tmp_path):
    arrays = smpl()
    motion = read(saved(tmp_path, arrays))
    new = motion.people[1].tracks["body_pose"].values + np.float32(0.5)
    write(changed(motion, 1, "body_pose", new), tmp_path / "out.npz")
    expected = {**arrays, "pose": arrays["pose"].copy()}
    expected["pose"][1] = np.concatenate([arrays["pose"][1][:, :3], new.reshape(8, 69)], axis=1)
    assert_same(tmp_path / "out.npz", expected)
    # What was read is still what was read.
    write(motion, tmp_path / "again.npz")
    assert_same(tmp_path / "again.npz", arrays)


def test_one_sequence_saved_as_an_array_of_number_objects(tmp_path):
    values = RNG.normal(size=(1, 5, 42))
    arrays = {"joints_3d": np.array(values, dtype=object)}
    motion = read(saved(tmp_path, arrays))
    new = motion.people[0].tracks["joints_3d"].values + 1
    write(changed(motion, 0, "joints_3d", new), tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz", allow_pickle=True) as found:
        assert found["joints_3d"].dtype == object
        np.testing.assert_array_equal(found["joints_3d"].astype(float), values + 1)


def test_pickles_name_what_numpy_1_has(tmp_path):
    write(read(saved(tmp_path, smpl())), tmp_path / "out.npz")
    assert b"numpy._core" not in (tmp_path / "out.npz").read_bytes()


REFUSED = [
    ({"pose": sequences(71)}, "'pose', sequence 0, shape: expected (L, 72), received (5, 71)"),
    ({"joints_3d": sequences(41)}, "'joints_3d', sequence 0, shape: expected (L, K*3), received (5, 41)"),
    ({"pose": sequences(72, lengths=(5, 8))}, "'pose', sequences: expected 3, received 2"),
    ({"pose": sequences(72, lengths=(5, 7, 6))}, "'pose', sequence 1, frames: expected 8, received 7"),
    ({"pose": objects([None] * 3)}, "'pose', sequence 0: expected an array (L, ...) of floats, received NoneType"),
    (
        {"pose": objects([np.zeros((5, 72), int)] * 3)},
        "'pose', sequence 0: expected an array (L, ...) of floats, received ",
    ),
    ({"pose": np.arange(3)}, "'pose': expected one array of floats a sequence, received shape (3,), dtype int64"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_refusals(tmp_path, change, message):
    path = saved(tmp_path, {**smpl(), **change})
    with pytest.raises(ValueError, match="^" + re.escape(f"{path}: {message}")) as caught:
        read(path, format="smoothnet")
    assert "\n" not in str(caught.value)


def test_another_archive_is_refused_by_its_keys(tmp_path):
    path = saved(tmp_path, {"a": np.zeros(3)})
    expected = f"{path}: keys: expected one of joints_3d, keypoints_3d, joints_2d, pose, received a"
    with pytest.raises(ValueError, match="^" + re.escape(expected) + "$"):
        read(path, format="smoothnet")


class Attack:
    def __reduce__(self):
        return (exec, ("raise SystemExit('this ran')",))


def test_an_entry_that_asks_for_code_is_refused(tmp_path):
    path = saved(tmp_path, {**smpl(), "imgname": objects([Attack()] * 3)})
    with pytest.raises(ValueError, match=r"builtins\.exec"):
        read(path)


def test_a_shape_that_does_not_change_is_the_persons(tmp_path):
    arrays = {**smpl(), "shape": objects([np.ones((5, 10), np.float32), np.ones((1, 10)), RNG.normal(size=(6, 1, 10))])}
    first, second, third = read(saved(tmp_path, arrays)).people
    np.testing.assert_array_equal(first.betas, np.ones(10))
    np.testing.assert_array_equal(second.betas, np.ones(10))
    assert not {"betas"} & {*first.tracks, *second.tracks}
    assert (third.betas, third.tracks["betas"].values.shape) == (None, (6, 10))
    motion = read(tmp_path / "take.npz")
    write(changed(motion, 2, "betas", third.tracks["betas"].values + 1), tmp_path / "out.npz")
    arrays["shape"][2] = arrays["shape"][2] + 1
    assert_same(tmp_path / "out.npz", arrays)


@pytest.mark.parametrize(
    ("scaling", "metres"),
    [
        ([np.array([80.0])] * 3, 0.0125),
        ([np.full((n, 1), 80.0) for n in LENGTHS], 0.0125),
        ([80.0] * 3, 0.0125),
        ([np.arange(1.0, 1 + n) for n in LENGTHS], None),
        ([np.array([0.0])] * 3, None),
        ([None] * 3, None),
        ([], None),
    ],
)
def test_the_scaling_is_the_unit_of_the_translation(tmp_path, scaling, metres):
    motion = read(saved(tmp_path, {**smpl(), "scaling": objects(scaling)}))
    assert {p.tracks["transl"].metres for p in motion.people} == {metres}
    assert {p.tracks["transl"].up for p in motion.people} == {None}
    del (arrays := smpl())["scaling"]
    assert read(saved(tmp_path, arrays)).people[0].tracks["transl"].metres is None


SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(first=people(name="a"), second=people(name="b (2)"), third=people(name="2"))
@SETTINGS
def test_new_archives_hold_the_poses(tmp_path, first, second, third):
    motion, plain = made("smoothnet", plain_motion(first, second, third), tmp_path / "new.npz")
    assert [p.id for p in motion.people] == ["a", "b (2)", "2"]
    for new, old in zip(plain.people, (first, second, third), strict=True):
        assert_same_person(new, old)
        assert (new.tracks["transl"].metres, new.tracks["global_orient"].up) == (1, None)


@pytest.mark.parametrize("same_length", [False, True])
def test_new_archives_are_as_its_loaders_read_them(tmp_path, same_length):
    lengths = [range(6), range(2, 8) if same_length else [1, 5, 6, 9]]
    FORMATS["smoothnet"].make(
        plain_motion(*(plain_person(str(k), frames=f) for k, f in enumerate(lengths))), tmp_path / "a.npz"
    )
    with np.load(tmp_path / "a.npz", allow_pickle=True) as data:
        widths = {"pose": 72, "shape": 10, "trans": 3, "scaling": 1}
        assert set(data.files) == {"imgname", *widths}
        for sequence, frames in enumerate(lengths):
            names = data["imgname"][sequence]
            assert len(names) == len(frames)
            for key, width in widths.items():
                assert data[key].dtype == object
                assert data[key][sequence].reshape(len(names), -1).shape == (len(frames), width)
            assert names[0] == f"{sequence}/{frames[0]:06d}.jpg"


@given(
    count=st.integers(1, 3),
    joints=st.integers(1, 5),
    size=st.sampled_from([2, 3]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@SETTINGS
def test_new_archives_hold_positions(tmp_path, count, joints, size, dtype):
    names = tuple(f"j{k}" for k in range(joints))
    given_people = []
    for k in range(count):
        values = np.random.default_rng(k).normal(size=(4, joints, size)).astype(dtype)
        track = Track(values, "position", "body", names, metres=1.0 if size == 3 else None)
        given_people.append(Person(f"p{k}", {"joints": track}, np.arange(4)))
    FORMATS["smoothnet"].make(Motion("", tuple(given_people), None), tmp_path / "new.npz")
    motion = read(tmp_path / "new.npz")
    assert (motion.format, [p.id for p in motion.people]) == ("smoothnet", [p.id for p in given_people])
    plain, _ = as_content(motion, "joints" if size == 3 else "joints_2d")
    for new, old in zip(plain.people, given_people, strict=True):
        assert new.tracks["joints"].values.dtype == dtype
        np.testing.assert_array_equal(new.tracks["joints"].values, old.tracks["joints"].values)
        assert new.tracks["joints"].metres == old.tracks["joints"].metres


def test_ids_of_new_archives(tmp_path):
    FORMATS["smoothnet"].make(plain_motion(*(plain_person(n) for n in ("a/b", "a/b", "c\\d"))), tmp_path / "new.npz")
    assert [p.id for p in read(tmp_path / "new.npz").people] == ["a_b", "a_b (2)", "c_d"]
    message = f"{tmp_path / 'new.npz'}: people for SmoothNet's archives: expected at least one, received nobody"
    with pytest.raises(ValueError, match=re.escape(message)):
        FORMATS["smoothnet"].make(Motion("", (), None), tmp_path / "new.npz")
