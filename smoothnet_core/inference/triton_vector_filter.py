"""Our own network over a whole track in one kernel; see :mod:`smoothnet_core.inference.triton_tiles`.

A row of a tile is a window of one joint; its D numbers go through the linear maps one after the other. Layers whose
widths are no powers of two are taken in pieces, and activations between layers are tuples of pieces. Windows are
centred and brought to size 1 in float32, so that rounding in bfloat16 is relative to what moves, not to where it is.
"""

# A kernel is no Python function to a type checker: its tuples grow, and what a constant rules out is never compiled.
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import triton
import triton.language as tl

from smoothnet_core.inference.triton_tiles import added_up, frames_of, product, shares_of, windows_of


@triton.jit
def _weight(pointer, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STRIDE: tl.constexpr):
    """Return a piece of a weight (ROWS, COLUMNS) whose rows lie ``STRIDE`` apart, transposed."""
    return tl.trans(tl.load(pointer + tl.arange(0, ROWS)[:, None] * STRIDE + tl.arange(0, COLUMNS)[None, :]))


@triton.jit
def _layer(
    pieces, weight, bias, WIDTH: tl.constexpr, PIECE: tl.constexpr, COLUMNS: tl.constexpr, STEP: tl.constexpr,
    ROWS: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    """Return a linear map (WIDTH, COLUMNS) of a tuple of pieces of STEP columns, as float32 pieces of PIECE columns."""
    result = ()
    for n in tl.static_range(WIDTH // PIECE):
        total = tl.zeros((ROWS, PIECE), tl.float32)
        for k in tl.static_range(COLUMNS // STEP):
            part = _weight(weight + n * PIECE * COLUMNS + k * STEP, PIECE, STEP, COLUMNS)
            total = product(pieces[k], part, total)
        total += tl.load(bias + n * PIECE + tl.arange(0, PIECE))[None, :]
        result += (tl.maximum(total, 0.0) if RELU else total,)
    return result


@triton.jit
def vector_filter_kernel(
    track, quality, out, probe, layer1, bias1, sureness, presence, layer2, bias2, gain, gain_bias, analysis, synthesis,
    blend, frames, count, vectors, track_frame, track_vector, track_number, quality_frame, quality_vector,
    quality_number, out_frame, out_vector, out_number,
    SIZE: tl.constexpr, WINDOW: tl.constexpr, COLUMNS: tl.constexpr, HOP: tl.constexpr, R: tl.constexpr,
    Q: tl.constexpr, DELAY: tl.constexpr, CARRY: tl.constexpr, LAG: tl.constexpr, ROWS: tl.constexpr,
    STEPS: tl.constexpr, STAGES: tl.constexpr, PROBES: tl.constexpr, PROBE_PIECE: tl.constexpr, HIDDEN: tl.constexpr,
    HIDDEN_PIECE: tl.constexpr,
    FILTERS: tl.constexpr, FILTER_PIECE: tl.constexpr, QUALITY: tl.constexpr,
):  # fmt: skip
    """Refine the track; program ``i`` writes stretch ``i // vectors`` of vector ``i % vectors``.

    Weights are padded with zeros: probe (PROBES, COLUMNS), layer1 (HIDDEN, PROBES), sureness and presence (HIDDEN,
    COLUMNS) for the two numbers of the quality, layer2 (HIDDEN, HIDDEN), gain (FILTERS, HIDDEN), analysis (FILTERS,
    COLUMNS), synthesis (R * Q, FILTERS), weighted and in the order of the overlaps. Without ``QUALITY`` all of it is 1
    and ``bias1`` holds what that adds.
    """
    program = tl.program_id(0)
    vector = (program % vectors).to(tl.int64)
    begin = DELAY + (program // vectors) * (STEPS * ROWS - LAG)
    end = begin + STEPS * ROWS - LAG
    source = track + vector * track_vector
    target = out + vector * out_vector
    dtype: tl.constexpr = probe.dtype.element_ty
    carried = ()
    late = ()
    for _ in tl.static_range(SIZE):
        carried += (tl.zeros((CARRY, R), tl.float32),)
        late += (tl.zeros((R * Q,), tl.float32),)
    first = begin - LAG
    for _ in tl.range(STEPS, num_stages=STAGES):
        centred = ()
        energy = tl.zeros((ROWS,), tl.float32)
        for d in tl.static_range(SIZE):
            windows = windows_of(
                source + d * track_number, track_frame, first, frames, count, WINDOW, COLUMNS, HOP, ROWS, DELAY
            )
            middle = tl.sum(windows, axis=1) / WINDOW
            windows = tl.where((tl.arange(0, COLUMNS) < WINDOW)[None, :], windows - middle[:, None], 0.0)
            energy += tl.sum(windows * windows, axis=1)
            centred += (windows,)
        spread = tl.sqrt(tl.where(energy > 0, energy / WINDOW, 1.0))
        share = 1.0 / tl.where(spread > 0, spread, 1.0)
        unit = ()
        for d in tl.static_range(SIZE):
            unit += ((centred[d] * share[:, None]).to(dtype),)
        features = ()
        for k in tl.static_range(PROBES // PROBE_PIECE):
            weight = _weight(probe + k * PROBE_PIECE * COLUMNS, PROBE_PIECE, COLUMNS, COLUMNS)
            squares = tl.zeros((ROWS, PROBE_PIECE), tl.float32)
            for d in tl.static_range(SIZE):
                seen = product(unit[d], weight)
                squares += seen * seen
            features += (tl.log(tl.sqrt(squares + 1e-12) + 1e-2).to(dtype),)
        hidden = ()
        if QUALITY:
            given = quality + vector * quality_vector
            sure = windows_of(
                given, quality_frame, first, frames, count, WINDOW, COLUMNS, HOP, ROWS, DELAY
            ).to(dtype)  # fmt: skip
            present = windows_of(
                given + quality_number, quality_frame, first, frames, count, WINDOW, COLUMNS, HOP, ROWS, DELAY
            ).to(dtype)  # fmt: skip
        for n in tl.static_range(HIDDEN // HIDDEN_PIECE):
            total = tl.zeros((ROWS, HIDDEN_PIECE), tl.float32)
            for k in tl.static_range(PROBES // PROBE_PIECE):
                at = n * HIDDEN_PIECE * PROBES + k * PROBE_PIECE
                weight = _weight(layer1 + at, HIDDEN_PIECE, PROBE_PIECE, PROBES)
                total = product(features[k], weight, total)
            if QUALITY:
                at = n * HIDDEN_PIECE * COLUMNS
                total = product(sure, _weight(sureness + at, HIDDEN_PIECE, COLUMNS, COLUMNS), total)
                total = product(present, _weight(presence + at, HIDDEN_PIECE, COLUMNS, COLUMNS), total)
            total += tl.load(bias1 + n * HIDDEN_PIECE + tl.arange(0, HIDDEN_PIECE))[None, :]
            hidden += (tl.maximum(total, 0.0).to(dtype),)
        second = _layer(hidden, layer2, bias2, HIDDEN, HIDDEN_PIECE, HIDDEN, HIDDEN_PIECE, ROWS, True)
        narrowed = ()
        for n in tl.static_range(HIDDEN // HIDDEN_PIECE):
            narrowed += (second[n].to(dtype),)
        gains = _layer(narrowed, gain, gain_bias, FILTERS, FILTER_PIECE, HIDDEN, HIDDEN_PIECE, ROWS, False)
        shares = shares_of(blend, first, frames, count, WINDOW, HOP, ROWS, R, Q, DELAY)
        at, own = frames_of(first, begin, end, frames, HOP, ROWS, R, DELAY)
        origin = (first.to(tl.int64) - DELAY) * HOP
        next_carried = ()
        next_late = ()
        for d in tl.static_range(SIZE):
            change = tl.zeros((ROWS, R * Q), tl.float32)
            for k in tl.static_range(FILTERS // FILTER_PIECE):
                weight = _weight(analysis + k * FILTER_PIECE * COLUMNS, FILTER_PIECE, COLUMNS, COLUMNS)
                filtered = product(unit[d], weight) * gains[k]
                weight = _weight(synthesis + k * FILTER_PIECE, R * Q, FILTER_PIECE, FILTERS)
                change = product(filtered.to(dtype), weight, change)
            sums, ahead, end_window = added_up(
                change * spread[:, None], carried[d], late[d], first, frames, count,
                WINDOW, HOP, ROWS, R, Q, DELAY, CARRY,
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
