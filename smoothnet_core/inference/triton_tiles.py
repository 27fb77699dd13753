"""What the fused kernels share: windows cut from a track, and their overlaps added up, without leaving the chip.

A program owns a stretch of output of one channel or joint. It walks over tiles of ``ROWS`` windows, each ``HOP`` frames
after the one before. The frames of an output tile are counted in blocks of ``HOP``: block ``p`` holds the frames
``p * HOP + r``. Window ``m`` gives block ``p`` its frames ``(p - m) * HOP + r``, so adding up the overlaps means
shifting column ``(r, q)`` of the tile of refined windows by ``q`` rows and summing over ``q``. The columns of the
last layer are put in that order beforehand (see :mod:`smoothnet_core.inference.triton_weights`): ``r`` first, ``q``
side by side, each filled up to a power of two. What a tile adds to the blocks of the next is carried in registers. So
every output is written once, by one program, and always added up in the same order.

Where the windows miss the end of a track, one more is aligned with it. It is row ``count``, right after the regular
ones, and starts at ``frames - WINDOW``; block ``p`` is then written together with row ``p + DELAY``, ``DELAY`` = 1, so
that this window is there before the first block that it touches.
"""

# A kernel is no Python function to a type checker: its tuples grow, and what a constant rules out is never compiled.
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# pyright: reportPossiblyUnboundVariable=false, reportArgumentType=false, reportAssignmentType=false
# pyright: reportOperatorIssue=false, reportIndexIssue=false

from __future__ import annotations

import triton
import triton.language as tl
from triton import knobs

# The interpreter multiplies the bits of bfloat16 numbers as if they were integers.
_INTERPRETED = tl.constexpr(knobs.runtime.interpret)


@triton.jit
def factors(x, HALVES: tl.constexpr):
    """Return activations as :func:`product` takes them: with ``HALVES`` as two float16 numbers, whose sum they are."""
    if HALVES:
        large = x.to(tl.float16)
        result = (large, (x - large.to(tl.float32)).to(tl.float16))
    else:
        result = (x,)
    return result


@triton.jit
def product(first, second, total=None, HALVES: tl.constexpr = False):
    """Return ``first @ second``, and ``total`` if it is given, in float32; both are tuples of what they are sums of.

    With ``HALVES`` they are of two float16 numbers, of which three products matter. Without, float32 factors are
    multiplied with all their digits.
    """
    if HALVES:
        result = _dot(first[1], second[0], None)
        result = _dot(first[0], second[1], result)
        result = _dot(first[0], second[0], result)
        if total is not None:
            # Not by the matrix units: they round sums towards zero.
            result = total + result
    else:
        result = _dot(first[0], second[0], total)
    return result


@triton.jit
def _dot(first, second, total):
    if _INTERPRETED:
        first = first.to(tl.float32)
        second = second.to(tl.float32)
    return tl.dot(first, second, total, input_precision="tf32x3")


@triton.jit
def weight_of(
    pointer, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STRIDE: tl.constexpr, REST: tl.constexpr, HALVES: tl.constexpr
):  # fmt: skip
    """Return a piece of a weight (ROWS, COLUMNS) whose rows lie ``STRIDE`` apart, as :func:`transposed` takes it.

    With ``HALVES`` the smaller float16 numbers lie ``REST`` after the larger ones.
    """
    place = tl.arange(0, ROWS)[:, None] * STRIDE + tl.arange(0, COLUMNS)[None, :]
    result = (tl.load(pointer + place),)
    if HALVES:
        result += (tl.load(pointer + REST + place),)
    return result


@triton.jit
def transposed(weight, HALVES: tl.constexpr):
    """Return a weight as the second factor of a product."""
    return (tl.trans(weight[0]), tl.trans(weight[1])) if HALVES else (tl.trans(weight[0]),)


@triton.jit
def added(first, second):
    """Return the sum of two activations of one dtype."""
    return (first.to(tl.float32) + second.to(tl.float32)).to(first.dtype) if _INTERPRETED else first + second


