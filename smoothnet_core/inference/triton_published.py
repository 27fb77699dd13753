"""The published network over a whole track in one kernel; see :mod:`smoothnet_core.inference.triton_tiles`.

The hidden layer is computed in pieces of ``PIECE`` columns. Each piece, once it is there, is at once multiplied by what
comes next: put off, the compiler would hold all of them in float32, which no registers are left for. With one block
the decoder, being linear, takes its two summands one after the other: the first as soon as it is there, together with
the narrow layer, so that none is kept. With more, hidden activations live in registers, as a tuple of pieces. In
bfloat16 sums are float32, and between layers activations are rounded.
"""

# A kernel is no Python function to a type checker: its tuples grow, and what a constant rules out is never compiled.
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# pyright: reportPossiblyUnboundVariable=false, reportArgumentType=false, reportAssignmentType=false
# pyright: reportOperatorIssue=false, reportIndexIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from smoothnet_core.inference.triton_tiles import (
    added,
    added_up,
    as_matrix,
    factors,
    for_each,
    frames_of,
    largest_of,
    leaky_relu,
    product,
    shares_of,
    transposed,
    weight_of,
    windows_of,
)


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
def _narrowed(
    sums, piece, narrow, HIDDEN: tl.constexpr, PIECE: tl.constexpr, BOTTLENECK: tl.constexpr, NARROW: tl.constexpr,
    BLOCKS: tl.constexpr, HALVES: tl.constexpr,
):  # fmt: skip
    """Return the sums of a narrow layer, in parts of NARROW columns, with what one piece of the hidden layer adds."""
    result = ()
    seen = factors(piece, HALVES)
    for n in tl.static_range(BOTTLENECK // NARROW):
        weight = weight_of(narrow + n * NARROW * HIDDEN, NARROW, PIECE, HIDDEN, BLOCKS * BOTTLENECK * HIDDEN, HALVES)
        result += (product(seen, transposed(weight, HALVES), sums[n], HALVES),)
    return result


@triton.jit
def _inner(
    sums, bias, share, NARROW: tl.constexpr, PARTS: tl.constexpr, dtype: tl.constexpr, HALVES: tl.constexpr,
    SCALE: tl.constexpr,
):  # fmt: skip
    """Return the activations of a narrow layer, for products."""
    result = ()
    for n in tl.static_range(PARTS):
        total = sums[n] * (SCALE * SCALE)
        result += (factors(_activated(total, bias + n * NARROW, share, 2, NARROW, dtype, HALVES), HALVES),)
    return result


@triton.jit
def _widened(
    piece, inner, wide, bias, share, HIDDEN: tl.constexpr, PIECE: tl.constexpr, BOTTLENECK: tl.constexpr,
    NARROW: tl.constexpr, BLOCKS: tl.constexpr, HALVES: tl.constexpr,
):  # fmt: skip
    """Return a piece of a block's output from that of its input."""
    REST: tl.constexpr = BLOCKS * HIDDEN * BOTTLENECK
    weight = weight_of(wide, PIECE, NARROW, BOTTLENECK, REST, HALVES)
    total = product(inner[0], transposed(weight, HALVES), None, HALVES)
    for n in tl.static_range(1, BOTTLENECK // NARROW):
        weight = weight_of(wide + n * NARROW, PIECE, NARROW, BOTTLENECK, REST, HALVES)
        total = product(inner[n], transposed(weight, HALVES), total, HALVES)
    return added(piece, _activated(total, bias, share, 2, PIECE, piece.dtype, HALVES))


@triton.jit
def _zeros(ROWS: tl.constexpr, NARROW: tl.constexpr, PARTS: tl.constexpr):
    result = ()
    for _ in tl.static_range(PARTS):
        result += (tl.zeros((ROWS, NARROW), tl.float32),)
    return result


@triton.jit
def _parted(x, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Return the first half of the columns and the second."""
    return tl.split(tl.permute(tl.reshape(x, (ROWS, 2, COLUMNS // 2)), (0, 2, 1)))


@triton.jit
def _one_block(
    windows, kept, share, larger, encoder, encoder_bias, narrow, narrow_bias, wide, wide_bias, decoder,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, HIDDEN: tl.constexpr, PIECE: tl.constexpr, NARROW: tl.constexpr,
    OUT: tl.constexpr, JOINED: tl.constexpr, RESIDENT: tl.constexpr, dtype: tl.constexpr, HALVES: tl.constexpr,
    SCALE: tl.constexpr,
):  # fmt: skip
    """Return what the decoder makes of windows, with one block and one part of a bottleneck.

    With ``JOINED`` the rows of ``narrow`` are those of the narrow layer and of the decoder, each filled up to the same
    number, that one product takes: the matrix units take no less time for fewer.
    """
    PIECES: tl.constexpr = HIDDEN // PIECE
    SIDE: tl.constexpr = NARROW if NARROW > OUT else OUT
    FIRST: tl.constexpr = 2 * SIDE if JOINED else NARROW
    for c in tl.static_range(PIECES):
        if RESIDENT:
            weight = kept[4 * c]
            following = kept[4 * c + 1]
        else:
            weight = weight_of(encoder + c * PIECE * COLUMNS, PIECE, COLUMNS, COLUMNS, HIDDEN * COLUMNS, HALVES)
            following = weight_of(narrow + c * PIECE, FIRST, PIECE, HIDDEN, FIRST * HIDDEN, HALVES)
        seen = product(windows, transposed(weight, HALVES), None, HALVES)
        piece = factors(_activated(seen, encoder_bias + c * PIECE, larger, 1, PIECE, dtype, HALVES), HALVES)
        if c == 0:
            sums = product(piece, transposed(following, HALVES), None, HALVES)
        else:
            sums = product(piece, transposed(following, HALVES), sums, HALVES)
        if not JOINED:
            if RESIDENT:
                weight = kept[4 * c + 3]
            else:
                weight = weight_of(decoder + c * PIECE, OUT, PIECE, HIDDEN, OUT * HIDDEN, HALVES)
            if c == 0:
                refined = product(piece, transposed(weight, HALVES), None, HALVES)
            else:
                refined = product(piece, transposed(weight, HALVES), refined, HALVES)
    if JOINED:
        sums, refined = _parted(sums, ROWS, 2 * SIDE)
        if NARROW < SIDE:
            sums = _parted(sums, ROWS, SIDE)[0]
            if 2 * NARROW < SIDE:
                sums = _parted(sums, ROWS, SIDE // 2)[0]
        if OUT < SIDE:
            refined = _parted(refined, ROWS, SIDE)[0]
            if 2 * OUT < SIDE:
                refined = _parted(refined, ROWS, SIDE // 2)[0]
    inner = _inner((sums,), narrow_bias, share, NARROW, 1, dtype, HALVES, SCALE)
    for c in tl.static_range(PIECES):
        if RESIDENT:
            weight = kept[4 * c + 2]
            following = kept[4 * c + 3]
        else:
            weight = weight_of(wide + c * PIECE * NARROW, PIECE, NARROW, NARROW, HIDDEN * NARROW, HALVES)
            following = weight_of(decoder + c * PIECE, OUT, PIECE, HIDDEN, OUT * HIDDEN, HALVES)
        seen = product(inner[0], transposed(weight, HALVES), None, HALVES)
        piece = factors(_activated(seen, wide_bias + c * PIECE, larger, 2, PIECE, dtype, HALVES), HALVES)
        refined = product(piece, transposed(following, HALVES), refined, HALVES)
    return refined


@triton.jit
def _more_blocks(
    windows, share, larger, encoder, encoder_bias, narrow, narrow_bias, wide, wide_bias, decoder,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, HIDDEN: tl.constexpr, PIECE: tl.constexpr, BOTTLENECK: tl.constexpr,
    NARROW: tl.constexpr, BLOCKS: tl.constexpr, OUT: tl.constexpr, dtype: tl.constexpr, HALVES: tl.constexpr,
    SCALE: tl.constexpr,
):  # fmt: skip
    """Return what the decoder makes of windows, with any number of blocks."""
    PIECES: tl.constexpr = HIDDEN // PIECE
    PARTS: tl.constexpr = BOTTLENECK // NARROW
    hidden = ()
    sums = _zeros(ROWS, NARROW, PARTS)
    for c in tl.static_range(PIECES):
        weight = weight_of(encoder + c * PIECE * COLUMNS, PIECE, COLUMNS, COLUMNS, HIDDEN * COLUMNS, HALVES)
        seen = product(windows, transposed(weight, HALVES), None, HALVES)
        piece = _activated(seen, encoder_bias + c * PIECE, larger, 1, PIECE, dtype, HALVES)
        sums = _narrowed(sums, piece, narrow + c * PIECE, HIDDEN, PIECE, BOTTLENECK, NARROW, BLOCKS, HALVES)
        hidden += (piece,)
    for block in tl.range(BLOCKS - 1, num_stages=1):
        inner = _inner(sums, narrow_bias + block * BOTTLENECK, share, NARROW, PARTS, dtype, HALVES, SCALE)
        sums = _zeros(ROWS, NARROW, PARTS)
        after = ()
        for c in tl.static_range(PIECES):
            at = block * HIDDEN + c * PIECE
            piece = _widened(
                hidden[c], inner, wide + at * BOTTLENECK, wide_bias + at, larger,
                HIDDEN, PIECE, BOTTLENECK, NARROW, BLOCKS, HALVES,
            )  # fmt: skip
            following = narrow + (block + 1) * BOTTLENECK * HIDDEN + c * PIECE
            sums = _narrowed(sums, piece, following, HIDDEN, PIECE, BOTTLENECK, NARROW, BLOCKS, HALVES)
            after += (piece,)
        hidden = after
    inner = _inner(sums, narrow_bias + (BLOCKS - 1) * BOTTLENECK, share, NARROW, PARTS, dtype, HALVES, SCALE)
    refined = tl.zeros((ROWS, OUT), tl.float32)
    for c in tl.static_range(PIECES):
        at = (BLOCKS - 1) * HIDDEN + c * PIECE
        piece = _widened(
            hidden[c], inner, wide + at * BOTTLENECK, wide_bias + at, larger,
            HIDDEN, PIECE, BOTTLENECK, NARROW, BLOCKS, HALVES,
        )  # fmt: skip
        weight = weight_of(decoder + c * PIECE, OUT, PIECE, HIDDEN, OUT * HIDDEN, HALVES)
        refined = product(factors(piece, HALVES), transposed(weight, HALVES), refined, HALVES)
    return refined


@triton.jit(do_not_specialize=["zero"])
def published_kernel(
    track, out, encoder, encoder_bias, narrow, narrow_bias, wide, wide_bias, decoder, decoder_bias, blend,
    frames, count, vectors, zero, track_frame, track_vector, track_number, out_frame, out_vector, out_number,
    SIZE: tl.constexpr, WINDOW: tl.constexpr, COLUMNS: tl.constexpr, HOP: tl.constexpr, R: tl.constexpr,
    Q: tl.constexpr, DELAY: tl.constexpr, LEFT: tl.constexpr, LAG: tl.constexpr, ROWS: tl.constexpr,
    STEPS: tl.constexpr, STAGES: tl.constexpr, FRAMES: tl.constexpr,
    HIDDEN: tl.constexpr, PIECE: tl.constexpr, BOTTLENECK: tl.constexpr,
    NARROW: tl.constexpr, BLOCKS: tl.constexpr, ONE: tl.constexpr, JOINED: tl.constexpr, RESIDENT: tl.constexpr,
    HALVES: tl.constexpr, SCALE: tl.constexpr, LARGEST: tl.constexpr, MOST: tl.constexpr,
):  # fmt: skip
    """Refine the track; program ``i`` writes stretch ``i // channels`` of channel ``i % channels``.

    Weights are padded with zeros: encoder (HIDDEN, COLUMNS), narrow (BLOCKS, BOTTLENECK, HIDDEN) or, with ``JOINED``,
    see :func:`_one_block`, wide (BLOCKS, HIDDEN, BOTTLENECK), decoder (R * Q, HIDDEN), in the order of the overlaps and
    weighted, but not with ``HALVES``. With ``RESIDENT`` they are read once and stay on the chip.
    With ``HALVES`` every weight is two arrays of float16, whose sum is ``1 / SCALE`` times the weight, and windows are
    made ``MOST`` times as large, or so many times that their largest number is ``LARGEST``, if that is less.
    ``zero`` is 0, which the compiler does not know: else it would work out all addresses before the loop and keep them
    in registers.
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
    OUT: tl.constexpr = R * Q
    dtype: tl.constexpr = tl.float32 if HALVES else encoder.dtype.element_ty
    kept = ()
    if RESIDENT:
        SIDE: tl.constexpr = NARROW if NARROW > OUT else OUT
        FIRST: tl.constexpr = 2 * SIDE if JOINED else NARROW
        for c in tl.static_range(HIDDEN // PIECE):
            kept += (
                weight_of(encoder + c * PIECE * COLUMNS, PIECE, COLUMNS, COLUMNS, HIDDEN * COLUMNS, HALVES),
                weight_of(narrow + c * PIECE, FIRST, PIECE, HIDDEN, FIRST * HIDDEN, HALVES),
                weight_of(wide + c * PIECE * NARROW, PIECE, NARROW, NARROW, HIDDEN * NARROW, HALVES),
                weight_of(decoder + c * PIECE, OUT, PIECE, HIDDEN, OUT * HIDDEN, HALVES),
            )
    carried = tl.zeros((ROWS * R,), tl.float32)
    late = tl.zeros((OUT,), tl.float32)
    first = begin - LAG
    for step in tl.range(STEPS, num_stages=STAGES):
        # A multiple of 16, for wide reads.
        same = step * zero * 16
        windows = windows_of(source, track_frame, first, frames, count, WINDOW, COLUMNS, HOP, ROWS, DELAY, FRAMES)
        share = 1.0
        larger = 1.0
        if HALVES:
            # The network gives s f(x) for s x and biases s b.
            largest = largest_of(windows, FRAMES)
            share = tl.where(largest * MOST > LARGEST, LARGEST / tl.maximum(largest, LARGEST / MOST), MOST)
            larger = share / SCALE
            windows *= for_each(share, FRAMES)
        windows = factors(as_matrix(windows.to(dtype), ROWS, COLUMNS, FRAMES), HALVES)
        if ONE:
            refined = _one_block(
                windows, kept, share, larger, encoder + same, encoder_bias + same, narrow + same, narrow_bias + same,
                wide + same, wide_bias + same, decoder + same,
                ROWS, COLUMNS, HIDDEN, PIECE, NARROW, OUT, JOINED, RESIDENT, dtype, HALVES, SCALE,
            )  # fmt: skip
        else:
            refined = _more_blocks(
                windows, share, larger, encoder + same, encoder_bias + same, narrow + same, narrow_bias + same,
                wide + same, wide_bias + same, decoder + same,
                ROWS, COLUMNS, HIDDEN, PIECE, BOTTLENECK, NARROW, BLOCKS, OUT, dtype, HALVES, SCALE,
            )  # fmt: skip
        if HALVES:
            refined *= (SCALE * SCALE / share)[:, None] * tl.load(blend + same + tl.arange(0, OUT))[None, :]
        refined += tl.load(decoder_bias + same + tl.arange(0, OUT))[None, :]
        fresh = same if HALVES else 0
        total, carried, late = added_up(
            refined, carried, late, fresh, first, frames, count, WINDOW, HOP, ROWS, R, Q, DELAY, LEFT, False
        )
        total *= shares_of(blend, first, frames, count, WINDOW, HOP, ROWS, R, Q, DELAY, LEFT)
        at, own = frames_of(first, begin, end, frames, HOP, ROWS, R, DELAY)
        goal = target + (first.to(tl.int64) - DELAY) * HOP * out_frame + at * out_frame
        tl.store(goal, total.to(out.dtype.element_ty), mask=own)
        first += ROWS
