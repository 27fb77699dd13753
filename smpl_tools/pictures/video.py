"""Pictures to a file that moves: H.264 in MP4, GIF or WebP, by the ffmpeg that ``imageio-ffmpeg`` brings."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from smoothnet_core._checks import one_of, require
from smpl_tools.formats._files import reason, replacing

Picture = NDArray[np.uint8]

SUFFIXES = (".mp4", ".gif", ".webp")
# What a browser plays without stumbling over.
MOST_FPS = {".mp4": 60.0, ".gif": 30.0, ".webp": 30.0}
# A GIF has 256 colours, one of them for what does not change; they are chosen from so many frames.
_COLOURS, _SAMPLED = 255, 8
_HOW = {
    ".mp4": [
        *("-vf", "scale=out_color_matrix=bt709:out_range=tv", "-c:v", "libx264", "-preset", "veryfast", "-crf", "18"),
        # Sizes and colours that every player knows; the index in front, so that it plays while it loads.
        *("-pix_fmt", "yuv420p", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
        *("-movflags", "+faststart", "-f", "mp4"),
    ],
    ".gif": ["-lavfi", "paletteuse=dither=none:diff_mode=rectangle", "-loop", "0", "-f", "gif"],
    ".webp": ["-c:v", "libwebp_anim", "-quality", "80", "-compression_level", "4", "-loop", "0", "-f", "webp"],
}


def write_video(
    path: Path, draw: Callable[[int], Picture], count: int, fps: float, done: Callable[[int], None] = lambda _: None
) -> None:
    """Write a video, whole or not at all.

    Args:
        path: its suffix says in what form.
        draw: returns a frame by its number, (H, W, 3) uint8, height and width even and the same for all.
        count: how many frames there are.
        fps: frames a second.
        done: called with the number of frames that are done.

    Raises:
        ValueError: another suffix, or nothing can be written there.
        MissingExtraError: ``imageio-ffmpeg`` is not installed.
    """
    suffix = one_of("suffix of a video", path.suffix.lower(), SUFFIXES)
    program = require("imageio_ffmpeg", "render").get_ffmpeg_exe()
    first = draw(0)
    height, width = first.shape[:2]
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(replacing(path))
        notes = stack.enter_context(tempfile.TemporaryFile())
        command = [program, "-hide_banner", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{width}x{height}", "-r", f"{fps:.6f}", "-i", "-"]
        if suffix == ".gif":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            _write_palette(folder / "palette.png", (draw(int(n)) for n in np.linspace(0, count - 1, _SAMPLED)))
            command += ["-i", str(folder / "palette.png")]
        # Not of the terminal's group, so that Ctrl-C reaches it through us alone.
        process = subprocess.Popen(
            [*command, *_HOW[suffix], "-bitexact", "-map_metadata", "-1", file.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=notes,
            start_new_session=True,
        )
        assert process.stdin is not None
        try:
            for number, picture in enumerate(_frames(first, draw, count), 1):
                process.stdin.write(np.ascontiguousarray(picture).data)
                done(number)
            process.stdin.close()
            failed = process.wait() != 0
        except OSError:
            # It has stopped listening, and said why.
            failed = True
        finally:
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.kill()
            process.wait()
        if failed:
            raise ValueError(f"{path}: cannot be written: {_last_line(notes)}")


def _frames(first: Picture, draw: Callable[[int], Picture], count: int) -> Iterator[Picture]:
    yield first
    for number in range(1, count):
        yield draw(number)


def _last_line(notes: IO[bytes]) -> str:
    notes.seek(0)
    lines = notes.read().decode(errors="replace").strip().splitlines()
    return reason(ValueError(lines[-1])) if lines else "ffmpeg failed"


def _write_palette(path: Path, pictures: Iterator[Picture]) -> None:
    """Write the colours of some frames as the 16 x 16 picture that ffmpeg reads them from."""
    image = require("PIL.Image", "render")
    sampled = image.fromarray(np.concatenate([picture[::2, ::2] for picture in pictures]))
    # Shades by how much of the picture they fill, and colours however rare.
    ways = ((image.Quantize.MEDIANCUT, _COLOURS // 2), (image.Quantize.MAXCOVERAGE, _COLOURS - _COLOURS // 2))
    chosen = [sampled.quantize(count, method=way).getpalette("RGB")[: 3 * count] for way, count in ways]
    found = np.concatenate([np.array(part, np.uint8).reshape(-1, 3) for part in chosen])
    colours = np.zeros((256, 4), np.uint8)
    colours[: len(found), :3] = found
    colours[:_COLOURS, 3] = 255
    image.fromarray(colours.reshape(16, 16, 4)).save(path)
