"""Unit quaternions, against SciPy's rotations."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from blender_addon.animation.quaternions import (
    angle_between,
    dots,
    log_quat_wxyz,
    multiplied,
    power,
    slerp,
    turned,
    unit_parts,
)

ROTVECS = arrays(np.float64, (5, 3), elements=st.floats(-1.8, 1.8))


def _quat(rotvec: np.ndarray) -> np.ndarray:
    return np.roll(Rotation.from_rotvec(rotvec).as_quat(), 1, axis=-1)


def _rotation(quat_wxyz: np.ndarray) -> Rotation:
    return Rotation.from_quat(np.roll(quat_wxyz, -1, axis=-1))


def _apart(first: Rotation, second: Rotation) -> float:
    return float((first * second.inv()).magnitude().max())


@given(ROTVECS, ROTVECS, st.floats(0.0, 1.0), st.booleans())
def test_slerp_goes_the_shorter_way_at_one_speed(a: np.ndarray, b: np.ndarray, share: float, flip: bool) -> None:
    """Also from a rotation to itself, and to one that is hardly another."""
    for far in (1.0, 1e-9, 0.0):
        end = Rotation.from_rotvec(far * b) * Rotation.from_rotvec(a)
        made = slerp(_quat(a), np.roll(end.as_quat(), 1, axis=-1) * (-1 if flip else 1), share)
        if (np.linalg.norm(far * b, axis=1) < 3.1).all():
            assert _apart(_rotation(made), Rotation.from_rotvec(share * far * b) * Rotation.from_rotvec(a)) < 1e-7
        assert np.abs(np.linalg.norm(made, axis=1) - 1).max() < 1e-12


@given(ROTVECS, ROTVECS)
def test_products_apply_the_second_first(a: np.ndarray, b: np.ndarray) -> None:
    product = multiplied(_quat(a), _quat(b))
    assert _apart(_rotation(product), Rotation.from_rotvec(a) * Rotation.from_rotvec(b)) < 1e-7
    assert np.abs(np.linalg.norm(product, axis=1) - 1).max() < 1e-12


@given(ROTVECS, ROTVECS, st.booleans())
def test_turns_lead_from_old_to_new_the_shorter_way(a: np.ndarray, b: np.ndarray, flip: bool) -> None:
    old, new = _quat(a), _quat(b) * (-1 if flip else 1)
    turn = turned(old, new)
    assert (turn[:, 0] >= 0).all()
    assert _apart(_rotation(multiplied(turn, old)), _rotation(new)) < 1e-7
    wanted = (Rotation.from_rotvec(b) * Rotation.from_rotvec(a).inv()).magnitude()
    assert np.abs(angle_between(old, new) - wanted).max() < 1e-7


@given(arrays(np.float64, (5, 3), elements=st.floats(-1.8, 1.8)), st.booleans())
def test_logarithms_are_rotation_vectors(rotvec: np.ndarray, flip: bool) -> None:
    inside = rotvec[np.linalg.norm(rotvec, axis=1) < 3.1]
    if len(inside):
        assert np.abs(log_quat_wxyz(_quat(inside) * (-1 if flip else 1)) - inside).max() < 1e-9


@given(ROTVECS, arrays(np.float64, 5, elements=st.floats(0, 1)))
def test_powers_are_shares_of_the_turn(rotvec: np.ndarray, share: np.ndarray) -> None:
    rotvec = rotvec * (np.linalg.norm(rotvec, axis=1, keepdims=True) < 3.1)
    found = power(_quat(rotvec), share)
    assert _apart(_rotation(found), Rotation.from_rotvec(rotvec * share[:, None])) < 1e-7


def test_nothing_is_lost_near_the_identity() -> None:
    """Tiny angles, and none: no division by zero, no jump."""
    for size in (0.0, 1e-300, 1e-14, 1e-9, 1e-4):
        rotvec = np.array([[size, 0.0, 0.0]])
        quat = np.array([[np.cos(size / 2), np.sin(size / 2), 0.0, 0.0]])
        assert np.abs(log_quat_wxyz(quat) - rotvec).max() <= 1e-12 * size + 1e-24
        half = power(quat, np.array([0.5]))
        assert np.isfinite(half).all()
        assert abs(half[0, 1] - np.sin(size / 4)) <= 1e-12 * size + 1e-24


def test_leading_axes_are_carried_along() -> None:
    quats = _quat(np.random.default_rng(0).normal(size=(12, 3))).reshape(3, 4, 4)
    assert multiplied(quats, quats).shape == turned(quats, quats[:, ::-1]).shape == (3, 4, 4)
    assert log_quat_wxyz(quats).shape == (3, 4, 3)
    assert power(quats, np.ones((3, 4))).shape == (3, 4, 4)
    assert angle_between(quats, quats).shape == (3, 4)


@given(st.integers(0, 2**31), st.sampled_from(["C", "F"]), st.sampled_from([np.float64, np.float32]))
def test_parts_are_the_same_rotations_without_jumps_of_sign(seed: int, order: Any, kind: Any) -> None:
    """Of any length, sign and order in memory; what came in stays as it is."""
    rng = np.random.default_rng(seed)
    steps = Rotation.from_rotvec(0.3 * rng.normal(size=(3 * 20, 3))).as_matrix().reshape(3, 20, 3, 3)
    turns = np.stack([[np.linalg.multi_dot([np.eye(3), *own[: t + 1]]) for t in range(20)] for own in steps], axis=1)
    quats = np.roll(Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_quat(), 1, axis=1).reshape(20, 3, 4)
    given_quats = np.asarray(quats * rng.uniform(0.5, 2.0, (20, 3, 1)) * rng.choice([-1, 1], (20, 3, 1)), kind, order)
    before = given_quats.copy()
    parts = unit_parts(given_quats)
    assert (given_quats == before).all()
    assert parts.shape == (4, 3, 20)
    assert parts.dtype == np.float32
    assert parts.flags.c_contiguous
    assert _apart(_rotation(parts.T.reshape(-1, 4)), _rotation(quats.reshape(-1, 4))) < 1e-6
    assert (np.sign(parts[:, :, 0]) == np.sign(given_quats[0].T)).all()
    assert (dots(parts[..., 1:], parts[..., :-1]) > 0).all()
