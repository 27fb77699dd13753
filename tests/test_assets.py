"""The shipped takes: what they hold, and that the script beside them still makes them."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.helpers import REPOSITORY, shared

TAKES = REPOSITORY / "assets" / "takes"
ESTIMATE, TRUTH = TAKES / "dance_smplh.npz", TAKES / "dance_smplh_truth.npz"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_takes", REPOSITORY / "assets" / "make_takes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", [ESTIMATE, TRUTH], ids=lambda p: p.stem)
def test_smplh_takes_have_the_layout_of_amass(path):
    with np.load(path) as take:
        shapes = {name: take[name].shape for name in take.files}
        assert shapes == {
            "poses": (298, 156),
            "trans": (298, 3),
            "betas": (16,),
            "dmpls": (298, 8),
            "gender": (),
            "mocap_framerate": (),
        }
        assert str(take["gender"]) == "neutral"
        assert float(take["mocap_framerate"]) == 30.0
        assert np.isfinite(take["poses"]).all()
        assert not take["poses"][:, 66:].any(), "the fingers rest"
        # Z up: the dancer travels over the floor and stays about a hip's height above it.
        assert 0.7 < take["trans"][:, 2].min() < take["trans"][:, 2].max() < 1.2
        assert np.ptp(take["trans"][:, 1]) > 2.0


def test_the_estimate_errs_by_what_its_provenance_states():
    with np.load(ESTIMATE) as estimate, np.load(TRUTH) as truth:
        turns = [
            (Rotation.from_rotvec(a).inv() * Rotation.from_rotvec(b)).magnitude()
            for a, b in zip(truth["poses"].reshape(-1, 52, 3), estimate["poses"].reshape(-1, 52, 3), strict=True)
        ]
        shift = estimate["trans"] - truth["trans"]
    degrees = np.rad2deg(turns)[:, :22]
    usual = np.hypot(1.5, 3.0)
    limbs = [4, 5, 7, 8, 18, 19, 20, 21]
    others = [j for j in range(22) if j not in limbs]
    # The root mean square of the angle without the spikes, hence the lower 97 %, whose mean is somewhat smaller.
    for joints, expected in ((others, usual), (limbs, 1.5 * usual)):
        kept = np.sort(degrees[:, joints].ravel())[: int(0.97 * 298 * len(joints))]
        assert np.sqrt(np.mean(kept**2)) == pytest.approx(expected, rel=0.15)
    # Spikes start in 0.4 % of all places and last two frames on average; drift and jitter reach 12 degrees as well.
    assert 0.004 < (degrees > 12).mean() < 0.03
    assert degrees.max() > 20
    assert np.sqrt(np.mean(shift**2)) == pytest.approx(np.hypot(0.006, 0.02), rel=0.35)


def test_the_bvh_take_has_the_frames_it_declares():
    lines = (TAKES / "reactidle_000.bvh").read_text(encoding="ascii").splitlines()
    start = lines.index("MOTION")
    assert lines[start + 1].split() == ["Frames:", "288"]
    channels = sum(int(line.split()[1]) for line in lines[:start] if line.strip().startswith("CHANNELS"))
    assert {len(line.split()) for line in lines[start + 3 :] if line.strip()} == {channels}
    assert sum(bool(line.strip()) for line in lines[start + 3 :]) == 288


def test_the_bvh_take_keeps_the_recording_lines():
    recording = shared("data", "real", "reactidle", "000_genuine.bvh").read_bytes().splitlines()
    take = (TAKES / "reactidle_000.bvh").read_bytes().splitlines()
    changed = [line for line in take if line not in set(recording)]
    assert len(changed) == 1
    assert changed[0].startswith(b"Frames:")
    first = recording.index(take[-288])
    assert recording[first : first + 288] == take[-288:]


def test_the_limbs_of_the_truth_point_where_those_of_the_clip_do(maker):
    # Forward kinematics of unit limbs, written out here, against the clip's own skeleton.
    with np.load(shared("data", "cmu", "cmu_train.npz")) as data:
        names = list(data["skel/mdu_05/names"])
        offsets, parents = data["skel/mdu_05/offsets"], data["skel/mdu_05/parents"]
        quat_xyzw = data[f"{maker.CLIP}/q"][::2].astype(float)
    with np.load(TRUTH) as truth:
        rotvecs = truth["poses"].astype(float).reshape(-1, 52, 3)
    smpl_names = [name for name, _, _ in maker.BODY]
    sources = {name: source for name, _, source in maker.BODY}

    def of_clip(joint):
        chain = Rotation.identity()
        while joint >= 0:
            chain = Rotation.from_quat(quat_xyzw[:, joint]) * chain
            joint = parents[joint]
        return chain

    def of_take(joint):
        chain = Rotation.identity()
        while joint >= 0:
            chain = Rotation.from_rotvec(rotvecs[:, joint]) * chain
            joint = maker.BODY[joint][1]
        return chain

    y_up_to_z_up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    for joint, (direction, following) in maker.REST.items():
        expected = of_clip(names.index(sources[joint])).apply(offsets[names.index(following)]) @ y_up_to_z_up.T
        received = of_take(smpl_names.index(joint)).apply(direction)
        cosine = (expected * received).sum(-1) / np.linalg.norm(expected, axis=-1) / np.linalg.norm(received, axis=-1)
        assert cosine.min() > 0.99999, joint


def test_the_script_makes_the_shipped_takes(maker, tmp_path):
    made = maker.make(shared(), tmp_path)
    assert {path.name for path in made} == {p.name for p in TAKES.iterdir() if p.suffix in (".npz", ".bvh")} | {
        "reactidle_000.LICENSE.txt"
    }
    for path in made:
        shipped = TAKES / path.name
        if path.suffix != ".npz":
            assert path.read_bytes() == shipped.read_bytes(), path.name
            continue
        with np.load(path) as new, np.load(shipped) as old:
            assert new.files == old.files
            for name in new.files:
                if new[name].dtype.kind == "f":
                    # Other builds of SciPy round the last digits otherwise.
                    np.testing.assert_allclose(new[name], old[name], rtol=0, atol=2e-6, err_msg=name)
                else:
                    assert new[name] == old[name]


def test_making_the_takes_twice_gives_the_same_bytes(maker, tmp_path):
    first = [path.read_bytes() for path in maker.make(shared(), tmp_path / "a")]
    assert [path.read_bytes() for path in maker.make(shared(), tmp_path / "b")] == first
