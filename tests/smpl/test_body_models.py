from __future__ import annotations

import os
import re
import sys

import numpy as np
import pytest
from scipy import sparse

from smoothnet_core.restricted_pickle import load_npz
from smpl_tools.bodies.model_files import (
    FAMILIES,
    MissingModelError,
    find_model_file,
    licence,
    load_body_model,
    read_model_arrays,
)
from tests.core.attacks import touch
from tests.core.python2_pickles import Ch, python2_dumps
from tests.smpl.body_files import REAL_VERTICES, body_arrays, write_smpl, write_smplh, write_smplx


def refused(path, message):
    """Expect a ValueError of one line that starts with the path and holds the message."""
    return pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: {re.escape(message)}[^\n]*$")


def same_model(model, arrays, shapes, expressions=None):
    joints = len(model.joints)
    np.testing.assert_array_equal(model.vertices, arrays["v_template"])
    np.testing.assert_array_equal(model.faces, arrays["f"].astype(np.int64))
    np.testing.assert_array_equal(model.weights, arrays["weights"])
    np.testing.assert_array_equal(model.pose_vertices, arrays["posedirs"])
    np.testing.assert_array_equal(model.shape_vertices, shapes)
    regressor = arrays["J_regressor"].toarray()
    np.testing.assert_allclose(model.joint_places, regressor @ arrays["v_template"], atol=1e-12)
    np.testing.assert_allclose(model.shape_joints, np.einsum("jv,vck->jck", regressor, shapes), atol=1e-12)
    if expressions is None:
        assert model.expression_vertices is None
        assert model.expression_joints is None
    else:
        np.testing.assert_array_equal(model.expression_vertices, expressions)
        expected = np.einsum("jv,vck->jck", regressor, expressions)
        np.testing.assert_allclose(model.expression_joints, expected, atol=1e-12)
    assert model.parents[0] == -1
    assert model.parents.shape == (joints,)


@pytest.mark.parametrize("protocol", [0, 1, 2])
@pytest.mark.parametrize("columns", [10, 300])
def test_smpl_pickles_of_python_2(tmp_path, protocol, columns):
    path = tmp_path / "basicModel_f_lbs_10_207_0_v1.0.0.pkl"
    arrays = write_smpl(path, columns=columns, protocol=protocol)
    model = load_body_model(path)
    assert (model.name, model.gender, len(model.joints)) == ("smpl", "female", 24)
    same_model(model, arrays, arrays["shapedirs"])


@pytest.mark.parametrize(("name", "columns"), [("SMPLH_MALE.pkl", 10), ("male/model.npz", 16), ("smplh_male.npz", 10)])
def test_smplh_files(tmp_path, name, columns):
    arrays = write_smplh(tmp_path / name, columns=columns)
    model = load_body_model(tmp_path / name)
    assert (model.name, model.gender, len(model.joints)) == ("smplh", "male", 52)
    same_model(model, arrays, arrays["shapedirs"])


@pytest.mark.parametrize(("columns", "shapes"), [(20, 10), (400, 300)])
def test_smplx_files(tmp_path, columns, shapes):
    path = tmp_path / "SMPLX_NEUTRAL.npz"
    arrays = write_smplx(path, columns=columns)
    model = load_body_model(path)
    assert (model.name, model.gender, len(model.joints)) == ("smplx", "neutral", 55)
    same_model(model, arrays, arrays["shapedirs"][..., :shapes], arrays["shapedirs"][..., shapes:])
    assert read_model_arrays(path)["joint2num"] == {"Pelvis": 0, "L_Hip": 1}


def test_everything_of_chumpy_is_read(tmp_path):
    arrays = body_arrays("smpl", 60, 10)
    wrapped = {k: Ch(arrays[k]) for k in ("v_template", "weights", "posedirs", "shapedirs")}
    write_smpl(tmp_path / "a.pkl", vertices=60, **wrapped)
    same_model(load_body_model(tmp_path / "a.pkl"), arrays, arrays["shapedirs"])


