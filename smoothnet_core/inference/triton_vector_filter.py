"""Our own network over a whole track in one kernel; see :mod:`smoothnet_core.inference.triton_tiles`.

A row of a tile is a window of one joint; its D numbers go through the linear maps one after the other. Layers whose
widths are no powers of two are taken in pieces, and activations between layers are tuples of pieces. Windows are
centred and brought to size 1 in float32, so that rounding in bfloat16 is relative to what moves, not to where it is.
"""

# A kernel is no Python function to a type checker: its tuples grow, and what a constant rules out is never compiled.
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# pyright: reportPossiblyUnboundVariable=false, reportArgumentType=false, reportAssignmentType=false
# pyright: reportOperatorIssue=false, reportIndexIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from smoothnet_core.inference.triton_tiles import (
    added_up,
    as_matrix,
    factors,
    for_each,
    frames_of,
    log2_of_root,
    product,
    relu,
    rounded,
    shares_of,
    sums_of,
    transposed,
    weight_of,
    windows_of,
)


@triton.jit
def _kept(
    pointer, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    HALVES: tl.constexpr,
):  # fmt: skip
    """Return all pieces (ROWS, COLUMNS) of a weight (HEIGHT, WIDTH), row by row."""
    result = ()
    for n in tl.static_range(HEIGHT // ROWS):
        for k in tl.static_range(WIDTH // COLUMNS):
            at = n * ROWS * WIDTH + k * COLUMNS
            result += weight_of(pointer + at, ROWS, COLUMNS, WIDTH, HEIGHT * WIDTH, HALVES)
    return result


@triton.jit
def _weight(
    kept, pointer, n: tl.constexpr, k: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr, RESIDENT: tl.constexpr, HALVES: tl.constexpr,
):  # fmt: skip
    """Return piece ``(n, k)`` of a weight (HEIGHT, WIDTH), transposed."""
    at: tl.constexpr = n * (WIDTH // COLUMNS) + k
    if RESIDENT and HALVES:
        result = (kept[2 * at], kept[2 * at + 1])
    elif RESIDENT:
        result = (kept[at],)
    else:
        start = pointer + n * ROWS * WIDTH + k * COLUMNS
        result = weight_of(start, ROWS, COLUMNS, WIDTH, HEIGHT * WIDTH, HALVES)
    return transposed(result, HALVES)


@triton.jit
def _linear(
    pieces, kept, weight, n: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, PIECE: tl.constexpr,
    STEP: tl.constexpr, RESIDENT: tl.constexpr, HALVES: tl.constexpr,
):  # fmt: skip
    """Return piece ``n`` (PIECE columns) of a linear map of WIDTH columns, which come in pieces of STEP."""
    total = product(pieces[0], _weight(kept, weight, n, 0, HEIGHT, WIDTH, PIECE, STEP, RESIDENT, HALVES), None, HALVES)
    for k in tl.static_range(1, WIDTH // STEP):
        piece = _weight(kept, weight, n, k, HEIGHT, WIDTH, PIECE, STEP, RESIDENT, HALVES)
        total = product(pieces[k], piece, total, HALVES)
    return total


@triton.jit
def _row(bias, n: tl.constexpr, PIECE: tl.constexpr):
    """Return piece ``n`` of a bias, as a row."""
    return tl.load(bias + n * PIECE + tl.arange(0, PIECE))[None, :]


@triton.jit(do_not_specialize=["zero"])
def vector_filter_kernel(
    track, quality, out, probe, layer1, bias1, sureness, presence, layer2, bias2, gain, gain_bias, analysis, synthesis,
    blend, frames, count, vectors, zero, track_frame, track_vector, track_number, quality_frame, quality_vector,
    quality_number, out_frame, out_vector, out_number,
    SIZE: tl.constexpr, WINDOW: tl.constexpr, COLUMNS: tl.constexpr, HOP: tl.constexpr, R: tl.constexpr,
    Q: tl.constexpr, DELAY: tl.constexpr, LEFT: tl.constexpr, LAG: tl.constexpr, ROWS: tl.constexpr,
    STEPS: tl.constexpr, STAGES: tl.constexpr, FRAMES: tl.constexpr,
    PROBES: tl.constexpr, PROBE_PIECE: tl.constexpr, HIDDEN: tl.constexpr,
    HIDDEN_PIECE: tl.constexpr, FILTERS: tl.constexpr, FILTER_PIECE: tl.constexpr, QUALITY: tl.constexpr,
    WIDE_STAY: tl.constexpr, NARROW_STAY: tl.constexpr, HALVES: tl.constexpr, SCALE: tl.constexpr,
):  # fmt: skip
    """Refine the track; program ``i`` writes stretch ``i // vectors`` of vector ``i % vectors``.

    Weights are padded with zeros: probe (PROBES, COLUMNS), layer1 (HIDDEN, PROBES), sureness and presence (HIDDEN,
    COLUMNS) for the two numbers of the quality, layer2 (HIDDEN, HIDDEN), gain (FILTERS, HIDDEN), analysis (FILTERS,
    COLUMNS), synthesis (R * Q, FILTERS), in the order of the overlaps and weighted, but not with ``HALVES``. Without
    ``QUALITY`` all of it is 1 and ``bias1`` holds what that adds. Logarithms are those to the base 2, ``layer1`` holds
    the factor. With ``HALVES`` every weight is two arrays of float16, whose sum is ``1 / SCALE`` times the weight.
    Layers between wide ones (``WIDE_STAY``) and the others (``NARROW_STAY``) are read once a program and stay on the
    chip. ``zero`` is 0, which the compiler does not know: else it would work out all addresses before the loop and keep
    them in registers.
    """
    program = tl.program_id(0)
    vector = (program % vectors).to(tl.int64)
    begin = DELAY + (program // vectors) * (STEPS * ROWS - LAG)
    end = begin + STEPS * ROWS - LAG
    source = track + vector * track_vector
    target = out + vector * out_vector
    dtype: tl.constexpr = tl.float32 if HALVES else probe.dtype.element_ty
    kept_probe = ()
    kept_layer1 = ()
    kept_layer2 = ()
    kept_gain = ()
    kept_analysis = ()
    kept_synthesis = ()
    if NARROW_STAY:
        kept_probe = _kept(probe, PROBES, COLUMNS, PROBE_PIECE, COLUMNS, HALVES)
        kept_analysis = _kept(analysis, FILTERS, COLUMNS, FILTER_PIECE, COLUMNS, HALVES)
        kept_synthesis = _kept(synthesis, R * Q, FILTERS, R * Q, FILTER_PIECE, HALVES)
    if WIDE_STAY:
        kept_layer1 = _kept(layer1, HIDDEN, PROBES, HIDDEN_PIECE, PROBE_PIECE, HALVES)
        kept_layer2 = _kept(layer2, HIDDEN, HIDDEN, HIDDEN_PIECE, HIDDEN_PIECE, HALVES)
        kept_gain = _kept(gain, FILTERS, HIDDEN, FILTER_PIECE, HIDDEN_PIECE, HALVES)
    carried = ()
    late = ()
    for _ in tl.static_range(SIZE):
        carried += (tl.zeros((ROWS * R,), tl.float32),)
        late += (tl.zeros((R * Q,), tl.float32),)
    first = begin - LAG
    for step in tl.range(STEPS, num_stages=STAGES):
        # A multiple of 16, for wide reads.
        same = step * zero * 16
        centred = ()
        for d in tl.static_range(SIZE):
            windows = windows_of(
                source + d * track_number, track_frame, first, frames, count, WINDOW, COLUMNS, HOP, ROWS, DELAY,
                FRAMES,
            )  # fmt: skip
            windows -= for_each(sums_of(windows, FRAMES) / WINDOW, FRAMES)
            if WINDOW < COLUMNS:
                column = tl.arange(0, COLUMNS)[None, :]
                if FRAMES:
                    column = (tl.arange(0, COLUMNS // 4) * 4)[:, None, None] + tl.arange(0, 4)[None, None, :]
                windows = tl.where(column < WINDOW, windows, 0.0)
            if d == 0:
                squares = windows * windows
            else:
                squares += windows * windows
            centred += (windows,)
        energy = sums_of(squares, FRAMES)
        spread = tl.sqrt(tl.where(energy > 0, energy / WINDOW, 1.0))
        share = 1.0 / tl.where(spread > 0, spread, 1.0)
        unit = ()
        for d in tl.static_range(SIZE):
            windows = as_matrix(rounded(centred[d] * for_each(share, FRAMES), dtype), ROWS, COLUMNS, FRAMES)
            unit += (factors(windows, HALVES),)
        features = ()
        for k in tl.static_range(PROBES // PROBE_PIECE):
            weight = _weight(kept_probe, probe + same, k, 0, PROBES, COLUMNS, PROBE_PIECE, COLUMNS, NARROW_STAY, HALVES)
            seen = product(unit[0], weight, None, HALVES)
            lengths = seen * seen
            for d in tl.static_range(1, SIZE):
                seen = product(unit[d], weight, None, HALVES)
                lengths += seen * seen
            features += (factors(rounded(log2_of_root(lengths * (SCALE * SCALE), dtype), dtype), HALVES),)
        hidden = ()
        if QUALITY:
            given = quality + vector * quality_vector
            sure = windows_of(given, quality_frame, first, frames, count, WINDOW, COLUMNS, HOP, ROWS, DELAY, 0)
            present = windows_of(
                given + quality_number, quality_frame, first, frames, count, WINDOW, COLUMNS, HOP, ROWS, DELAY, 0
            )
            sure = factors(sure.to(dtype), HALVES)
            present = factors(present.to(dtype), HALVES)
        for n in tl.static_range(HIDDEN // HIDDEN_PIECE):
            total = _linear(
                features, kept_layer1, layer1 + same, n, HIDDEN, PROBES, HIDDEN_PIECE, PROBE_PIECE, WIDE_STAY, HALVES
            )
            if QUALITY:
                weight = _weight((), sureness + same, n, 0, HIDDEN, COLUMNS, HIDDEN_PIECE, COLUMNS, False, HALVES)
                total = product(sure, weight, total, HALVES)
                weight = _weight((), presence + same, n, 0, HIDDEN, COLUMNS, HIDDEN_PIECE, COLUMNS, False, HALVES)
                total = product(present, weight, total, HALVES)
            hidden += (factors(relu(total * SCALE + _row(bias1 + same, n, HIDDEN_PIECE), dtype), HALVES),)
        second = ()
        for n in tl.static_range(HIDDEN // HIDDEN_PIECE):
            total = _linear(
                hidden, kept_layer2, layer2 + same, n, HIDDEN, HIDDEN, HIDDEN_PIECE, HIDDEN_PIECE, WIDE_STAY, HALVES
            )
            second += (factors(relu(total * SCALE + _row(bias2 + same, n, HIDDEN_PIECE), dtype), HALVES),)
        gains = ()
        for n in tl.static_range(FILTERS // FILTER_PIECE):
            total = _linear(
                second, kept_gain, gain + same, n, FILTERS, HIDDEN, FILTER_PIECE, HIDDEN_PIECE, WIDE_STAY, HALVES
            )
            # Times what analysis is too large by.
            gains += (total * (SCALE * SCALE) + _row(gain_bias + same, n, FILTER_PIECE) * SCALE,)
        shares = shares_of(blend, first, frames, count, WINDOW, HOP, ROWS, R, Q, DELAY, LEFT)
        at, own = frames_of(first, begin, end, frames, HOP, ROWS, R, DELAY)
        origin = (first.to(tl.int64) - DELAY) * HOP
        next_carried = ()
        next_late = ()
        for d in tl.static_range(SIZE):
            for k in tl.static_range(FILTERS // FILTER_PIECE):
                weight = _weight(
                    kept_analysis, analysis + same, k, 0, FILTERS, COLUMNS, FILTER_PIECE, COLUMNS, NARROW_STAY, HALVES
                )
                filtered = factors(rounded(product(unit[d], weight, None, HALVES) * gains[k], dtype), HALVES)
                weight = _weight(
                    kept_synthesis, synthesis + same, 0, k, R * Q, FILTERS, R * Q, FILTER_PIECE, NARROW_STAY, HALVES
                )
                if k == 0:
                    change = product(filtered, weight, None, HALVES)
                else:
                    change = product(filtered, weight, change, HALVES)
            change *= (spread * SCALE)[:, None]
            if HALVES:
                change *= tl.load(blend + same + tl.arange(0, R * Q))[None, :]
            sums, ahead, end_window = added_up(
                change, carried[d], late[d], 0, first, frames, count,
                WINDOW, HOP, ROWS, R, Q, DELAY, LEFT, True,
            )  # fmt: skip
            next_carried += (ahead,)
            next_late += (end_window,)
            given = tl.load(source + d * track_number + (origin + at) * track_frame, mask=own, other=0.0)
            sums = sums * shares + given.to(tl.float32)
            goal = target + d * out_number + (origin + at) * out_frame
            tl.store(goal, sums.to(out.dtype.element_ty), mask=own)
        carried = next_carried
        late = next_late
        first += ROWS
