"""Pickles that would run something, through every reader of motions and models that takes pickles."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest

from smoothnet_core import load_model
from smpl_tools.bodies.model_files import load_body_model
from smpl_tools.formats import FORMATS, read
from tests.core.attack_ways import WAYS
from tests.core.attacks import ATTACKS, OBJECT_ATTACKS
from tests.smpl.cli_helpers import Program
from tests.smpl.hostile_files import array, npz

ALL = {**ATTACKS, **OBJECT_ATTACKS, **WAYS}
PICKLES = ("wham", "vibe", "aist", "phalp")
ARCHIVES = ("amass", "humandata", "romp", "smoothnet", "mediapipe", "array")


def npy(attack: bytes) -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + attack


def torch_file(attack: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        # What the format is told by stands behind the attack.
        archive.writestr("a/data.pkl", attack + b"smpl_params_global")
    return file.getvalue()


def files(folder, attack):
    """Return every file or folder with the attack in it, and the formats that are to read it; None: by content."""
    poses = array(np.zeros((2, 156)))
    contents = {
        "a.pkl": (attack, (None, *PICKLES)),
        "packed.pkl": (zlib.compress(attack), (None, *PICKLES)),
        "a.npy": (npy(attack), (None, "tram", "array", "humanml3d", "motionbert")),
        "a.npz": (npz(packed=False, poses=poses, trans=npy(attack)), (None, *ARCHIVES)),
        "boxed.npz": (npz(packed=False, smpl=npy(attack), __key_strict__=array(np.array(True))), (None, "humandata")),
        "results.npz": (npz(packed=False, results=npy(attack)), (None, "romp")),
        "a.pt": (torch_file(attack), (None, "gvhmr")),
        "results/000.pkl": (attack, (None, "smplifyx")),
    }
    for name, (data, formats) in contents.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        yield (path.parent if name.startswith("results/") else path), formats


@pytest.mark.parametrize("title", ALL)
def test_no_reader_runs_anything(tmp_path, title):
    canary = tmp_path / "canary"
    attack = ALL[title][0](canary)
    tried = 0
    for path, formats in files(tmp_path, attack):
        for name in formats:
            with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
                read(path, format=name)
            assert str(caught.value).startswith(str(path))
            tried += 1
    assert tried == 30
    for load in (load_body_model, load_model):
        for name in ("a.pkl", "packed.pkl", "a.npz", "a.pt"):
            with pytest.raises(ValueError, match=r"^[^\n]*$"):
                load(tmp_path / name)
    assert not canary.exists()


@pytest.mark.parametrize("name", [*PICKLES, "tram", *ARCHIVES[:4], "gvhmr", "smplifyx"])
def test_the_refusal_says_what_was_asked_for(tmp_path, name):
    canary = tmp_path / "canary"
    for path, formats in files(tmp_path, ATTACKS["os.system"][0](canary)):
        if name in formats:
            with pytest.raises(ValueError, match=r"refused: .*the file asks for os\.system, which is not on the list"):
                read(path, format=name)
    assert FORMATS[name].read is not None


def test_the_program_refuses_in_one_line(tmp_path, capsys):
    program, canary = Program(capsys), tmp_path / "canary"
    for path, _ in files(tmp_path, WAYS["the module by way of the memo"][0](canary)):
        assert str(path) in program.refused("info", path)
        assert str(path) in program.refused("refine", path)
        assert str(path) in program.refused("convert", path, "-o", tmp_path / "out.bvh", "--to", "bvh")
    assert not canary.exists()


def test_a_hostile_camera_beside_a_good_file_is_not_run(tmp_path):
    from tests.fuzz.seeds import seeds

    canary = tmp_path / "canary"
    (tmp_path / "hps_track_0.npy").write_bytes(seeds()["tram"][0])
    (tmp_path / "camera.npy").write_bytes(npy(ATTACKS["os.system"][0](canary)))
    assert "cannot be read" in " ".join(read(tmp_path / "hps_track_0.npy").notes)
    assert not canary.exists()