@triton.jit
def rounded(x, dtype: tl.constexpr):
    """Return float32 numbers rounded to the dtype, two bfloat16 numbers an instruction."""
    if _INTERPRETED or dtype == tl.float32:
        result = x.to(dtype)
    else:
        pair: tl.constexpr = "cvt.rn.bf16x2.f32 $0, $2, $1;"
        result = tl.inline_asm_elementwise(pair, "=r,f,f", [x], dtype=tl.bfloat16, is_pure=True, pack=2)
    return result


@triton.jit
def relu(x, dtype: tl.constexpr):
    """Return what is positive of float32 numbers, 0 for the others, rounded to the dtype."""
    if _INTERPRETED or dtype == tl.float32:
        result = tl.maximum(x, 0.0).to(dtype)
    else:
        pair: tl.constexpr = "cvt.rn.relu.bf16x2.f32 $0, $2, $1;"
        result = tl.inline_asm_elementwise(pair, "=r,f,f", [x], dtype=tl.bfloat16, is_pure=True, pack=2)
    return result


@triton.jit
def leaky_relu(x, TENTHS: tl.constexpr, dtype: tl.constexpr):
    """Return LeakyReLU of float32 numbers, rounded to the dtype; the slope in tenths is 1 or 2.

    In bfloat16 the slope is rounded as well, which is a tenth of what rounding does to the positive numbers.
    """
    if _INTERPRETED or dtype == tl.float32:
        result = tl.maximum(x, x * (TENTHS * 0.1)).to(dtype)
    else:
        # Two numbers an instruction.
        slope: tl.constexpr = "0x3DCD3DCD" if TENTHS == 1 else "0x3E4D3E4D"
        pair: tl.constexpr = (
            "{ .reg .b32 a, b; mov.b32 b, " + slope + "; cvt.rn.bf16x2.f32 a, $2, $1; "
            "mul.rn.bf16x2 b, a, b; max.bf16x2 $0, a, b; }"
        )
        result = tl.inline_asm_elementwise(pair, "=r,f,f", [x], dtype=tl.bfloat16, is_pure=True, pack=2)
    return result


@triton.jit
def log2_of_root(squares, dtype: tl.constexpr):
    """Return ``log2(sqrt(squares + 1e-12) + 1e-2)``, for bfloat16 by the chip's approximations (22 bits)."""
    if _INTERPRETED or dtype == tl.float32:
        result = tl.log2(tl.sqrt(squares + 1e-12) + 1e-2)
    else:
        # 0f2B8CBCCC is 1e-12 and 0f3C23D70A 1e-2.
        one: tl.constexpr = (
            "{ .reg .f32 a; add.ftz.f32 a, $1, 0f2B8CBCCC; sqrt.approx.ftz.f32 a, a; "
            "add.ftz.f32 a, a, 0f3C23D70A; lg2.approx.ftz.f32 $0, a; }"
        )
        result = tl.inline_asm_elementwise(one, "=f,f", [squares], dtype=tl.float32, is_pure=True, pack=1)
    return result