@pytest.mark.parametrize(
    ("file", "changes", "expected"),
    [
        ("SMPL_FEMALE.pkl", {}, "female"),
        ("SMPL_MALE.pkl", {"gender": "female"}, "female"),
        ("SMPL_MALE.pkl", {"gender": np.array(b"neutral")}, "neutral"),
        ("basicmodel_m_lbs_10_207_0_v1.1.0.pkl", {"gender": "unknown"}, "male"),
        ("female/model.pkl", {}, "female"),
        ("model.pkl", {}, "neutral"),
    ],
)
def test_the_gender_is_that_of_the_content_or_the_name(tmp_path, file, changes, expected):
    write_smpl(tmp_path / file, **changes)
    assert load_body_model(tmp_path / file).gender == expected
    assert load_body_model(tmp_path / file, gender="male").gender == "male"


def test_the_gender_asked_for_must_be_known(tmp_path):
    write_smpl(tmp_path / "a.pkl")
    with pytest.raises(ValueError, match=r"^gender: expected one of neutral, male, female, received 'f'$"):
        load_body_model(tmp_path / "a.pkl", gender="f")


@pytest.mark.parametrize("name", FAMILIES)
def test_licences_say_where_to_ask(tmp_path, name):
    text = licence(name)
    assert FAMILIES[name].title in text
    assert (
        f"non-commercial scientific research; the terms, and whom to ask for others, are at {FAMILIES[name].site}."
        in text
    )
    write_smpl(tmp_path / "a.pkl")
    assert load_body_model(tmp_path / "a.pkl").licence == licence("smpl")


A = body_arrays("smpl", 120, 10)
WRONG = {
    "no template": ({"v_template": ...}, "keys of a body model: expected v_template, f, weights,"),
    "flat template": (
        {"v_template": A["v_template"].ravel()},
        "v_template: expected numbers (V, 3), received (360,) of float64",
    ),
    "objects": (
        {"v_template": np.array([[None] * 3])},
        "v_template: expected numbers (V, 3), received (1, 3) of object",
    ),
    "text": ({"v_template": "none"}, "v_template: expected numbers (V, 3), received a str"),
    "infinite": (
        {"v_template": A["v_template"] * np.inf},
        "v_template: expected finite numbers, received NaN or infinity among them",
    ),
    "weights": (
        {"weights": A["weights"][:, :23]},
        "weights: expected numbers (120, 24), received (120, 23) of float64",
    ),
    "sum": ({"weights": A["weights"] / 2}, "rows of weights: expected a sum of 1, received 0.5 in one of them"),
    "directions": (
        {"shapedirs": A["shapedirs"][:, :2]},
        "shapedirs: expected numbers (120, 3, K), received (120, 2, 10) of float64",
    ),
    "correctives": (
        {"posedirs": A["posedirs"][..., 1:]},
        "posedirs: expected numbers (120, 3, 207), received (120, 3, 206) of float64",
    ),
    "regressor": (
        {"J_regressor": A["J_regressor"][:, :9]},
        "J_regressor: expected numbers (24, 120), received (24, 9) of float64",
    ),
    "regressor of text": ({"J_regressor": "x"}, "J_regressor: expected numbers (24, 120), received a str"),
    "dense regressor": (
        {"J_regressor": np.ones((23, 120))},
        "J_regressor: expected numbers (24, 120), received (23, 120) of float64",
    ),
    "faces": ({"f": A["f"].astype(float)}, "f: expected integers (F, 3), received (236, 3) of float64"),
    "faces outside": ({"f": np.array([[0, 1, 120]])}, "f: expected vertices from 0 to 119, received 0 to 120"),
    "hierarchy": (
        {"kintree_table": A["kintree_table"][0]},
        "kintree_table: expected integers (2, J) with J one of 24 (SMPL), 52 (SMPL+H), 55 (SMPL-X), "
        "received (24,) of uint32",
    ),
    "a hand": (
        {"kintree_table": np.zeros((2, 16), int)},
        "joints: expected one of 24 (SMPL), 52 (SMPL+H), 55 (SMPL-X), received 16",
    ),
    "other parents": (
        {"kintree_table": np.zeros((2, 24), int)},
        "kintree_table: expected the parents of SMPL, [-1, 0, 0, 0, 1,",
    ),
}


