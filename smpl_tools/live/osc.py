"""Frames over OSC (Open Sound Control 1.0): one message a frame, its numbers joint by joint."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from smoothnet_core._checks import mismatch, require
from smpl_tools.live.frames import LiveFrame, from_row, the_track

# Ethernet's packets, less what UDP and IP take; larger bundles are sent in pieces.
_PACKET = 1400


def messages(packet: bytes) -> list[tuple[str, list[Any]]]:
    """Return the (address, arguments) of a packet's messages, those of bundles one after the other.

    Raises:
        ValueError: it is no OSC.
        MissingExtraError: python-osc is not installed.
    """
    osc_packet = require("pythonosc.osc_packet", "live")
    try:
        found = osc_packet.OscPacket(packet).messages
    # What the library's parser raises of broken packets is not only its own error.
    except Exception as error:
        raise mismatch("packet", "OSC", f"{len(packet)} bytes that are none ({type(error).__name__})") from None
    return [(timed.message.address, list(timed.message.params)) for timed in found]


def message(address: str, arguments: list[Any]) -> Any:
    """Return a built message; floats go out as OSC's 32-bit ones.

    Raises:
        MissingExtraError: python-osc is not installed.
    """
    builder = require("pythonosc.osc_message_builder", "live").OscMessageBuilder(address)
    for argument in arguments:
        builder.add_arg(argument, "f" if isinstance(argument, float) else None)
    return builder.build()


def bundles(content: list[Any]) -> list[bytes]:
    """Return built messages as packets: bundles that each fit into a packet of Ethernet."""
    library = require("pythonosc.osc_bundle_builder", "live")
    packets: list[bytes] = []
    waiting: list[Any] = []
    size = 16
    for one in [*content, None]:
        if waiting and (one is None or size + one.size + 4 > _PACKET):
            builder = library.OscBundleBuilder(library.IMMEDIATELY)
            for each in waiting:
                builder.add_content(each)
            packets.append(builder.build().dgram)
            waiting, size = [], 16
        if one is not None:
            waiting.append(one)
            size += one.size + 4
    return packets


class OscReader:
    """Reads the messages of one address; others are none of ours."""

    def __init__(self, kind: str, address: str) -> None:
        require("pythonosc.osc_packet", "live")
        self._kind = kind
        self._address = address

    def read(self, packet: bytes) -> list[LiveFrame]:
        """Return the frames of one packet.

        Raises:
            ValueError: the packet is no OSC, or a message of the address holds no frame.
        """
        return [self._frame(arguments) for address, arguments in messages(packet) if address == self._address]

    def _frame(self, arguments: list[Any]) -> LiveFrame:
        if any(isinstance(x, bool) or not (x is None or isinstance(x, (int, float))) for x in arguments):
            raise mismatch(f"arguments of {self._address}", "numbers", repr(arguments)[:60])
        numbers = np.array([math.nan if x is None else float(x) for x in arguments])
        return LiveFrame({self._kind: from_row(numbers, self._kind)})

    def finish(self) -> list[LiveFrame]:
        """Return what is left."""
        return []


def osc_packets(frame: LiveFrame, address: str) -> list[bytes]:
    """Return a frame as one message.

    Raises:
        ValueError: the frame has more than one kind of numbers.
    """
    return [message(address, [float(x) for x in the_track(frame, "OSC").ravel()]).dgram]
