"""The published network over a whole track in one kernel; see :mod:`smoothnet_core.inference.triton_tiles`.

Hidden activations live in registers, as a tuple of pieces of ``PIECE`` columns, since a block needs the whole of what
the one before it left. In bfloat16 sums are float32, and between layers activations are rounded.
"""

from __future__ import annotations

import triton
import triton.language as tl

from smoothnet_core.inference.triton_tiles import added_up, frames_of, product, shares_of, windows_of


@triton.jit
def _leaky(x, SLOPE: tl.constexpr):
    return tl.maximum(x, x * SLOPE)


@triton.jit
def _piece(pointer, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STRIDE: tl.constexpr):
    """Return a piece (ROWS, COLUMNS) of a weight whose rows lie ``STRIDE`` apart."""
    return tl.load(pointer + tl.arange(0, ROWS)[:, None] * STRIDE + tl.arange(0, COLUMNS)[None, :])


@triton.jit
def published_kernel(
    track, out, encoder, encoder_bias, narrow, narrow_bias, wide, wide_bias, decoder, decoder_bias, blend,
    frames, count, vectors, track_frame, track_vector, track_number, out_frame, out_vector, out_number,
    SIZE: tl.constexpr, WINDOW: tl.constexpr, COLUMNS: tl.constexpr, HOP: tl.constexpr, R: tl.constexpr,
    Q: tl.constexpr, DELAY: tl.constexpr, CARRY: tl.constexpr, LAG: tl.constexpr, ROWS: tl.constexpr, STEPS: tl.constexpr,
    HIDDEN: tl.constexpr, PIECE: tl.constexpr, BOTTLENECK: tl.constexpr, NARROW: tl.constexpr, BLOCKS: tl.constexpr,
    RESIDENT: tl.constexpr,
):  # fmt: skip
    """Refine the track; program ``i`` writes stretch ``i // channels`` of channel ``i % channels``.

    Weights are padded with zeros: encoder (HIDDEN, COLUMNS), narrow (BLOCKS, BOTTLENECK, HIDDEN), wide (BLOCKS, HIDDEN,
    BOTTLENECK), decoder (R * Q, HIDDEN), weighted and in the order of the overlaps. With ``RESIDENT`` they are read
    once and stay on the chip; this is for one block with one piece of a bottleneck.
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
                _piece(encoder + c * PIECE * COLUMNS, PIECE, COLUMNS, COLUMNS),
                _piece(narrow + c * PIECE, NARROW, PIECE, HIDDEN),
                _piece(wide + c * PIECE * BOTTLENECK, PIECE, NARROW, BOTTLENECK),
                _piece(decoder + c * PIECE, R * Q, PIECE, HIDDEN),
            )
    shift = tl.load(decoder_bias + tl.arange(0, R * Q))
    carried = tl.zeros((CARRY, R), tl.float32)
    late = tl.zeros((R * Q,), tl.float32)
    first = begin - LAG
    for _ in range(STEPS):
        windows = windows_of(source, track_frame, first, frames, count, WINDOW, COLUMNS, HOP, ROWS, DELAY).to(dtype)
        hidden = ()
        for c in tl.static_range(PIECES):
            weight = kept[4 * c] if RESIDENT else _piece(encoder + c * PIECE * COLUMNS, PIECE, COLUMNS, COLUMNS)
            bias = tl.load(encoder_bias + c * PIECE + tl.arange(0, PIECE))
            seen = product(windows, tl.trans(weight))
            hidden += (_leaky(seen + bias[None, :], 0.1).to(dtype),)
        for block in range(BLOCKS):
            inner = ()
            for n in tl.static_range(PARTS):
                at = block * BOTTLENECK + n * NARROW
                seen = tl.zeros((ROWS, NARROW), tl.float32)
                for c in tl.static_range(PIECES):
                    weight = (
                        kept[4 * c + 1] if RESIDENT else _piece(narrow + at * HIDDEN + c * PIECE, NARROW, PIECE, HIDDEN)
                    )
                    seen = product(hidden[c], tl.trans(weight), seen)
                bias = tl.load(narrow_bias + at + tl.arange(0, NARROW))
                inner += (_leaky(seen + bias[None, :], 0.2).to(dtype),)
            after = ()
            for c in tl.static_range(PIECES):
                at = block * HIDDEN + c * PIECE
                seen = tl.zeros((ROWS, PIECE), tl.float32)
                for n in tl.static_range(PARTS):
                    weight = (
                        kept[4 * c + 2]
                        if RESIDENT
                        else _piece(wide + at * BOTTLENECK + n * NARROW, PIECE, NARROW, BOTTLENECK)
                    )
                    seen = product(inner[n], tl.trans(weight), seen)
                bias = tl.load(wide_bias + at + tl.arange(0, PIECE))
                after += ((hidden[c].to(tl.float32) + _leaky(seen + bias[None, :], 0.2)).to(dtype),)
            hidden = after
        refined = tl.zeros((ROWS, R * Q), tl.float32)
        for c in tl.static_range(PIECES):
            weight = kept[4 * c + 3] if RESIDENT else _piece(decoder + c * PIECE, R * Q, PIECE, HIDDEN)
            refined = product(hidden[c], tl.trans(weight), refined)
        refined += shift[None, :]
        sums, carried, late = added_up(
            refined, carried, late, first, frames, count, WINDOW, HOP, ROWS, R, Q, DELAY, CARRY
        )
        sums *= shares_of(blend, first, frames, count, WINDOW, HOP, ROWS, R, Q, DELAY)
        at, own = frames_of(first, begin, end, frames, HOP, ROWS, R, DELAY)
        goal = target + (first.to(tl.int64) - DELAY) * HOP * out_frame + at * out_frame
        tl.store(goal, sums.to(out.dtype.element_ty), mask=own)
        first += ROWS
