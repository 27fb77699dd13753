from __future__ import annotations

import os
import pickle
import re
import stat
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpl_tools.formats import FORMATS, detect, read, write
from smpl_tools.formats._files import replacing, replacing_folder
from smpl_tools.formats._names import listed, unique_names
from smpl_tools.motion import Motion

BVH = (
    "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 3 Xrotation Yrotation Zrotation\n}\n"
    "MOTION\nFrames: 2\nFrame Time: 0.01\n1 2 3\n4 5 6\n"
)
OURS = ("bvh", "amass", "smoothnet", "array")


def save_bvh(path):
    path.write_text(BVH)


def save_npz(path, **arrays):
    with path.open("wb") as file:
        np.savez(file, **arrays)


def entries(*items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


SAMPLES = {
    "bvh": save_bvh,
    "amass": lambda path: save_npz(path, poses=np.zeros((4, 156)), trans=np.zeros((4, 3))),
    "smoothnet": lambda path: save_npz(path, joints_3d=entries(np.zeros((4, 42)), np.zeros((5, 42)))),
    "array": lambda path: save_npz(path, joints=np.zeros((4, 17, 3))),
}


def test_the_table():
    assert set(OURS) <= set(FORMATS)
    assert list(FORMATS)[-1] == "array"
    for name, one in FORMATS.items():
        assert one.name == name
        assert one.title
        assert all(suffix.startswith(".") for suffix in one.suffixes)


@pytest.mark.parametrize("suffix", ["", ".bvh", ".npz", ".npy", ".pkl", ".json"])
@pytest.mark.parametrize("name", OURS)
def test_content_decides_not_the_name(tmp_path, name, suffix):
    path = tmp_path / f"take{suffix}"
    SAMPLES[name](path)
    assert detect(path) is FORMATS[name]
    assert detect(str(path)) is FORMATS[name]
    motion = read(str(path))
    assert (motion.format, motion.path) == (name, path)
    write(motion, str(tmp_path / "out"))
    again = read(tmp_path / "out")
    assert [p.id for p in again.people] == [p.id for p in motion.people]
    for one, two in zip(motion.people, again.people, strict=True):
        assert one.tracks.keys() == two.tracks.keys()
        for key, track in one.tracks.items():
            np.testing.assert_array_equal(track.values, two.tracks[key].values)


@pytest.mark.parametrize("name", OURS)
def test_a_given_rate_replaces_the_files(tmp_path, name):
    SAMPLES[name](tmp_path / "take")
    motion = read(tmp_path / "take", fps=29.97)
    assert motion.fps == 29.97
    before = (tmp_path / "take").read_bytes()
    write(motion, tmp_path / "take")
    if name == "bvh":
        assert (tmp_path / "take").read_bytes() == before


KNOWN = "one of " + ", ".join(name for name, one in FORMATS.items() if one.read)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"hello there, this is no motion", "a file that begins with 'hello there, thi'"),
        (b"\0\1\2\n", "a file that begins with b'\\x00\\x01\\x02\\n'"),
        (b"caf\xe9", "a file that begins with b'caf\\xe9'"),
        (pickle.dumps([1]), "a pickle of a list"),
        (pickle.dumps({"smpl_poses": 1}, 2), "a pickle of a dictionary with 'smpl_poses'"),
        (b"PK\x05\x06" + b"\0" * 18, "an archive without arrays"),
    ],
)
def test_unknown_files(tmp_path, content, found):
    path = tmp_path / "take.bvh"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match="^" + re.escape(f"{path}: unknown format: expected {KNOWN}, received {found}")
    ):
        read(path)


def test_unknown_keys_are_listed(tmp_path):
    save_npz(tmp_path / "take", names=np.array(["a"]), **{"two\nlines": np.arange(3)})
    with pytest.raises(ValueError, match=r"received an archive with the keys names, 'two\\nlines'$"):
        detect(tmp_path / "take")


def test_unknown_folders(tmp_path):
    (tmp_path / "sub").mkdir()
    with pytest.raises(ValueError, match=r"received an empty folder$"):
        read(tmp_path / "sub")
    for name in "abcde":
        (tmp_path / "sub" / name).write_text("x")
    with pytest.raises(ValueError, match=r"received a folder with a, b, c and 2 more$"):
        read(tmp_path / "sub")