@triton.jit
def windows_of(
    pointer, step, first, frames, count, WINDOW: tl.constexpr, COLUMNS: tl.constexpr, HOP: tl.constexpr,
    ROWS: tl.constexpr, DELAY: tl.constexpr, FRAMES: tl.constexpr,
):  # fmt: skip
    """Return float32 windows number ``first`` and after; zeros where there is no such window.

    ``pointer`` is the channel's first frame, ``step`` the distance of its frames in memory; of the columns the first
    ``WINDOW`` are used. They are (ROWS, COLUMNS). With ``FRAMES``, a power of two, which all windows together fit in,
    every frame is read once and the windows are put together on the chip, for frames that lie far apart: they are then
    (COLUMNS / 4, ROWS, 4), of which threads have several columns, see :func:`as_matrix`.
    """
    window = first + tl.arange(0, ROWS)
    inside = (window >= 0) & (window < count + DELAY)
    start = tl.arange(0, ROWS) * HOP
    if DELAY:
        start = tl.where(window == count, frames - WINDOW - first * HOP, start)
    pointer += first.to(tl.int64) * HOP * step
    if FRAMES:
        frame = tl.arange(0, FRAMES)
        there = (first * HOP + frame >= 0) & (first * HOP + frame < frames) & (frame < (ROWS - 1) * HOP + WINDOW)
        seen = tl.load(pointer + frame * step, mask=there, other=0.0).to(tl.float32)
        place = tl.arange(0, ROWS * COLUMNS)
        row = place // 4 % ROWS
        at = row * HOP
        if DELAY:
            at = tl.where(first + row == count, frames - WINDOW - first * HOP, at)
        column = place // (4 * ROWS) * 4 + place % 4
        there = (first + row >= 0) & (first + row < count + DELAY) & (column < WINDOW)
        found = tl.where(there, tl.gather(seen, (at + column) % FRAMES, 0), 0.0)
        result = tl.reshape(found, (COLUMNS // 4, ROWS, 4))
    else:
        columns = tl.arange(0, COLUMNS)
        there = inside[:, None] & (columns < WINDOW)[None, :]
        result = tl.load(pointer + (start[:, None] + columns[None, :]) * step, mask=there, other=0.0).to(tl.float32)
    return result


@triton.jit
def sums_of(windows, FRAMES: tl.constexpr):
    """Return (ROWS,) the sums over each window of :func:`windows_of`."""
    # First what a thread has.
    return tl.sum(tl.sum(windows, axis=0), axis=1) if FRAMES else tl.sum(windows, axis=1)


@triton.jit
def largest_of(windows, FRAMES: tl.constexpr):
    """Return (ROWS,) the largest size of a number of each window of :func:`windows_of`."""
    return tl.max(tl.max(tl.abs(windows), axis=0), axis=1) if FRAMES else tl.max(tl.abs(windows), axis=1)


@triton.jit
def for_each(x, FRAMES: tl.constexpr):
    """Return (ROWS,) numbers so that they are multiplied with windows of :func:`windows_of`."""
    return x[None, :, None] if FRAMES else x[:, None]


@triton.jit
def as_matrix(windows, ROWS: tl.constexpr, COLUMNS: tl.constexpr, FRAMES: tl.constexpr):
    """Return windows of :func:`windows_of` as (ROWS, COLUMNS)."""
    if FRAMES:
        windows = tl.reshape(tl.permute(windows, (1, 0, 2)), (ROWS, COLUMNS))
    return windows


@triton.jit
def frames_of(first, begin, end, frames, HOP: tl.constexpr, ROWS: tl.constexpr, R: tl.constexpr, DELAY: tl.constexpr):
    """Return (ROWS * R,) the frames of a tile's blocks, from that of row 0, and which of them are to be written.

    Rows ``begin`` to ``end`` belong to the program.
    """
    p, r = _blocks(tl.arange(0, ROWS * R), ROWS, R)
    row = first + p
    frame = (row - DELAY) * HOP + r
    own = (row >= begin) & (row < end) & (r < HOP) & (frame >= 0) & (frame < frames)
    return p * HOP + r, own


@triton.jit
def _blocks(place, ROWS: tl.constexpr, R: tl.constexpr):
    """Return the row and the frame of the block of each number of a tile's output: up to 8 frames lie side by side."""
    SIDE: tl.constexpr = R if R < 8 else 8
    return place // SIDE % ROWS, place // (SIDE * ROWS) * SIDE + place % SIDE


@triton.jit
def shares_of(
    blend, first, frames, count, WINDOW: tl.constexpr, HOP: tl.constexpr, ROWS: tl.constexpr,
    R: tl.constexpr, Q: tl.constexpr, DELAY: tl.constexpr, LEFT: tl.constexpr,
):  # fmt: skip
    """Return (ROWS * R,): 1 over the sum of the weights of the windows that each frame lies in.

    ``blend`` is (R * Q + R): weights in the order of the overlaps, then 1 over their sums.
    """
    p, r = _blocks(tl.arange(0, ROWS * R), ROWS, R)
    inner = (first - DELAY >= Q - 1) & (first + ROWS - DELAY <= count)
    if DELAY:
        inner = inner & ((first + ROWS - DELAY) * HOP <= frames - WINDOW)
    result = tl.load(blend + R * Q + r)
    if not inner:
        total = tl.zeros((ROWS * R,), tl.float32)
        for q in tl.range(Q):
            source = first + p - DELAY - q
            total += tl.load(blend + r * Q + q, mask=(source >= 0) & (source < count), other=0.0)
        if DELAY:
            at = (first + p - DELAY) * HOP + r - (frames - WINDOW)
            inside = (at >= LEFT) & (at < WINDOW)
            at = tl.where(inside, at, 0)
            total += tl.load(blend + (at % HOP) * Q + at // HOP, mask=inside, other=0.0)
        result = 1.0 / tl.where(total > 0, total, 1.0)
    return result


@triton.jit
def added_up(
    refined, carried, late, same, first, frames, count, WINDOW: tl.constexpr, HOP: tl.constexpr, ROWS: tl.constexpr,
    R: tl.constexpr, Q: tl.constexpr, DELAY: tl.constexpr, LEFT: tl.constexpr, SILENT: tl.constexpr,
):  # fmt: skip
    """Add up the overlaps of a tile.

    Args:
        refined: (ROWS, R * Q) weighted refined windows ``first`` and after.
        carried: (ROWS * R,) what the tile before adds to this one.
        late: (R * Q,) the window aligned with the end, zeros until it was seen.
        same: 0. If the compiler does not know that, it works out indices anew for each tile, which leaves registers.
        LEFT: how many of the first frames of that window are left to the others.
        SILENT: rows that are no windows are zeros.

    Returns:
        (ROWS * R,) the sums of the frames of blocks ``first - DELAY`` and after, and the next ``carried`` and ``late``.
    """
    COLUMNS: tl.constexpr = R * Q
    window = first + tl.arange(0, ROWS)
    if DELAY:
        late += tl.sum(tl.where((window == count)[:, None], refined, 0.0), axis=0)
    if DELAY or not SILENT:
        refined = tl.where(((window >= 0) & (window < count))[:, None], refined, 0.0)
    # Numbers are fetched by one index each; by rows of a matrix the compiler fails on some shapes. In this order, and
    # with the overlaps of rows and frames taken in different orders, threads meet in few of the chip's memory banks.
    refined = tl.permute(tl.reshape(refined, (ROWS // 8, 8, COLUMNS // 8, 4, 2)), (0, 2, 4, 3, 1))
    # Quotients of numbers without a sign are shifts.
    place = (tl.arange(0, Q * ROWS * R) + same).to(tl.uint32)
    p, r = _blocks(place % (ROWS * R), ROWS, R)
    q = (place // (ROWS * R) + p // 8 * 2 + r // 2) % Q
    row = p.to(tl.int32) - q.to(tl.int32) - DELAY
    # What is not of this tile, at the place that the next one's first rows have in it.
    ahead = row < 0
    row = (row + ROWS).to(tl.uint32) % ROWS
    column = r * Q + q
    at = ((row // 8 * (COLUMNS // 8) + column // 8) * 2 + column % 2) * 32 + column // 2 % 4 * 8 + row % 8
    moved = tl.gather(tl.reshape(refined, (ROWS * COLUMNS,)), at.to(tl.int32), 0)
    sums = carried + tl.sum(tl.reshape(tl.where(ahead, 0.0, moved), (Q, ROWS * R)), axis=0)
    carried = tl.sum(tl.reshape(tl.where(ahead, moved, 0.0), (Q, ROWS * R)), axis=0)
    if DELAY:
        p, r = _blocks(tl.arange(0, ROWS * R), ROWS, R)
        at = (first + p - DELAY) * HOP + r - (frames - WINDOW)
        inside = (at >= LEFT) & (at < WINDOW)
        at = tl.where(inside, at, 0)
        sums += tl.where(inside, tl.gather(late, (at % HOP) * Q + at // HOP, 0), 0.0)
    return sums, carried, late
