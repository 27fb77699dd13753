"""MPVPE: the error of a body's vertices."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from smpl_tools.bodies.choice import body_for
from smpl_tools.bodies.free_body import free_body
from smpl_tools.bodies.person_body import person_body
from smpl_tools.bodies.posing import posed_joints, posed_vertices
from smpl_tools.bodies.vertex_error import vertex_errors
from smpl_tools.formats import read
from tests.helpers import REPOSITORY
from tests.smpl.body_files import write_smplh
from tests.smpl.cli_helpers import Program

TAKES = REPOSITORY / "assets" / "takes"


def person(name, rows=slice(0, 7)):
    (one,) = read(TAKES / name).people
    tracks = {k: t.replace(values=t.values[rows]) for k, t in one.tracks.items()}
    return dataclasses.replace(one, tracks=tracks, frames=one.frames[rows])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_smplh(folder / "SMPLH_NEUTRAL.npz", 130)
    return folder


def vertices(one, model, betas):
    body = person_body(one, model)
    pose = (model, body.rotations, betas, body.transl)
    return np.concatenate(list(posed_vertices(*pose))), posed_joints(*pose)[:, :1]


@pytest.mark.parametrize("root", [True, False])
def test_the_mean_distance_of_all_vertices(small, root):
    one, true = person("dance_smplh.npz"), person("dance_smplh_truth.npz")
    for model in (free_body(), body_for(true, "smplh", folder=small, gender="neutral")):
        betas = None if model.name == "free" else person_body(true, model).betas
        (a, p), (b, q) = vertices(one, model, betas), vertices(true, model, betas)
        if root:
            a, b = a - p, b - q
        expected = 1000 * np.linalg.norm(a - b, axis=-1).mean(axis=1)
        assert np.allclose(vertex_errors(one, true, model, root=root), expected, atol=1e-2)


def test_a_shift_counts_only_without_the_root_and_missing_frames_not_at_all():
    true = person("dance_smplh_truth.npz")
    transl = true.tracks["transl"]
    moved = true.with_tracks({"transl": transl.replace(values=transl.values + np.array([0.3, 0.4, 0.0]))})
    rows = [0, 2, 5]
    some = dataclasses.replace(
        moved, tracks={k: t.replace(values=t.values[rows]) for k, t in moved.tracks.items()}, frames=moved.frames[rows]
    )
    model = free_body()
    errors = vertex_errors(some, true, model, root=False)
    assert np.isnan(errors).tolist() == [False, True, False, True, True, False, True]
    assert np.allclose(errors[rows], 500, atol=1e-2)
    assert np.allclose(vertex_errors(some, true, model)[rows], 0, atol=1e-2)
    other = dataclasses.replace(some, frames=some.frames + 100)
    assert np.isnan(vertex_errors(other, true, model)).all()


def test_on_the_command_line(capsys, tmp_path):
    program = Program(capsys)
    pair = (TAKES / "dance_smplh.npz", TAKES / "dance_smplh_truth.npz")
    found = json.loads(program("evaluate", *pair, "--body", "free", "--json").out)
    assert found["body"] == "free"
    assert 20 < found["metrics"]["mpvpe_mm"] < found["metrics"]["mpvpe_mm_worst_1_percent"]
    message = program.refused(
        "evaluate", TAKES / "reactidle_000.bvh", TAKES / "reactidle_000.bvh", "--body", "ghost", status=2
    )
    assert "expected one of free, smpl, smplh, smplx, received 'ghost'" in message
