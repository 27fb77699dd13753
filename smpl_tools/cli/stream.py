"""``smoothnet stream``: frames from another program in, refined frames out, while they come."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smpl_tools.cli._shared import (
    comma_list,
    counted,
    fps_option,
    kind_option,
    name_option,
    number,
    order_option,
    printable,
    share,
)

if TYPE_CHECKING:
    from smpl_tools.live.running import Tally

TIMES = ("auto", "given", "arrival", "none")
# Further messages say nothing new.
_MOST_MESSAGES = 10


def stream(
    source: Annotated[
        str,
        typer.Option(
            "--input",
            "-i",
            metavar="URL",
            help="Standard input (-): JSON lines or CSV; udp://:PORT: JSON; osc://:PORT/ADDRESS; vmc://:PORT.",
        ),
    ] = "-",
    target: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="URL",
            help="Standard output (-), udp://HOST:PORT, osc://HOST:PORT/ADDRESS, vmc://HOST:PORT.",
        ),
    ] = "-",
    latency: Annotated[
        int, typer.Option(metavar="FRAMES", help="Frames after which each comes out, from 0 to the window less one.")
    ] = 4,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="Shipped model or file of weights; not the body-aware ones. auto: live below 16 frames, else default.",
        ),
    ] = "auto",
    fps: Annotated[float | None, fps_option("the weights were trained for, of frames without times")] = None,
    kind: Annotated[str, kind_option("the frames hold (VMC: rotations and positions, always)")] = "position",
    order: Annotated[str | None, order_option()] = None,
    joints: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...",
            help="Joints to refine, by name or by number from 0; the others only wait with them. Default: all.",
        ),
    ] = None,
    strength: Annotated[
        float, typer.Option(help="From 0, which leaves the motion as it is, to 1.", callback=share)
    ] = 1.0,
    times: Annotated[
        str,
        name_option(
            TIMES,
            "When frames were taken: as they state, as they arrive, or evenly; auto: as they state if the first does.",
        ),
    ] = "auto",
    host: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Where to listen, in place of 127.0.0.1; 0.0.0.0 is every network."),
    ] = None,
    silence: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="End when nothing has come for so long. Default: never.", min=0.0),
    ] = None,
) -> None:
    """Refine frames while they come, from standard input, UDP, OSC or VMC.

    Runs until the input ends, or Ctrl-C; frames that have not come out yet then do. What cannot be read is left out.
    """
    from smpl_tools.live.endpoints import endpoint, lines, listening, packets, reader_of, sending
    from smpl_tools.live.running import Interrupts, run
    from smpl_tools.live.session import Session, Settings

    origin, goal = endpoint(source, "--input"), endpoint(target, "--output")
    if host is not None and origin.scheme == "-":
        raise typer.BadParameter("standard input has no host", param_hint="--host")
    if silence is not None and origin.scheme == "-":
        raise typer.BadParameter("standard input ends by itself", param_hint="--silence")
    chosen = comma_list(joints) or None
    session = Session(Settings(model, latency, fps, order or "columns", strength, chosen, times))
    reader = reader_of(origin, kind)
    complain = _Complaints()
    with contextlib.ExitStack() as stack:
        send = stack.enter_context(sending(goal, reader))
        interrupts = stack.enter_context(Interrupts())
        pieces: Any
        if origin.scheme == "-":
            if sys.stdin.isatty():
                _say("reading frames from the terminal; Ctrl-D ends")
            pieces = lines(sys.stdin.buffer)
        else:
            heard = stack.enter_context(listening(origin, host))
            address, port = heard.getsockname()[:2]
            _say(f"listening on {address}:{port} ({origin.scheme}), latency {counted(latency, 'frame')}; Ctrl-C ends")
            pieces = packets(heard, silence)
        tally = run(pieces, reader, session, send, complain, interrupts.held)
    _summary(tally)


class _Complaints:
    """Says what was left out, as long as that is news."""

    def __init__(self) -> None:
        self._said = 0

    def __call__(self, text: str) -> None:
        self._said += 1
        if self._said <= _MOST_MESSAGES:
            _say(f"left out: {text}")
        if self._said == _MOST_MESSAGES:
            _say("further ones are only counted")


def _say(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)


def _summary(tally: Tally) -> None:
    parts = [f"{counted(tally.frames, 'frame')} in, {tally.sent:,} out"]
    if tally.skipped:
        parts.append(f"{tally.skipped:,} left out")
    if tally.unsent:
        parts.append(f"{tally.unsent:,} not sent")
    usual, worst = tally.took(0.5), tally.took(0.99)
    if usual is not None and worst is not None:
        parts.append(f"{number(1000 * usual, 'ms')} a frame, {number(1000 * worst, 'ms')} at the 99th percentile")
    _say("; ".join(parts))
