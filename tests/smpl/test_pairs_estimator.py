"""Estimators as commands: what they are given, what is taken from them, and how they may fail."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import types

import numpy as np
import pytest

from smpl_tools.cli import pairs as command
from smpl_tools.pairs import estimator, mediapipe_runner
from smpl_tools.pairs.body import JOINT_NAMES
from smpl_tools.pairs.estimator import Estimator, given_estimator, read_estimate
from smpl_tools.sources.paired import MODES
from tests.helpers import REPOSITORY


def script(folder, body):
    path = folder / "estimate.py"
    path.write_text("import sys, time, numpy as np\nframes, output, mode, fps = sys.argv[1:]\n" + body)
    return Estimator("mine", (sys.executable, "-I", str(path)), 30.0)


def test_names_written_out_for_a_fast_start_are_those_of_the_library():
    assert tuple(MODES) == command.MODES
    assert estimator.PYTHON_VARIABLE == command.PYTHON_VARIABLE
    assert set(mediapipe_runner.MODES) == set(MODES)
    assert len(mediapipe_runner.LANDMARKS) == len(JOINT_NAMES) == 15


def test_a_command_gets_four_arguments_and_its_numbers_are_taken(tmp_path):
    pictures = tmp_path / "some frames"
    pictures.mkdir()
    mine = script(
        tmp_path,
        "a = {'est_3d': np.zeros((3, 15, 3)), 'est_2d': np.full((3, 15, 2), np.inf)}\n"
        "a['est_3d'][1] = np.nan\na['visibility'] = np.ones((3, 15), int)\n"
        "open(frames + '/log', 'w').write(f'{output}|{mode}|{fps}')\nnp.savez(output, **a)\n",
    )
    output = tmp_path / "out.npz"
    found = mine.run(pictures, output, "video smoothed", 30.0, 3)
    assert (pictures / "log").read_text() == f"{output}|video smoothed|30"
    assert {name: (a.shape, a.dtype) for name, a in found.items()} == {
        "est_3d": ((3, 15, 3), np.float32),
        "est_2d": ((3, 15, 2), np.float32),
        "visibility": ((3, 15), np.float32),
    }
    assert np.isnan(found["est_3d"][1]).all()
    assert np.isnan(found["est_2d"]).all(), "infinite is no place"
    assert (found["visibility"] == 1).all()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.exit('no model\\nat all')", "estimator mine: exit status 1; it said: no model at all"),
        ("sys.exit(4)", "estimator mine: exit status 4; it said: nothing"),
        ("pass", "estimator mine: expected a file out.npz, received none"),
        ("open(output, 'w').write('x')", "{}/out.npz: expected an .npz file of arrays, received "),
        (
            "np.savez(output, est_2d=1)",
            "out.npz of the estimator: expected est_3d, est_2d, visibility, received est_2d",
        ),
        (
            "np.savez(output, est_3d=np.zeros((2, 15, 3)))",
            "est_3d of the estimator: expected numbers of shape (3, 15, 3), received float64 (2, 15, 3)",
        ),
        (
            "np.savez(output, est_3d=np.full((3, 15, 3), 'a'))",
            "est_3d of the estimator: expected numbers of shape (3, 15, 3), received <U1 (3, 15, 3)",
        ),
        (
            "np.savez(output, est_3d=np.array([None]))",
            "{}/out.npz: expected an .npz file of arrays, received Object arr",
        ),
    ],
)
def test_failures_of_a_command_are_one_line(tmp_path, body, message):
    mine = script(tmp_path, body)
    with pytest.raises(ValueError, match="^" + re.escape(message.format(tmp_path))) as error:
        mine.run(tmp_path, tmp_path / "out.npz", "static", 30.0, 3)
    assert "\n" not in str(error.value)


def test_only_the_end_of_what_it_said_is_shown(tmp_path):
    mine = script(tmp_path, "sys.exit('begin ' + 5000 * 'x' + ' end')")
    with pytest.raises(ValueError, match=r"end$") as error:
        mine.run(tmp_path, tmp_path / "out.npz", "static", 30.0, 3)
    assert len(str(error.value)) < 400
    assert "begin" not in str(error.value)


def test_a_command_that_takes_too_long_is_stopped(tmp_path):
    mine = Estimator("mine", script(tmp_path, "time.sleep(60)").command, 0.5)
    with pytest.raises(ValueError, match=r"^estimator mine: expected an end within 0\.5 s, received none$"):
        mine.run(tmp_path, tmp_path / "out.npz", "static", 30.0, 3)


def test_a_command_that_cannot_be_started(tmp_path):
    missing = Estimator("mine", (str(tmp_path / "nothing"),), 5.0)
    with pytest.raises(ValueError, match=r"^estimator mine: expected a program that can be run, received No such file"):
        missing.run(tmp_path, tmp_path / "out.npz", "static", 30.0, 3)


def test_words_of_a_command_are_split_but_never_expanded(tmp_path):
    text = f"{shlex.quote(sys.executable)} -c 'print(1)' $HOME *.py ; rm x"
    assert given_estimator(text, 5.0, None) == Estimator(
        text, (sys.executable, "-c", "print(1)", "$HOME", "*.py", ";", "rm", "x"), 5.0
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "estimator: expected mediapipe, or a command whose program exists, received ''"),
        (
            "no-such-program x",
            "estimator: expected mediapipe, or a command whose program exists, received 'no-such-pro",
        ),
        ("python 'x", 'estimator: expected a command, received "python \'x": No closing quotation'),
    ],
)
def test_unusable_commands(text, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        given_estimator(text, 5.0, None)


def test_mediapipe_wants_a_python_that_has_it(tmp_path):
    what = r"^Python of MediaPipe \(--mediapipe-python or SMOOTHNET_MEDIAPIPE_PYTHON\): "
    made_by = r"; expected one with mediapipe 0\.10\.21, made by: python3\.12 -m venv mediapipe-env && "
    with pytest.raises(ValueError, match=what + "not given" + made_by):
        given_estimator("mediapipe", 5.0, None)
    missing = tmp_path / "python"
    with pytest.raises(ValueError, match=what + re.escape(f"{missing}: No such file or directory") + made_by):
        given_estimator("mediapipe", 5.0, str(missing))
    # An interpreter of the system's, alone with its standard library.
    bare = [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")]
    subprocess.run(bare, check=True, capture_output=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    with pytest.raises(ValueError, match=what + re.escape(python) + " has no mediapipe" + made_by):
        given_estimator("mediapipe", 5.0, python)


def test_the_commands_that_make_the_environment_are_those_of_the_docs():
    text = (REPOSITORY / "docs" / "pairs.md").read_text(encoding="utf-8")
    for piece in estimator.MAKE_ENVIRONMENT.split(" && export "):
        assert piece in text
    pinned = (REPOSITORY / "constraints" / "pairs.txt").read_text(encoding="ascii").splitlines()
    assert f"mediapipe=={estimator.MEDIAPIPE_VERSION}" in pinned


def test_the_docs_estimator_works(tmp_path):
    text = (REPOSITORY / "docs" / "pairs.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "mine.py").write_text(example)
    (tmp_path / "frames").mkdir()
    for number in range(3):
        (tmp_path / "frames" / f"{number:06d}.jpg").touch()
    mine = Estimator("docs", (sys.executable, str(tmp_path / "mine.py")), 30.0)
    found = mine.run(tmp_path / "frames", tmp_path / "out.npz", "static", 30.0, 3)
    assert np.isnan(found["est_3d"]).all()


class FakePose:
    """Stands for MediaPipe: finds a person in every picture but black ones, at places that tell the landmarks apart."""

    made: list = []  # noqa: RUF012 - reset by the test

    def __init__(self, **given):
        self.made.append(given)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def process(self, picture):
        assert picture.flags.c_contiguous
        if not picture.any():
            return types.SimpleNamespace(pose_landmarks=None, pose_world_landmarks=None)
        rows = [types.SimpleNamespace(x=k / 100, y=k / 50, z=-k / 10, visibility=k / 33) for k in range(33)]
        found = types.SimpleNamespace(landmark=rows)
        return types.SimpleNamespace(pose_landmarks=found, pose_world_landmarks=found)


@pytest.mark.parametrize("mode", MODES)
def test_what_the_mediapipe_runner_writes(tmp_path, monkeypatch, mode):
    pictures = {"000000.jpg": np.ones((20, 10, 4), np.uint8), "000001.jpg": np.zeros((20, 10, 4), np.uint8)}
    (tmp_path / "frames").mkdir()
    for name in pictures:
        (tmp_path / "frames" / name).touch()

    class Image:
        @staticmethod
        def create_from_file(path):
            return types.SimpleNamespace(numpy_view=lambda: pictures[path.rsplit("/", 1)[1]])

    pose = types.SimpleNamespace(Pose=FakePose)
    fake = types.SimpleNamespace(Image=Image, solutions=types.SimpleNamespace(pose=pose))
    monkeypatch.setitem(sys.modules, "mediapipe", fake)
    monkeypatch.setattr(FakePose, "made", [])
    output = tmp_path / "out.npz"
    mediapipe_runner.main(str(tmp_path / "frames"), str(output), mode, "30")
    assert FakePose.made == [{"model_complexity": 1, **mediapipe_runner.MODES[mode]}]
    found = read_estimate(output, 2)
    elbow = JOINT_NAMES.index("left_elbow")
    np.testing.assert_allclose(found["est_3d"][0, elbow], [0.13, 0.26, -1.3], rtol=1e-6)
    np.testing.assert_allclose(found["est_2d"][0, elbow], [1.3, 5.2], rtol=1e-6)
    np.testing.assert_allclose(found["visibility"][0, elbow], 13 / 33, rtol=1e-6)
    assert all(np.isnan(array[1]).all() for array in found.values())