@pytest.mark.parametrize("title", WRONG)
def test_wrong_arrays_are_named(tmp_path, title):
    changes, message = WRONG[title]
    path = tmp_path / "SMPL_MALE.pkl"
    write_smpl(path, **changes)
    with refused(path, message):
        load_body_model(path)


@pytest.mark.parametrize("columns", [10, 21, 300, 401])
def test_smplx_columns_that_cannot_be_divided(tmp_path, columns):
    path = tmp_path / "SMPLX_MALE.npz"
    write_smplx(path, columns=columns)
    message = f"columns of shapedirs: expected 20 (10 shapes, 10 expressions) or 400 (300, 100), received {columns}"
    with refused(path, message):
        load_body_model(path)


def test_files_that_are_no_models(tmp_path):
    path = tmp_path / "a.pkl"
    with refused(path, "cannot be read: No such file or directory"):
        load_body_model(path)
    path.write_bytes(python2_dumps([1], 2))
    with refused(path, "content: expected a dictionary of a body model's arrays, received a list"):
        load_body_model(path)
    np.savez(tmp_path / "b.npz", poses=np.zeros((3, 72)))
    with refused(tmp_path / "b.npz", "keys of a body model: expected v_template"):
        load_body_model(tmp_path / "b.npz")


@pytest.mark.parametrize("key", ["shapedirs", "J_regressor", "pose_training_info"])
def test_a_model_that_runs_something_is_refused(tmp_path, key):
    path, canary = tmp_path / "SMPL_MALE.pkl", tmp_path / "canary"
    write_smpl(path, **{key: touch(canary)})
    with refused(path, "refused: the file asks for __builtin__.exec, which is not on the list of data types"):
        load_body_model(path)
    assert not canary.exists()


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A user without models and without settings, in an empty folder."""
    monkeypatch.delenv("SMOOTHNET_BODY_MODELS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def made(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(
    ("name", "gender", "file"),
    [
        ("smpl", "neutral", "SMPL_NEUTRAL.pkl"),
        ("smpl", "neutral", "smpl/SMPL_NEUTRAL.pkl"),
        ("smpl", "male", "models/smpl/SMPL_MALE.npz"),
        ("smpl", "female", "basicModel_f_lbs_10_207_0_v1.0.0.pkl"),
        ("smpl", "male", "smpl/models/basicmodel_m_lbs_10_207_0_v1.1.0.pkl"),
        ("smpl", "neutral", "smpl/basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl"),
        ("smplh", "male", "smplh/SMPLH_MALE.pkl"),
        ("smplh", "female", "mano_v1_2/models/SMPLH_female.pkl"),
        ("smplh", "neutral", "smplh/neutral/model.npz"),
        ("smplh", "male", "body_models/smplh/male/model.npz"),
        ("smplx", "female", "smplx/SMPLX_FEMALE.npz"),
        ("smplx", "neutral", "models/smplx/SMPLX_NEUTRAL_2020.npz"),
        ("smplx", "male", "smplx/male/model.npz"),
    ],
)
def test_the_layouts_that_users_have_are_found(nowhere, name, gender, file):
    folder = nowhere / "m"
    made(folder / file, folder / "readme.txt")
    assert find_model_file(name, gender, folder) == folder / file
    for other in set(FAMILIES) - {name}:
        with pytest.raises(
            MissingModelError, match=f"^no {gender} {re.escape(FAMILIES[other].title)} model: looked for "
        ):
            find_model_file(other, gender, folder)


def test_a_folder_with_the_model_s_name_holds_that_model(nowhere):
    made(nowhere / "my_smplh" / "male" / "model.npz")
    assert find_model_file("smplh", "male", nowhere / "my_smplh").parent.name == "male"
    for name in ("smpl", "smplx"):
        with pytest.raises(MissingModelError):
            find_model_file(name, "male", nowhere / "my_smplh")


def test_an_archive_comes_before_a_pickle_and_no_year_before_one(nowhere):
    names = ["SMPLX_MALE_2020.npz", "SMPLX_MALE.pkl", "SMPLX_MALE.npz"]
    made(*(nowhere / "smplx" / name for name in names))
    assert find_model_file("smplx", "male", nowhere).name == "SMPLX_MALE.npz"
    (nowhere / "smplx" / "SMPLX_MALE.npz").unlink()
    assert find_model_file("smplx", "male", nowhere).name == "SMPLX_MALE_2020.npz"


def test_the_folder_the_variable_and_the_usual_places_in_turn(nowhere, monkeypatch):
    usual = [
        nowhere / "here" / "body_models" / "smpl" / "SMPL_MALE.pkl",
        nowhere / "home" / "smplx" / "models" / "smpl" / "SMPL_MALE.pkl",
        nowhere / "data" / "smoothnet" / "body_models" / "SMPL_MALE.pkl",
    ]
    for path in reversed(usual):
        made(path)
        assert find_model_file("smpl", "male").resolve() == path
    stated = [nowhere / "a" / "SMPL_MALE.pkl", nowhere / "b" / "SMPL_NEUTRAL.pkl"]
    made(*stated)
    monkeypatch.setenv("SMOOTHNET_BODY_MODELS", f"{stated[0].parent}{os.pathsep}{stated[1].parent}")
    assert find_model_file("smpl", "male") == stated[0]
    assert find_model_file("smpl", "neutral") == stated[1]
    assert find_model_file("smpl", "male", usual[1].parent) == usual[1]
    assert find_model_file("smpl", "male", usual[2]) == usual[2]


def test_a_missing_model_says_where_to_get_it(nowhere):
    folder = nowhere / "m"
    made(folder / "SMPL_FEMALE.pkl", folder / "SMPL_MALE.pkl")
    message = (
        f"no neutral SMPL model (there are male: {folder}/SMPL_MALE.pkl, female: {folder}/SMPL_FEMALE.pkl): looked for "
        "SMPL_NEUTRAL.npz or .pkl, smpl/neutral/model.npz, basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl in "
        f"{folder}; register and download it at https://smpl.is.tue.mpg.de, then name its folder or set "
        "SMOOTHNET_BODY_MODELS"
    )
    with pytest.raises(MissingModelError, match=f"^{re.escape(message)}$"):
        find_model_file("smpl", "neutral", folder)
    with pytest.raises(
        MissingModelError, match=r"in body_models, models, .*/smoothnet/body_models; register .*mano\.is"
    ):
        find_model_file("smplh", "male")


def test_bad_questions(nowhere):
    with pytest.raises(ValueError, match=r"^body model: expected one of smpl, smplh, smplx, received 'flame'$"):
        find_model_file("flame", "male")
    with pytest.raises(
        ValueError, match=r"^gender of the SMPL-X model: expected one of neutral, male, female, received 'M'$"
    ):
        find_model_file("smplx", "M")
    with pytest.raises(
        ValueError, match=r"^no/such: folder of body models: expected a folder or a model's file, received "
    ):
        find_model_file("smplx", "male", "no/such")


def test_the_helper_writes_what_is_published(tmp_path):
    # The keys and shapes that smplx's README and body_models.py name.
    write_smplx(tmp_path / "x.npz", columns=400)
    arrays = load_npz(tmp_path / "x.npz")
    assert arrays["shapedirs"].shape == (120, 3, 400)
    assert arrays["posedirs"].shape == (120, 3, 486)
    assert arrays["hands_componentsl"].shape == (45, 45)
    assert REAL_VERTICES == {"smpl": 6890, "smplh": 6890, "smplx": 10475}
    write_smpl(tmp_path / "a.pkl")
    assert (tmp_path / "a.pkl").read_bytes().count(b"cchumpy.ch\nCh\n") == 1
    assert b"cscipy.sparse.csc\ncsc_matrix\n" in (tmp_path / "a.pkl").read_bytes()
    assert sparse.issparse(read_model_arrays(tmp_path / "a.pkl")["J_regressor"])
