"""The published network over a whole track in one kernel; see :mod:`smoothnet_core.inference.triton_tiles`.

Hidden activations live in registers, as a tuple of pieces of ``PIECE`` columns. Each piece, once it is there, is at
once multiplied by what comes next (the narrow layer of the next block, or the decoder): put off, the compiler would
hold all of them in float32, which no registers are left for. In bfloat16 sums are float32, and between layers
activations are rounded.
"""

# A kernel is no Python function to a type checker: its tuples grow, and what a constant rules out is never compiled.
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# pyright: reportPossiblyUnboundVariable=false, reportArgumentType=false, reportAssignmentType=false
# pyright: reportOperatorIssue=false, reportIndexIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from smoothnet_core.inference.triton_launch import LARGEST as _LARGEST
from smoothnet_core.inference.triton_tiles import (
    added,
    added_up,
    frames_of,
    leaky_relu,
    product,
    shares_of,
    windows_of,
)

# Windows with larger numbers are made smaller before they are multiplied by float16 halves.
LARGEST = tl.constexpr(_LARGEST)


@triton.jit
def _activated(
    x, bias, share, TENTHS: tl.constexpr, COLUMNS: tl.constexpr, dtype: tl.constexpr, HALVES: tl.constexpr
):  # fmt: skip
    """Return LeakyReLU of ``x`` and a bias read from memory, with a slope in tenths."""
    return leaky_relu(x + _row(bias, share, COLUMNS, HALVES), TENTHS, dtype)


@triton.jit
def _row(bias, share, COLUMNS: tl.constexpr, HALVES: tl.constexpr):
    """Return a bias, brought to the size of each window with ``HALVES``."""
    result = tl.load(bias + tl.arange(0, COLUMNS))[None, :]
    if HALVES:
        result = result * share[:, None]
    return result


@triton.jit
def _weight(pointer, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STRIDE: tl.constexpr):
    """Return a piece of a weight (ROWS, COLUMNS) whose rows lie ``STRIDE`` apart."""
    return tl.load(pointer + tl.arange(0, ROWS)[:, None] * STRIDE + tl.arange(0, COLUMNS)[None, :])


@triton.jit
def _narrowed(
    sums, piece, narrow, ROWS: tl.constexpr, HIDDEN: tl.constexpr, PIECE: tl.constexpr, NARROW: tl.constexpr,
    PARTS: tl.constexpr, HALVES: tl.constexpr,
):  # fmt: skip
    """Return the sums of a narrow layer, in parts of NARROW columns, with what one piece of the hidden layer adds."""
    result = ()
    for n in tl.static_range(PARTS):
        weight = _weight(narrow + n * NARROW * HIDDEN, NARROW, PIECE, HIDDEN)
        result += (product(piece, tl.trans(weight), sums[n], HALVES),)
    return result


@triton.jit
def _inner(
    sums, bias, share, NARROW: tl.constexpr, PARTS: tl.constexpr, dtype: tl.constexpr, HALVES: tl.constexpr
):  # fmt: skip
    """Return the activations of a narrow layer."""
    result = ()
    for n in tl.static_range(PARTS):
        result += (_activated(sums[n], bias + n * NARROW, share, 2, NARROW, dtype, HALVES),)
    return result


@triton.jit
def _widened(
    piece, inner, wide, bias, share, ROWS: tl.constexpr, PIECE: tl.constexpr, BOTTLENECK: tl.constexpr,
    NARROW: tl.constexpr, PARTS: tl.constexpr, HALVES: tl.constexpr,
):  # fmt: skip
    """Return a piece of a block's output from that of its input."""
    total = tl.zeros((ROWS, PIECE), tl.float32)
    for n in tl.static_range(PARTS):
        total = product(inner[n], tl.trans(_weight(wide + n * NARROW, PIECE, NARROW, BOTTLENECK)), total, HALVES)
    return added(piece, _activated(total, bias, share, 2, PIECE, piece.dtype, HALVES))


@triton.jit
def _zeros(ROWS: tl.constexpr, NARROW: tl.constexpr, PARTS: tl.constexpr):
    result = ()
    for _ in tl.static_range(PARTS):
        result += (tl.zeros((ROWS, NARROW), tl.float32),)
    return result