def test_what_is_not_there(tmp_path):
    expected = re.escape(f"{tmp_path / 'none'}: expected a file or a folder, found nothing of that name")
    with pytest.raises(ValueError, match=f"^{expected}$"):
        read(tmp_path / "none")
    with pytest.raises(ValueError, match=f"^{expected}$"):
        read(tmp_path / "none", format="bvh")
    with pytest.raises(ValueError, match="cannot be read: File name too long"):
        read(tmp_path / ("x" * 5000))


@pytest.mark.parametrize("name", OURS)
def test_a_folder_is_none_of_these_formats(tmp_path, name):
    with pytest.raises(ValueError, match="^" + re.escape(str(tmp_path))) as caught:
        read(tmp_path, format=name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "fbx"}, f"format: expected {KNOWN}, received 'fbx'"),
        ({"kind": "euler"}, "kind: expected one of position, axis_angle, .*, received 'euler'"),
        ({"fps": 0}, "fps: expected a positive number, received 0"),
        ({"fps": float("nan")}, "fps: expected a positive number, received nan"),
    ],
)
def test_options_are_checked(tmp_path, options, message):
    save_bvh(tmp_path / "take")
    with pytest.raises(ValueError, match=f"^{message}$"):
        read(tmp_path / "take", **options)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"HIERARCHY\n", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"HIERARCHY ROOT a {"]),
)
def test_no_file_gives_anything_but_one_line(tmp_path_factory, content, head):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(head + content)
    for name in (None, *OURS):
        try:
            read(path, format=name)
        except ValueError as error:
            message = str(error)
        else:
            continue
        assert message.startswith(f"{path}: ")
        assert "\n" not in message


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(BVH)), st.text(alphabet="{}\n 0aJOINTROEnd.MCHALSX_", max_size=12), st.integers(0, 10))
def test_a_damaged_hierarchy_gives_one_line_or_a_motion(tmp_path_factory, at, inserted, cut):
    path = tmp_path_factory.getbasetemp() / "damaged"
    content = BVH[:at] + inserted + BVH[at + cut :]
    path.write_text(content)
    message = f"{path}: "
    try:
        write(read(path, format="bvh"), path)
    except ValueError as error:
        message = str(error)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert path.read_text() == content


def test_damaged_archives_give_one_line(tmp_path):
    path = tmp_path / "take"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("poses.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 10**6)
    with pytest.raises(ValueError, match=r"take: not a readable \.npz archive: "):
        detect(path)
    save_npz(path, poses=np.zeros((4, 156)), trans=np.zeros((4, 3)))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 3):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read(path)
        except ValueError as error:
            message = str(error)
        else:
            continue
        assert message.startswith(f"{path}: ")
        assert "\n" not in message


def test_archives_of_python_2_are_read_without_a_warning(tmp_path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (4L, 156L), }"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(4 * 156 * 8)
    with zipfile.ZipFile(tmp_path / "take", "w") as archive:
        archive.writestr("poses.npy", member)
        archive.writestr(
            "gender.npy", b"\x93NUMPY\x01\x00\x32\x00{'descr':'|S4','fortran_order':False,'shape':()}  male"
        )
    motion = read(tmp_path / "take")
    assert motion.format == "amass"
    write(motion, tmp_path / "out")
    with np.load(tmp_path / "out") as found:
        assert found["gender"] == b"male"
        assert found["poses"].shape == (4, 156)


def test_a_motion_from_nowhere_is_refused(tmp_path):
    expected = f"{tmp_path / 'out'}: motion to write: expected one that was read from a file, received one without"
    with pytest.raises(ValueError, match="^" + re.escape(expected)):
        write(Motion("bvh", (), None), tmp_path / "out")


# --- whole or not at all ---------------------------------------------------------------------------------------------


def leftovers(folder):
    return [p.name for p in folder.iterdir() if p.name.startswith(".")]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "take"
    path.write_text("old")

    def write_half():
        with replacing(path) as file:
            file.write(b"new")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half"):
        write_half()
    assert path.read_text() == "old"
    assert not leftovers(tmp_path)


