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
def product(first, second, total=None, HALVES: tl.constexpr = False):
    """Return ``first @ second``, and ``total`` if it is given; of float32 factors with all digits.

    With ``HALVES`` float32 factors are taken as sums of two float16 numbers, of which three products matter. The
    smaller one is kept 2048 times as large, where float16 has all its digits for it.
    """
    if HALVES and first.dtype == tl.float32:
        large = first.to(tl.float16)
        factor = second.to(tl.float16)
        small = ((first - large.to(tl.float32)) * 2048.0).to(tl.float16)
        rest = ((second - factor.to(tl.float32)) * 2048.0).to(tl.float16)
        if _INTERPRETED:
            large = large.to(tl.float32)
            factor = factor.to(tl.float32)
            small = small.to(tl.float32)
            rest = rest.to(tl.float32)
        result = tl.dot(large, factor, total) + tl.dot(large, rest, tl.dot(small, factor)) * (1 / 2048)
    else:
        if _INTERPRETED:
            first = first.to(tl.float32)
            second = second.to(tl.float32)
        result = tl.dot(first, second, total, input_precision="tf32x3")
    return result


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
    ROWS: tl.constexpr, DELAY: tl.constexpr,
):  # fmt: skip
    """Return float32 windows (ROWS, COLUMNS) number ``first`` and after; zeros where there is no such window.

    ``pointer`` is the channel's first frame, ``step`` the distance of its frames in memory; of the columns the first
    ``WINDOW`` are used.
    """
    rows = tl.arange(0, ROWS)
    columns = tl.arange(0, COLUMNS)
    window = first + rows
    start = rows * HOP
    if DELAY:
        start = tl.where(window == count, frames - WINDOW - first * HOP, start)
    inside = ((window >= 0) & (window < count + DELAY))[:, None] & (columns < WINDOW)[None, :]
    pointer += first.to(tl.int64) * HOP * step
    return tl.load(pointer + (start[:, None] + columns[None, :]) * step, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def shares_of(
    blend, first, frames, count, WINDOW: tl.constexpr, HOP: tl.constexpr, ROWS: tl.constexpr,
    R: tl.constexpr, Q: tl.constexpr, DELAY: tl.constexpr,
):  # fmt: skip
    """Return (ROWS, R): 1 over the sum of the weights of the windows that each frame lies in; ``blend`` (R * Q)."""
    weights = tl.load(blend + tl.arange(0, R * Q))
    rows = tl.arange(0, ROWS)[:, None]
    source = first + rows - DELAY - (tl.arange(0, R * Q) % Q)[None, :]
    there = (source >= 0) & (source < count)
    total = tl.sum(tl.reshape(tl.where(there, weights[None, :], 0.0), (ROWS, R, Q)), axis=2)
    if DELAY:
        at = (first + rows - DELAY) * HOP + tl.arange(0, R)[None, :] - (frames - WINDOW)
        inside = (at >= 0) & (at < WINDOW)
        at = tl.where(inside, at, 0)
        total += tl.load(blend + (at % HOP) * Q + at // HOP, mask=inside, other=0.0)
    return 1.0 / tl.where(total > 0, total, 1.0)


@triton.jit
def added_up(
    refined, carried, late, first, frames, count, WINDOW: tl.constexpr, HOP: tl.constexpr, ROWS: tl.constexpr,
    R: tl.constexpr, Q: tl.constexpr, DELAY: tl.constexpr, CARRY: tl.constexpr,
):  # fmt: skip
    """Add up the overlaps of a tile.

    Args:
        refined: (ROWS, R * Q) weighted refined windows ``first`` and after.
        carried: (CARRY, R) what the tile before adds to this one's first rows.
        late: (R * Q,) the window aligned with the end, zeros until it was seen.

    Returns:
        (ROWS, R) the sums of the frames of blocks ``first - DELAY`` and after, and the next ``carried`` and ``late``.
    """
    COLUMNS: tl.constexpr = R * Q
    window = first + tl.arange(0, ROWS)
    if DELAY:
        late += tl.sum(tl.where((window == count)[:, None], refined, 0.0), axis=0)
    regular = tl.reshape(tl.where(((window >= 0) & (window < count))[:, None], refined, 0.0), (ROWS * COLUMNS,))
    # Numbers are fetched by one index each; by rows of a matrix the compiler fails on some shapes.
    place = tl.arange(0, ROWS * COLUMNS)
    row = place // COLUMNS - place % Q - DELAY
    there = row >= 0
    moved = tl.gather(regular, tl.where(there, row * COLUMNS + place % COLUMNS, 0), 0)
    sums = tl.sum(tl.reshape(tl.where(there, moved, 0.0), (ROWS, R, Q)), axis=2)
    near = tl.arange(0, ROWS * R)
    from_before = tl.gather(tl.reshape(carried, (CARRY * R,)), tl.where(near < CARRY * R, near, 0), 0)
    sums += tl.reshape(tl.where(near < CARRY * R, from_before, 0.0), (ROWS, R))
    place = tl.arange(0, CARRY * COLUMNS)
    row = ROWS + place // COLUMNS - place % Q - DELAY
    there = row < ROWS
    ahead = tl.gather(regular, tl.where(there, row * COLUMNS + place % COLUMNS, 0), 0)
    carried = tl.sum(tl.reshape(tl.where(there, ahead, 0.0), (CARRY, R, Q)), axis=2)
    if DELAY:
        at = (first + near // R - DELAY) * HOP + near % R - (frames - WINDOW)
        inside = (at >= 0) & (at < WINDOW)
        at = tl.where(inside, at, 0)
        end = tl.gather(late, (at % HOP) * Q + at // HOP, 0)
        sums += tl.reshape(tl.where(inside, end, 0.0), (ROWS, R))
    return sums, carried, late


@triton.jit
def frames_of(first, begin, end, frames, HOP: tl.constexpr, ROWS: tl.constexpr, R: tl.constexpr, DELAY: tl.constexpr):
    """Return (ROWS, R) the frames, from that of row 0, of the blocks of a tile, and which of them are to be written.

    Rows ``begin`` to ``end`` belong to the program.
    """
    row = first + tl.arange(0, ROWS)
    inner = tl.arange(0, R)
    frame = (row[:, None] - DELAY) * HOP + inner[None, :]
    own = ((row >= begin) & (row < end))[:, None] & (inner < HOP)[None, :] & (frame >= 0) & (frame < frames)
    return (tl.arange(0, ROWS) * HOP)[:, None] + inner[None, :], own