@triton.jit(do_not_specialize=["zero"])
def published_kernel(
    track, out, encoder, encoder_bias, narrow, narrow_bias, wide, wide_bias, decoder, decoder_bias, blend,
    frames, count, vectors, zero, track_frame, track_vector, track_number, out_frame, out_vector, out_number,
    SIZE: tl.constexpr, WINDOW: tl.constexpr, COLUMNS: tl.constexpr, HOP: tl.constexpr, R: tl.constexpr,
    Q: tl.constexpr, DELAY: tl.constexpr, CARRY: tl.constexpr, LAG: tl.constexpr, ROWS: tl.constexpr,
    STEPS: tl.constexpr, STAGES: tl.constexpr, HIDDEN: tl.constexpr, PIECE: tl.constexpr, BOTTLENECK: tl.constexpr,
    NARROW: tl.constexpr, BLOCKS: tl.constexpr, RESIDENT: tl.constexpr, HALVES: tl.constexpr,
):  # fmt: skip
    """Refine the track; program ``i`` writes stretch ``i // channels`` of channel ``i % channels``.

    Weights are padded with zeros: encoder (HIDDEN, COLUMNS), narrow (BLOCKS, BOTTLENECK, HIDDEN), wide (BLOCKS, HIDDEN,
    BOTTLENECK), decoder (R * Q, HIDDEN), weighted and in the order of the overlaps. With ``RESIDENT`` they are read
    once and stay on the chip; this is for one block with one part of a bottleneck. ``zero`` is 0, which the compiler
    does not know: else it would work out the addresses of all biases before the loop and keep them in registers.
    """
    program = tl.program_id(0)
    channels = vectors * SIZE
    channel = program % channels
    vector = (channel // SIZE).to(tl.int64)
    number = (channel % SIZE).to(tl.int64)
    begin = DELAY + (program // channels) * (STEPS * ROWS - LAG)
    end = begin + STEPS * ROWS - LAG
    source = track + vector * track_vector + number * track_number
    target = out + vector * out_vector + number * out_number
    PIECES: tl.constexpr = HIDDEN // PIECE
    PARTS: tl.constexpr = BOTTLENECK // NARROW
    dtype: tl.constexpr = encoder.dtype.element_ty
    kept = ()
    if RESIDENT:
        for c in tl.static_range(PIECES):
            kept += (
                _weight(encoder + c * PIECE * COLUMNS, PIECE, COLUMNS, COLUMNS),
                _weight(narrow + c * PIECE, NARROW, PIECE, HIDDEN),
                _weight(wide + c * PIECE * BOTTLENECK, PIECE, NARROW, BOTTLENECK),
                _weight(decoder + c * PIECE, R * Q, PIECE, HIDDEN),
            )
    carried = tl.zeros((CARRY, R), tl.float32)
    late = tl.zeros((R * Q,), tl.float32)
    first = begin - LAG
    for step in tl.range(STEPS, num_stages=STAGES):
        same = step * zero
        windows = windows_of(source, track_frame, first, frames, count, WINDOW, COLUMNS, HOP, ROWS, DELAY)
        share = 1.0
        if HALVES:
            # The network gives s f(x) for s x and biases s b.
            largest = tl.max(tl.abs(windows), axis=1)
            share = tl.where(largest > LARGEST, LARGEST / tl.maximum(largest, LARGEST), 1.0)
            windows *= share[:, None]
        windows = windows.to(dtype)
        hidden = ()
        sums = _zeros(ROWS, NARROW, PARTS)
        for c in tl.static_range(PIECES):
            if RESIDENT:
                seen = product(windows, tl.trans(kept[4 * c]))
            else:
                weight = _weight(encoder + c * PIECE * COLUMNS, PIECE, COLUMNS, COLUMNS)
                seen = product(windows, tl.trans(weight), None, HALVES)
            piece = _activated(seen, encoder_bias + same + c * PIECE, share, 1, PIECE, dtype, HALVES)
            if RESIDENT:
                sums = (product(piece, tl.trans(kept[4 * c + 1]), sums[0]),)
            else:
                sums = _narrowed(sums, piece, narrow + c * PIECE, ROWS, HIDDEN, PIECE, NARROW, PARTS, HALVES)
            hidden += (piece,)
        for block in tl.range(BLOCKS - 1, num_stages=1):
            inner = _inner(sums, narrow_bias + block * BOTTLENECK, share, NARROW, PARTS, dtype, HALVES)
            sums = _zeros(ROWS, NARROW, PARTS)
            after = ()
            for c in tl.static_range(PIECES):
                at = block * HIDDEN + c * PIECE
                piece = _widened(
                    hidden[c],
                    inner,
                    wide + at * BOTTLENECK,
                    wide_bias + same + at,
                    share,
                    ROWS,
                    PIECE,
                    BOTTLENECK,
                    NARROW,
                    PARTS,
                    HALVES,
                )
                following = narrow + (block + 1) * BOTTLENECK * HIDDEN + c * PIECE
                sums = _narrowed(sums, piece, following, ROWS, HIDDEN, PIECE, NARROW, PARTS, HALVES)
                after += (piece,)
            hidden = after
        inner = _inner(sums, narrow_bias + (BLOCKS - 1) * BOTTLENECK, share, NARROW, PARTS, dtype, HALVES)
        refined = tl.zeros((ROWS, R * Q), tl.float32)
        for c in tl.static_range(PIECES):
            at = (BLOCKS - 1) * HIDDEN + c * PIECE
            if RESIDENT:
                total = product(inner[0], tl.trans(kept[4 * c + 2]))
                piece = added(hidden[c], _activated(total, wide_bias + same + at, share, 2, PIECE, dtype, HALVES))
                refined = product(piece, tl.trans(kept[4 * c + 3]), refined)
            else:
                piece = _widened(
                    hidden[c],
                    inner,
                    wide + at * BOTTLENECK,
                    wide_bias + same + at,
                    share,
                    ROWS,
                    PIECE,
                    BOTTLENECK,
                    NARROW,
                    PARTS,
                    HALVES,
                )
                refined = product(piece, tl.trans(_weight(decoder + c * PIECE, R * Q, PIECE, HIDDEN)), refined, HALVES)
        refined += _row(decoder_bias + same, share, R * Q, HALVES)
        if HALVES:
            refined = refined / share[:, None]
        total, carried, late = added_up(
            refined, carried, late, first, frames, count, WINDOW, HOP, ROWS, R, Q, DELAY, CARRY
        )
        total *= shares_of(blend, first, frames, count, WINDOW, HOP, ROWS, R, Q, DELAY)
        at, own = frames_of(first, begin, end, frames, HOP, ROWS, R, DELAY)
        goal = target + (first.to(tl.int64) - DELAY) * HOP * out_frame + at * out_frame
        tl.store(goal, total.to(out.dtype.element_ty), mask=own)
        first += ROWS
