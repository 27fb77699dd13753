"""GVHMR's results, and the container of PyTorch's that they are."""

from __future__ import annotations

import re
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from smoothnet_core.torch_files import load_torch
from smpl_tools.contents import as_content
from smpl_tools.coordinates import PELVIS
from smpl_tools.formats import FORMATS, detect, read, write
from smpl_tools.formats._torch_container import read_container, rewrite_container, write_container
from smpl_tools.motion import Motion
from smpl_tools.rotations import axis_angle_to_matrix
from smpl_tools.skeleton import SMPL, SMPL_X
from tests.smpl.plain_smpl import assert_same_person, made, people, plain_motion, plain_person

SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FRAMES = 6
HANDS = {"left_hand_pose": 45, "right_hand_pose": 45, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3}


def gvhmr(*, same_body: bool = True, same_shape: bool = True, betas: str = "one", hands: bool = False) -> dict:
    """Return what GVHMR's demo saves, as arrays."""
    rng = np.random.default_rng(3)

    def numbers(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    body = numbers(FRAMES, 63)
    shape = numbers(FRAMES, 10) if betas == "changing" else np.repeat(numbers(1, 10), FRAMES, axis=0)
    parts = {key: numbers(FRAMES, width) for key, width in HANDS.items()} if hands else {}
    views = {
        view: {
            "body_pose": body.copy(),
            "betas": shape.copy(),
            "global_orient": numbers(FRAMES, 3),
            "transl": numbers(FRAMES, 3),
            **{key: value.copy() for key, value in parts.items()},
        }
        for view in ("smpl_params_global", "smpl_params_incam")
    }
    if not same_body:
        views["smpl_params_global"]["body_pose"] = numbers(FRAMES, 63)
    if not same_shape:
        views["smpl_params_global"]["betas"] = numbers(FRAMES, 10)
    network = {"model_output": {"pred_x": numbers(1, FRAMES, 151)}, "static_conf_logits": numbers(1, FRAMES, 6)}
    return {**views, "K_fullimg": np.repeat(np.eye(3, dtype=np.float32)[None], FRAMES, 0), "net_outputs": network}


def torch_saved(path, content):
    """Save with PyTorch itself, every array as a tensor."""
    torch = pytest.importorskip("torch", reason="PyTorch, which writes such files, is not installed")

    def tensors(value):
        if isinstance(value, dict):
            return {key: tensors(one) for key, one in value.items()}
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    torch.save(tensors(content), path)
    return path


def saved(path, content):
    write_container(path, content)
    return path


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def plus(motion: Motion, track: str, amount: float) -> Motion:
    (person,) = motion.people
    old = person.tracks[track]
    new = person.with_tracks({track: old.replace(values=old.values + old.values.dtype.type(amount))})
    return motion.with_people((new,))


def test_a_file_of_pytorchs_comes_back_byte_for_byte(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch, which writes such files, is not installed")
    path = torch_saved(tmp_path / "in.pt", gvhmr() | {"extra": {"note": "kept", "half": None}})
    assert detect(path).name == "gvhmr"
    motion = read(path)
    write(motion, tmp_path / "out.pt")
    assert members(tmp_path / "out.pt") == members(path)
    write(plus(motion, "global_orient_world", 1), tmp_path / "out.pt")
    before, after = members(path), members(tmp_path / "out.pt")
    assert len([name for name in before if before[name] != after[name]]) == 1
    for mmap in (False, True):
        content = torch.load(tmp_path / "out.pt", weights_only=True, mmap=mmap)
        expected = gvhmr()["smpl_params_global"]["global_orient"] + np.float32(1)
        np.testing.assert_array_equal(content["smpl_params_global"]["global_orient"].numpy(), expected)
        assert content["extra"] == {"note": "kept", "half": None}


def test_what_is_read(tmp_path):
    content = gvhmr()
    motion = read(saved(tmp_path / "in.pt", content))
    assert (motion.format, motion.fps, motion.skeleton) == ("gvhmr", 30, SMPL)
    assert motion.notes == (
        "frame rate not stated in the file: 30 frames a second assumed",
        "net_outputs: kept as they are, so they show the pose before refinement",
    )
    (person,) = motion.people
    assert {n: (t.kind, t.part, t.values.shape, t.up, t.metres) for n, t in person.tracks.items()} == {
        "global_orient": ("axis_angle", "root", (6, 1, 3), "-y", None),
        "body_pose": ("axis_angle", "body", (6, 21, 3), None, None),
        "transl": ("position", "root", (6, 1, 3), "-y", 1),
        "global_orient_world": ("axis_angle", "root", (6, 1, 3), "y", None),
        "transl_world": ("position", "root", (6, 1, 3), "y", 1),
    }
    np.testing.assert_array_equal(person.betas, content["smpl_params_incam"]["betas"][0])
    world, camera = content["smpl_params_global"], content["smpl_params_incam"]
    np.testing.assert_array_equal(person.tracks["transl_world"].values[:, 0], world["transl"])
    np.testing.assert_array_equal(person.tracks["transl"].values[:, 0], camera["transl"])
    np.testing.assert_array_equal(person.tracks["body_pose"].values.reshape(6, 63), camera["body_pose"])
    assert person.tracks["body_pose"].joints == SMPL.joints[1:22]
    assert person.frames.tolist() == list(range(6))
    assert read(tmp_path / "in.pt", fps=25).notes == motion.notes[1:]


PLACES = [
    ("global_orient", [("smpl_params_incam", "global_orient")]),
    ("transl", [("smpl_params_incam", "transl")]),
    ("global_orient_world", [("smpl_params_global", "global_orient")]),
    ("transl_world", [("smpl_params_global", "transl")]),
    ("body_pose", [("smpl_params_incam", "body_pose"), ("smpl_params_global", "body_pose")]),
    ("betas", [("smpl_params_incam", "betas"), ("smpl_params_global", "betas")]),
    ("left_hand_pose", [("smpl_params_incam", "left_hand_pose"), ("smpl_params_global", "left_hand_pose")]),
    ("jaw_pose", [("smpl_params_incam", "jaw_pose"), ("smpl_params_global", "jaw_pose")]),
    ("eye_pose", [(f"smpl_params_{v}", f"{s}eye_pose") for v in ("incam", "global") for s in "lr"]),
]


@pytest.mark.parametrize(("track", "places"), PLACES)
def test_a_changed_track_lands_in_its_places_and_nowhere_else(tmp_path, track, places):
    content = gvhmr(betas="changing", hands=True)
    motion = read(saved(tmp_path / "in.pt", content))
    write(plus(motion, track, 0.5), tmp_path / "out.pt")
    for view, key in places:
        content[view][key] = content[view][key] + np.float32(0.5)
    assert_same(load_torch(tmp_path / "out.pt"), content)
    # What was read is as it was.
    assert_same(motion.source.container.value, gvhmr(betas="changing", hands=True))


def test_hands_and_face(tmp_path):
    person = read(saved(tmp_path / "in.pt", gvhmr(hands=True))).people[0]
    content = gvhmr(hands=True)["smpl_params_incam"]
    eyes = person.tracks["eye_pose"]
    assert eyes.joints == SMPL_X.joints[23:25] == ("left_eye_smplhf", "right_eye_smplhf")
    np.testing.assert_array_equal(eyes.values.reshape(6, 6), np.hstack([content["leye_pose"], content["reye_pose"]]))
    np.testing.assert_array_equal(person.tracks["right_hand_pose"].values.reshape(6, 45), content["right_hand_pose"])


def test_a_second_body_or_shape_is_kept_apart(tmp_path):
    content = gvhmr(same_body=False, same_shape=False, betas="changing")
    motion = read(saved(tmp_path / "in.pt", content))
    assert "betas of smpl_params_global differ from those of smpl_params_incam and are left as they are" in motion.notes
    changed = plus(plus(plus(motion, "body_pose", 1), "body_pose_world", 2), "betas", 3)
    write(changed, tmp_path / "out.pt")
    content["smpl_params_incam"]["body_pose"] += np.float32(1)
    content["smpl_params_global"]["body_pose"] += np.float32(2)
    content["smpl_params_incam"]["betas"] += np.float32(3)
    assert_same(load_torch(tmp_path / "out.pt"), content)


@pytest.mark.parametrize(("view", "up"), [("smpl_params_global", "y"), ("smpl_params_incam", "-y")])
def test_one_view_alone(tmp_path, view, up):
    content = {view: gvhmr()[view]}
    motion = read(saved(tmp_path / "in.pt", content))
    assert list(motion.people[0].tracks) == ["global_orient", "body_pose", "transl"]
    assert motion.people[0].tracks["transl"].up == up
    write(plus(motion, "transl", 1), tmp_path / "out.pt")
    content[view]["transl"] += np.float32(1)
    assert_same(load_torch(tmp_path / "out.pt"), content)


def test_what_was_not_observed_keeps_its_bits(tmp_path):
    content = gvhmr()
    content["smpl_params_global"]["transl"][2] = np.nan
    motion = read(saved(tmp_path / "in.pt", content))
    write(plus(motion, "transl_world", 1), tmp_path / "out.pt")
    content["smpl_params_global"]["transl"] += np.float32(1)
    assert_same(load_torch(tmp_path / "out.pt"), content)


REFUSED = [
    ({"smpl_params_global": None}, "content: expected a dictionary with smpl_params_global or smpl_params_incam, "),
    (
        {"smpl_params_global": {"body_pose": np.zeros((6, 63), np.float32)}},
        "smpl_params_global, global_orient: expected a tensor (L, 3) of floats, received a NoneType",
    ),
    (
        {"smpl_params_global": {"global_orient": np.zeros((6, 3))}},
        "smpl_params_global, body_pose: expected a tensor (6, 63) of floats, received a NoneType",
    ),
    (
        {"smpl_params_incam": {"global_orient": np.zeros((6, 3)), "body_pose": np.zeros((6, 69))}},
        "smpl_params_incam, body_pose: expected a tensor (6, 63) of floats, received (6, 69) of float64",
    ),
    (
        {"smpl_params_incam": {"global_orient": np.zeros((2, 6, 3))}},
        "smpl_params_incam, global_orient: expected a tensor (L, 3) of floats, received (2, 6, 3)",
    ),
    (
        {"smpl_params_incam": {**gvhmr()["smpl_params_incam"], "transl": np.zeros((6, 3), int)}},
        "smpl_params_incam, transl: expected a tensor (6, 3) of floats, received (6, 3) of int64",
    ),
]


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_bad_files_are_refused(tmp_path, content, message):
    path = saved(tmp_path / "in.pt", content)
    assert detect(path).name == "gvhmr"
    with pytest.raises(ValueError, match="^" + re.escape(f"{path}: {message}")) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_arrays_of_numpys_are_no_tensors(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch, which writes such files, is not installed")
    torch.save(gvhmr(), tmp_path / "in.pt")
    message = (
        f"{tmp_path / 'in.pt'}: smpl_params_incam, global_orient: expected a tensor (6, 3) of floats, received an "
    )
    with pytest.raises(ValueError, match="^" + re.escape(message + "array of NumPy's") + "$"):
        read(tmp_path / "in.pt")
    container = read_container(tmp_path / "in.pt")
    array = container.value["K_fullimg"]
    with pytest.raises(ValueError, match=r"what to change: expected a tensor of the container, received an array of"):
        rewrite_container(tmp_path / "out.pt", container, [(array, array)])


def test_damage_anywhere_is_one_line(tmp_path):
    path = saved(tmp_path / "in.pt", gvhmr())
    whole = path.read_bytes()
    # The version, which no tensor needs, fails its checksum; then the file is cut short.
    for damaged in (whole.replace(b"Z3\n", b"Z4\n"), whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="^" + re.escape(f"{path}: not a readable PyTorch file: ")) as caught:
            read(path, format="gvhmr")
        assert "\n" not in str(caught.value)


def test_other_files_are_not_taken(tmp_path):
    other = saved(tmp_path / "a.pt", {"state_dict": np.zeros(3, np.float32)})
    np.savez(tmp_path / "b.npz", smpl_params_global=np.zeros((4, 3, 3)))
    (tmp_path / "c.pt").write_bytes(b"PK\x03\x04 cut short")
    for path in (other, tmp_path / "b.npz", tmp_path / "c.pt"):
        assert not FORMATS["gvhmr"].matches(path, path.read_bytes()[:64])
    (tmp_path / "old.pt").write_bytes(b"\x80\x02.")
    message = f"{tmp_path / 'old.pt'}: content: expected a file of torch.save of PyTorch 1.6 or later, received no zip"
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        read(tmp_path / "old.pt", format="gvhmr")


@given(person=people())
@SETTINGS
def test_new_files_hold_the_motion(tmp_path, person):
    motion, plain = made("gvhmr", plain_motion(person), tmp_path / "new.pt")
    # The layout is float32, and has 21 joints.
    assert_same_person(plain.people[0], person, atol=1e-6)
    assert (plain.people[0].tracks["transl"].up, motion.fps) == ("y", 30)


def test_new_files_are_as_gvhmrs_demo_reads_them(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch, which reads such files, is not installed")
    person = plain_person(dtype=np.float32)
    made("gvhmr", plain_motion(person), tmp_path / "new.pt")
    content = torch.load(tmp_path / "new.pt", weights_only=True)
    shapes = {"body_pose": (6, 63), "betas": (6, 10), "global_orient": (6, 3), "transl": (6, 3)}
    for view in ("smpl_params_global", "smpl_params_incam"):
        assert {key: tuple(value.shape) for key, value in content[view].items()} == shapes
        assert {value.dtype for value in content[view].values()} == {torch.float32}
    intrinsics = content["K_fullimg"].numpy()
    assert intrinsics.shape == (6, 3, 3)
    np.testing.assert_allclose(intrinsics[0], [[2202.9071, 0, 960], [0, 2202.9071, 540], [0, 0, 1]])


def test_the_camera_of_a_new_file_stands_in_the_world(tmp_path):
    person = plain_person()
    motion, _ = made("gvhmr", plain_motion(person), tmp_path / "new.pt")
    seen = as_content(motion, "smpl", camera=True)[0].people[0]
    turn = np.diag([1.0, -1, -1])
    matrices = (axis_angle_to_matrix(p.tracks["global_orient"].values.astype(float)) for p in (seen, person))
    got, world = matrices
    np.testing.assert_allclose(got, turn @ world, atol=1e-6)
    pelvis = (person.tracks["transl"].values + PELVIS) @ turn
    np.testing.assert_allclose(seen.tracks["transl"].values + PELVIS, pelvis, atol=1e-6)


def test_only_one_person_fits(tmp_path):
    with pytest.raises(ValueError, match=re.escape("people for GVHMR's results: expected one, received a, b")):
        FORMATS["gvhmr"].make(plain_motion(plain_person("a"), plain_person("b")), tmp_path / "new.pt")


DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?", "c8", "c16"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (0, 4), (2, 3, 4)])
def test_written_containers_hold_their_arrays(tmp_path, dtype, shape):
    torch = pytest.importorskip("torch", reason="PyTorch, which reads such files, is not installed")
    array = np.asarray(np.random.default_rng(0).normal(size=shape) * 50).astype(dtype)
    content = {"a": [array, np.array(array, order="F")], "again": array, "text": "x", "none": None, "numbers": [1, 0.5]}
    path = saved(tmp_path / "a.pt", content)
    found = torch.load(path, weights_only=True)
    ours = load_torch(path)
    for tensor, read_again in zip((*found["a"], found["again"]), (*ours["a"], ours["again"]), strict=True):
        for one in (tensor.numpy(), read_again):
            assert (one.dtype, one.shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(one, array)
    assert found["again"] is found["a"][0]
    assert {k: found[k] for k in ("text", "none", "numbers")} == {"text": "x", "none": None, "numbers": [1, 0.5]}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for info in archive.infolist():
            file.seek(info.header_offset + 26)
            lengths = np.frombuffer(file.read(4), "<u2")
            assert (info.header_offset + 30 + int(lengths.sum())) % 64 == 0


def test_an_array_without_a_tensor_of_its_type_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^type of a tensor: expected f8, f4, .*, received uint16$"):
        write_container(tmp_path / "a.pt", {"a": np.zeros(3, "u2")})
    assert not list(tmp_path.iterdir())


def test_views_of_one_storage_change_together_or_not_at_all(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch, which writes such files, is not installed")
    base = torch.arange(12.0)
    torch.save(
        {"row": base[2:8].reshape(2, 3), "column": base.reshape(3, 4).T[1], "half": base.bfloat16()}, tmp_path / "a.pt"
    )
    container = read_container(tmp_path / "a.pt")
    row, column = container.value["row"], container.value["column"]
    rewrite_container(tmp_path / "b.pt", container, [(row, -row)])
    found = torch.load(tmp_path / "b.pt", weights_only=True)
    assert found["row"].tolist() == [[-2, -3, -4], [-5, -6, -7]]
    assert found["column"].tolist() == [1, -5, 9]
    with pytest.raises(ValueError, match=r"b\.pt: changed tensors: expected numbers that fit where they share memory"):
        rewrite_container(tmp_path / "b.pt", container, [(row, -row), (column, column + 1)])
    half = container.value["half"]
    with pytest.raises(ValueError, match=r"type of the changed tensor .*: expected float16, .*, received bfloat16$"):
        rewrite_container(tmp_path / "b.pt", container, [(half, half + 1)])
