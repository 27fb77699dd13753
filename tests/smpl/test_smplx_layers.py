from __future__ import annotations

import pickle
import re
import sys

import numpy as np
import pytest

from smpl_tools.bodies.model_files import load_body_model
from smpl_tools.bodies.posing import body_rotations, posed_joints, posed_vertices
from smpl_tools.bodies.smplx_layers import SMPLX_NOTICE, smplx_layer
from tests.smpl.body_files import REAL_VERTICES, write_smpl, write_smplh, write_smplx

torch = pytest.importorskip("torch", reason="the extra bodies is not installed")
smplx = pytest.importorskip("smplx", reason="the extra bodies is not installed")

FRAMES = 3
FILES = {"smpl": "SMPL_NEUTRAL.pkl", "smplh": "male/model.npz", "smplx": "SMPLX_FEMALE.npz"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One file of each family, with as many vertices as the real one."""
    folder = tmp_path_factory.mktemp("real")
    for (name, file), write in zip(FILES.items(), (write_smpl, write_smplh, write_smplx), strict=True):
        write(folder / file, REAL_VERTICES[name])
    return {name: folder / file for name, file in FILES.items()}


@pytest.fixture
def no_other_reader(monkeypatch):
    """smplx's ways to read a file raise, whoever calls them."""

    def refuse(*_, **__):
        raise AssertionError("a file was read by something else than our reader")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (np, "load"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)


def parameters(name: str, frames: int = FRAMES) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    sizes = {"global_orient": 3, "body_pose": 69 if name == "smpl" else 63}
    if name != "smpl":
        sizes |= {"left_hand_pose": 45, "right_hand_pose": 45}
    if name == "smplx":
        sizes |= {"jaw_pose": 3, "eye_pose": 6}
    return {part: rng.normal(scale=0.6, size=(frames, size)) for part, size in sizes.items()}


def called(layer, pose, **others):
    given = {**pose, **others}
    if "eye_pose" in given:
        eyes = given.pop("eye_pose")
        given |= {"leye_pose": eyes[:, :3], "reye_pose": eyes[:, 3:]}
    with torch.no_grad():
        output = layer(**{name: torch.tensor(value, dtype=torch.float32) for name, value in given.items()})
    return output.vertices.numpy(), output.joints.numpy()


@pytest.mark.parametrize("name", FILES)
def test_our_posing_is_that_of_smplx_and_no_other_reader_runs(files, name, no_other_reader, capsys):
    model = load_body_model(files[name])
    layer = smplx_layer(files[name], batch_size=FRAMES, num_betas=model.shape_vertices.shape[-1])
    assert isinstance(layer, {"smpl": smplx.SMPL, "smplh": smplx.SMPLH, "smplx": smplx.SMPLX}[name])
    assert layer.gender == model.gender == {"smpl": "neutral", "smplh": "male", "smplx": "female"}[name]
    with pytest.raises(AssertionError, match="a file was read by something else"):
        {"smpl": smplx.SMPL, "smplh": smplx.SMPLH, "smplx": smplx.SMPLX}[name](
            str(files[name]), ext=files[name].suffix[1:]
        )
    rng, pose = np.random.default_rng(6), parameters(name)
    betas = rng.normal(size=(FRAMES, {"smpl": 10, "smplh": 16, "smplx": 10}[name]))
    transl = rng.normal(scale=2, size=(FRAMES, 3))
    expression = rng.normal(size=(FRAMES, 10)) if name == "smplx" else None
    others = {"betas": betas, "transl": transl} | ({} if expression is None else {"expression": expression})
    expected, joints = called(layer, pose, **others)
    assert capsys.readouterr() == ("", "")
    rotations = body_rotations(model, **pose)
    count = len(model.joints)
    (got,) = posed_vertices(model, rotations, betas, transl, expression)
    (single,) = posed_vertices(model, rotations, betas, transl, expression, dtype=np.float32)
    assert got.shape == (FRAMES, REAL_VERTICES[name], 3)
    assert np.abs(got - expected).max() < 1e-5
    assert np.abs(single - expected).max() < 1e-5
    ours = posed_joints(model, rotations, betas, transl, expression)
    assert np.abs(ours - joints[:, :count]).max() < 1e-5
    # The poses are no trifle: another one is far off.
    assert np.abs(posed_joints(model, rotations[::-1], betas, transl, expression) - joints[:, :count]).max() > 0.1


@pytest.mark.parametrize("contour", [False, True])
def test_smplx_s_own_constructor_makes_the_same(files, contour, capsys):
    # Its reader runs here, on a file that this test wrote; ours must not differ from what it makes.
    options = {"use_pca": False, "flat_hand_mean": True, "batch_size": FRAMES, "use_face_contour": contour}
    theirs = smplx.SMPLX(str(files["smplx"]), gender="female", **options)
    assert "only 10 shape" in capsys.readouterr().out
    ours = smplx_layer(files["smplx"], batch_size=FRAMES, use_face_contour=contour)
    assert set(ours.state_dict()) == set(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        assert ours.state_dict()[key].dtype == value.dtype, key
        assert ours.state_dict()[key].shape == value.shape, key
        assert torch.equal(ours.state_dict()[key], value), key
    pose = parameters("smplx")
    for a, b in zip(called(ours, pose), called(theirs, pose), strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_reach_every_parameter(files):
    layer = smplx_layer(files["smplx"])
    output = layer()
    output.joints.square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_numbers_of_directions(files):
    assert smplx_layer(files["smplh"]).num_betas == 10
    assert smplx_layer(files["smplh"], num_betas=16).shapedirs.shape == (6890, 3, 16)
    layer = smplx_layer(files["smplx"], num_betas=3, num_expression=4, batch_size=2, dtype=torch.float64)
    assert (layer.num_betas, layer.num_expression_coeffs) == (3, 4)
    assert layer.expression.shape == (2, 4)
    assert layer.expr_dirs.dtype == torch.float64
    with pytest.raises(
        ValueError, match=rf"^{re.escape(str(files['smplh']))}: num_betas: expected 1 to 16, received 17$"
    ):
        smplx_layer(files["smplh"], num_betas=17)


def test_files_that_smplx_cannot_use(tmp_path):
    write_smpl(tmp_path / "a.pkl", 130)
    with pytest.raises(ValueError, match=r"a\.pkl: vertices for smplx: expected 6890, received 130$"):
        smplx_layer(tmp_path / "a.pkl")
    write_smplx(tmp_path / "a.npz", 130)
    with pytest.raises(ValueError, match=r"num_expression: expected 1 to 10, received 0$"):
        smplx_layer(tmp_path / "a.npz", num_expression=0)
    write_smplx(tmp_path / "b.npz", 130, lmk_bary_coords=...)
    with pytest.raises(
        ValueError, match=r"b\.npz: keys of SMPL-X: expected lmk_faces_idx, lmk_bary_coords, received no lmk_b"
    ):
        smplx_layer(tmp_path / "b.npz")


@pytest.mark.parametrize("module", ["torch", "smplx"])
def test_without_the_libraries_the_extra_is_named(files, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ImportError, match=rf"^{module} is not installed; add it with: pip install 'smoothnet\[bodies\]'$"
    ):
        smplx_layer(files["smpl"])


def test_the_notice_names_the_licence():
    assert "non-commercial" in SMPLX_NOTICE
    assert "LICENSE" in SMPLX_NOTICE
