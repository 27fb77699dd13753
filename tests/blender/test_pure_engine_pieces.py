"""The built-in engine works on pieces of a track one after the other: the same numbers as all of it at once."""

from __future__ import annotations

import numpy as np
import pytest

from blender_addon.engine import engines
from smoothnet_core import refine


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(engines, "_PIECE", 300)


def _quats(frames: int = 90, joints: int = 17) -> np.ndarray:
    rng = np.random.default_rng(0)
    quats = np.cumsum(rng.normal(scale=0.05, size=(frames, joints, 4)), axis=0)
    quats[..., 0] += 2.0
    return quats / np.linalg.norm(quats, axis=-1, keepdims=True)


_TRACKS = {
    "quat_wxyz": lambda q: q,
    "position": lambda q: q[..., 1:],
    "channels": lambda q: q[..., 1],
    "rotation_matrix": lambda q: np.tile(np.eye(3), (*q.shape[:2], 1, 1)),
}


@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0])
@pytest.mark.parametrize("kind", _TRACKS)
def test_pieces_are_the_whole(kind, fps):
    track = _TRACKS[kind](_quats())
    assert len(engines._pieces(track.shape, {"kind": kind, "fps": fps})) > 3
    seen: list[float] = []
    new = engines.built_in().refine(track, kind=kind, fps=fps, tick=seen.append)
    np.testing.assert_allclose(new, refine(track, kind=kind, fps=fps), atol=1e-7)
    assert seen[0] == 0.0
    assert seen[-1] == 1.0
    assert len(seen) > 4


def test_mask_goes_with_its_columns():
    track = _quats()
    mask = np.random.default_rng(1).random(track.shape[:2]) > 0.2
    new = engines.built_in().refine(track, kind="quat_wxyz", fps=30.0, mask=mask)
    np.testing.assert_allclose(new, refine(track, kind="quat_wxyz", fps=30.0, mask=mask), atol=1e-7)


def test_what_depends_on_all_columns_stays_together():
    track = _quats()
    mask = np.ones(track.shape[:2], bool)
    mask[:, 3] = False
    assert len(engines._pieces(track.shape, {"kind": "quat_wxyz", "mask": mask})) == 1
    assert len(engines._pieces(track.shape, {"kind": "quat_wxyz", "joints": ("a",) * 17})) == 1
    new = engines.built_in().refine(track, kind="quat_wxyz", fps=30.0, mask=mask)
    assert np.array_equal(new, refine(track, kind="quat_wxyz", fps=30.0, mask=mask))


def test_can_be_stopped():
    class Stop(Exception):
        pass

    def tick(share: float) -> None:
        if share > 0.0:
            raise Stop

    with pytest.raises(Stop):
        engines.built_in().refine(_quats(), kind="quat_wxyz", fps=30.0, tick=tick)


def test_an_error_of_a_piece_is_shown():
    with pytest.raises(ValueError, match="fps"):
        engines.built_in().refine(_quats(), kind="quat_wxyz", fps=-1.0)