def test_a_full_disk_is_one_line(tmp_path):
    with (
        pytest.raises(ValueError, match=r"take: cannot be written: No space left on device$"),
        replacing(tmp_path / "take"),
    ):
        raise OSError(28, "No space left on device")
    assert not leftovers(tmp_path)


def test_permissions_of_the_old_file_and_links_stay(tmp_path):
    save_bvh(tmp_path / "real")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    motion = read(tmp_path / "link")
    write(motion, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640
    previous = os.umask(0o027)
    try:
        write(motion, tmp_path / "fresh")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o640


@pytest.mark.parametrize("name", OURS)
def test_targets_that_cannot_be_written(tmp_path, name):
    SAMPLES[name](tmp_path / "take")
    motion = read(tmp_path / "take")
    target = tmp_path / "none" / "out"
    expected = f"{target}: cannot be written: the folder {tmp_path / 'none'} does not exist"
    with pytest.raises(ValueError, match="^" + re.escape(expected) + "$"):
        write(motion, target)
    with pytest.raises(ValueError, match="^" + re.escape(f"{tmp_path}: cannot be written: it is a folder") + "$"):
        write(motion, tmp_path)
    with pytest.raises(ValueError, match=r"cannot be written: File name too long$"):
        write(motion, tmp_path / ("x" * 300))
    assert not leftovers(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission(tmp_path):
    save_bvh(tmp_path / "take")
    motion = read(tmp_path / "take")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(ValueError, match=r"out: cannot be written: Permission denied$"):
        write(motion, locked / "out")


def test_folders_are_replaced_whole(tmp_path):
    target = tmp_path / "frames"
    for content in ("one", "two"):
        with replacing_folder(target) as folder:
            (folder / "a.json").write_text(content)
        assert (target / "a.json").read_text() == content

    def write_half():
        with replacing_folder(target) as folder:
            (folder / "a.json").write_text("three")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half"):
        write_half()
    assert (target / "a.json").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["frames"]


def test_a_folder_with_other_files_is_not_deleted(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("cat")
    expected = re.escape(f"{tmp_path / 'photos'}: cannot be written: the folder already holds 'cat.jpg'")
    with pytest.raises(ValueError, match=f"^{expected}$"), replacing_folder(tmp_path / "photos") as folder:
        (folder / "a.json").write_text("new")
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "cat"
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(ValueError, match=r"it is a file, and this format is a folder$"),
        replacing_folder(tmp_path / "file"),
    ):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "photos"]


# --- names, imports --------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["a", "a (2)", "b", "a (2) (2)"]), max_size=12))
def test_unique_names(names):
    unique = unique_names(names)
    assert len(set(unique)) == len(names)
    assert all(new.startswith(old) for new, old in zip(unique, names, strict=True))
    if len(set(names)) == len(names):
        assert unique == names


def test_listed():
    assert listed([]) == "none"
    assert listed("abc", 3) == "a, b, c"
    assert listed("abcde", 3) == "a, b, c and 2 more"


def test_importing_the_formats_imports_nothing_heavy():
    code = "import sys, smpl_tools.formats, smpl_tools.skeleton; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["torch", "typer", "rich", "matplotlib", "joblib"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(ValueError, match=r"pipe: cannot be written: it is not a regular file$"),
        replacing(tmp_path / "pipe"),
    ):
        pass
    assert (tmp_path / "pipe").is_fifo()


def test_the_formats_import_no_solver():
    code = "import sys, smpl_tools.formats; sys.exit(any(m.startswith('scipy.optimize') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_pickle_is_loaded_once_however_many_formats_ask(tmp_path, monkeypatch):
    from smpl_tools.formats import _pickles

    path = tmp_path / "x.pkl"
    path.write_bytes(
        pickle.dumps({"smpl_poses": np.zeros((2, 24, 3)), "smpl_trans": np.zeros((2, 3)), "smpl_scaling": np.ones(1)})
    )
    loads = []
    original = _pickles.load_pickle
    monkeypatch.setattr(_pickles, "load_pickle", lambda p: loads.append(p) or original(p))
    assert read(path).format == "aist"
    assert loads == [path]
    # What was loaded is forgotten afterwards: the file may have changed.
    path.write_bytes(pickle.dumps({"keypoints3d": np.zeros((2, 17, 3))}))
    assert list(read(path).people[0].tracks) == ["keypoints3d"]
