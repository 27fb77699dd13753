"""Butterworth low-passes forwards and backwards over many tracks at once, by matrix products.

What ``scipy.signal.sosfiltfilt`` computes, without ``scipy.signal``, whose import takes longer than refining most
takes. A filter whose answer depends on its past is, over a block of samples, a matrix of the samples and another of the
state that it begins with. So are the states of many blocks in a row; only from one row of blocks to the next do they go
one after the other.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smoothnet_core.inference.blas import product

Array = NDArray[np.float64]

# Samples in a block, blocks in a row: more are more arithmetic for each, fewer are more steps one after the other.
_BLOCK, _ROW = 64, 32


class _Blocks(NamedTuple):
    """A filter over a block of samples ``x`` from state ``s``: ``y = x @ by_input + s @ by_state``, and the next state.

    Attributes:
        by_input: (L, L).
        by_state: (S, L).
        state_by_input: (L, S).
        state_by_state: (S, S).
        row: how the states of the blocks in a row follow, blocks in place of samples.
        settled: (S,) the state in which 1 goes in and 1 comes out.
    """

    by_input: Array
    by_state: Array
    state_by_input: Array
    state_by_state: Array
    row: _Row
    settled: Array


class _Row(NamedTuple):
    """States of the blocks of a row, from what each block adds, ``a``: ``a @ by_added + s @ by_state``, and the next.

    Attributes:
        by_added: (R S, R S).
        by_state: (S, R S).
        state_by_added: (R S, S).
        state_by_state: (S, S).
    """

    by_added: Array
    by_state: Array
    state_by_added: Array
    state_by_state: Array


def low_passed(tracks: Array, order: int, cutoff: float, fps: float, pad: int) -> Array:
    """Return (M, T) tracks low-passed by a Butterworth filter forwards and backwards, so without delay.

    Args:
        tracks: (M, T), T >= 1, each continued beyond its ends by point reflection.
        order: of the filter, even.
        cutoff: in Hz, below half of ``fps``.
        fps: samples a second.
        pad: samples that the tracks are continued by, fewer than T.
    """
    blocks = _blocks(order, cutoff / fps)
    frames = tracks.shape[1]
    # Whole blocks: beyond the end the last value is held, which changes nothing before it.
    rest = -(frames + 2 * pad) % _BLOCK
    inner = np.empty((len(tracks), frames + 2 * pad + rest))
    own = inner[:, : frames + 2 * pad]
    own[:, pad : pad + frames] = tracks
    first, last = tracks[:, :1], tracks[:, -1:]
    np.subtract(2 * first, tracks[:, pad:0:-1], out=own[:, :pad])
    np.subtract(2 * last, tracks[:, -2 : -2 - pad : -1], out=own[:, pad + frames :])
    for _ in range(2):
        inner[:, own.shape[1] :] = own[:, -1:]
        own[...] = _filtered(inner, blocks)[:, : own.shape[1]][:, ::-1]
    return own[:, pad : pad + frames]


def _filtered(tracks: Array, blocks: _Blocks) -> Array:
    """Return (M, T) tracks, T whole blocks, filtered as if before them each had always been at its first value."""
    many, size = len(tracks), len(blocks.settled)
    samples = tracks.reshape(-1, _BLOCK)
    count = tracks.shape[1] // _BLOCK
    # A short track is one row, as long as it is.
    together, row = min(_ROW, count), blocks.row
    added = np.zeros((many, -(-count // together) * together, size))
    added[:, :count] = product(samples, blocks.state_by_input).reshape(many, -1, size)
    wide = together * size
    rows = added.reshape(-1, wide)
    by_row = product(rows, row.state_by_added[-wide:]).reshape(many, -1, size)
    starts = np.empty(by_row.shape)
    state = tracks[:, :1] * blocks.settled
    for step in range(by_row.shape[1]):
        starts[:, step] = state
        state = state @ row.state_by_state
        state += by_row[:, step]
    states = product(rows, row.by_added[:wide, :wide])
    states += product(starts.reshape(-1, size), row.by_state[:, :wide])
    own = np.ascontiguousarray(states.reshape(many, -1, size)[:, :count]).reshape(-1, size)
    result = product(samples, blocks.by_input)
    result += product(own, blocks.by_state)
    return result.reshape(tracks.shape)


@lru_cache(maxsize=16)
def _blocks(order: int, cutoff: float) -> _Blocks:
    sections = _sections(order, cutoff)
    size = 2 * len(sections)
    # What comes of 1 in the first sample, and of 1 in each number of the state.
    states = np.concatenate([np.zeros((1, size)), np.eye(size)])
    inputs = np.zeros(1 + size)
    inputs[0] = 1.0
    answers = np.empty((1 + size, _BLOCK))
    afterwards = np.empty((_BLOCK, size))
    for sample in range(_BLOCK):
        answers[:, sample] = _step(sections, states, inputs)
        inputs[0] = 0.0
        afterwards[_BLOCK - 1 - sample] = states[0]
    lags = np.arange(_BLOCK) - np.arange(_BLOCK)[:, None]
    by_input = np.where(lags >= 0, answers[0][lags], 0.0)
    return _Blocks(by_input, answers[1:], afterwards, states[1:], _row(states[1:]), _settled(sections))


def _row(state_by_state: Array) -> _Row:
    size = len(state_by_state)
    powers = [np.eye(size)]
    for _ in range(_ROW):
        powers.append(powers[-1] @ state_by_state)
    by_added = np.zeros((_ROW, size, _ROW, size))
    for block in range(_ROW):
        for later in range(block + 1, _ROW):
            by_added[block, :, later] = powers[later - 1 - block]
    return _Row(
        by_added.reshape(_ROW * size, _ROW * size),
        np.concatenate(powers[:_ROW], axis=1),
        np.concatenate(powers[_ROW - 1 :: -1]),
        powers[_ROW],
    )


def _sections(order: int, cutoff: float) -> list[tuple[Array, Array]]:
    """Return numerators and denominators, three numbers each, of second order; ``cutoff`` in cycles a sample.

    By the bilinear transform of the analogue filter's poles, which lie evenly on the left half of a circle.
    """
    radius = np.tan(np.pi * cutoff)
    sections = []
    for angle in np.pi * (order + 1 + 2 * np.arange(order // 2)) / (2 * order):
        pole = radius * np.exp(1j * angle)
        pole = (1 + pole) / (1 - pole)
        denominator = np.array([1.0, -2.0 * pole.real, abs(pole) ** 2])
        # Of a constant it lets everything pass.
        sections.append((np.array([1.0, 2.0, 1.0]) * denominator.sum() / 4, denominator))
    return sections


def _step(sections: list[tuple[Array, Array]], states: Array, inputs: Array) -> Array:
    """Return one sample out of every filter, one sample in; states (M, S), two numbers a section, move on in place."""
    value = inputs
    for index, (b, a) in enumerate(sections):
        one, two = 2 * index, 2 * index + 1
        out = b[0] * value + states[:, one]
        states[:, one] = b[1] * value - a[1] * out + states[:, two]
        states[:, two] = b[2] * value - a[2] * out
        value = out
    return value


def _settled(sections: list[tuple[Array, Array]]) -> Array:
    return np.concatenate([[1 - b[0], b[2] - a[2]] for b, a in sections])
