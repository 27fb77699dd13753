"""Where frames come from and go to: standard input and output, UDP, OSC, VMC."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Protocol, TextIO
from urllib.parse import urlsplit

from smoothnet_core._checks import mismatch, require
from smpl_tools.live.frames import LiveFrame
from smpl_tools.live.osc import OscReader, osc_packets
from smpl_tools.live.texts import CsvReader, CsvWriter, JsonReader, LineReader, json_text
from smpl_tools.live.vmc import VmcReader, vmc_packets

SCHEMES = ("udp", "osc", "vmc")
LOOPBACK = "127.0.0.1"
_EXPECTED = "-, udp://HOST:PORT, osc://HOST:PORT/ADDRESS or vmc://HOST:PORT"
# A line of text that is longer than this is no frame.
_LONGEST_LINE = 2**24
_LARGEST_PACKET = 2**16
# How often a socket that hears nothing looks at the clock, in seconds.
_PATIENCE = 0.25
# Packets that wait while one is refined.
_RECEIVED = 2**21


class Reader(Protocol):
    """Makes frames of lines or packets."""

    def read(self, text: bytes, /) -> list[LiveFrame]:
        """Return the frames that end with this piece, or raise the ``ValueError`` that says what is wrong with it."""
        ...

    def finish(self) -> list[LiveFrame]:
        """Return what is left at the end."""
        ...


@dataclass(frozen=True)
class Endpoint:
    """One end of a stream: ``scheme`` is ``-`` or one of ``SCHEMES``; ``path`` the address of OSC messages."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        """Return it as it is written on the command line."""
        return self.scheme if self.scheme == "-" else f"{self.scheme}://{self.host}:{self.port}{self.path}"


def endpoint(text: str, what: str) -> Endpoint:
    """Return what a text such as ``vmc://127.0.0.1:39539`` names; without a host, this machine.

    Raises:
        ValueError: it names nothing.
    """
    if text == "-":
        return Endpoint("-")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise mismatch(what, _EXPECTED, repr(text)) from None
    plain = not (parts.query or parts.fragment or parts.username)
    if parts.scheme not in SCHEMES or port is None or not plain:
        raise mismatch(what, _EXPECTED, repr(text))
    path = parts.path.rstrip("/")
    if bool(path) != (parts.scheme == "osc"):
        raise mismatch(what, _EXPECTED, repr(text))
    return Endpoint(parts.scheme, parts.hostname or LOOPBACK, port, path)


def reader_of(source: Endpoint, kind: str) -> Reader:
    """Return what makes frames of what arrives at an endpoint.

    Raises:
        MissingExtraError: python-osc is not installed, which OSC and VMC need.
    """
    if source.scheme == "vmc":
        return VmcReader()
    if source.scheme == "osc":
        return OscReader(kind, source.path)
    return JsonReader(kind) if source.scheme == "udp" else LineReader(kind)


def lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a stream as they come."""
    while line := stream.readline(_LONGEST_LINE):
        yield line


def listening(source: Endpoint, host: str | None) -> socket.socket:
    """Return a socket that hears what is sent to an endpoint, on this machine alone unless ``host`` says otherwise.

    Raises:
        ValueError: the endpoint names another host than this machine, and ``host`` does not.
        OSError: the port is taken.
    """
    if host is None and source.host not in (LOOPBACK, "localhost", "::1"):
        raise mismatch(f"input {source}", f"{LOOPBACK}, unless --host names where to listen", source.host)
    where = host or source.host
    found = socket.socket(socket.AF_INET6 if ":" in where else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)
        found.bind((where, source.port))
    except OSError as error:
        found.close()
        raise OSError(error.errno, error.strerror, f"{where}:{source.port}") from None
    found.settimeout(_PATIENCE)
    return found


def packets(heard: socket.socket, silence: float | None) -> Iterator[bytes]:
    """Yield what a socket hears; end after ``silence`` seconds without anything, if it is not None.

    The silence is measured from the first packet on: a sender may be started later.
    """
    last: float | None = None
    while True:
        try:
            packet = heard.recv(_LARGEST_PACKET)
        except TimeoutError:
            if silence is not None and last is not None and time.monotonic() - last > silence:
                return
            continue
        last = time.monotonic()
        yield packet


@contextmanager
def sending(target: Endpoint, reader: Reader) -> Iterator[Callable[[LiveFrame], None]]:
    """Hold open an endpoint and give what sends a frame to it; on standard output text goes out as it came in.

    What is given raises ``ValueError`` where a frame cannot be put that way, and ``OSError`` where it cannot be sent.

    Raises:
        OSError: the host is not known.
        MissingExtraError: python-osc is not installed, which OSC and VMC need.
    """
    if target.scheme == "-":
        yield _printer(reader, sys.stdout)
        return
    put: Callable[[LiveFrame], list[bytes]] = _json_packets
    if target.scheme in ("osc", "vmc"):
        require("pythonosc.osc_packet", "live")
        put = vmc_packets if target.scheme == "vmc" else partial(osc_packets, address=target.path)
    try:
        family, _, _, _, address = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM)[0]
    except socket.gaierror as error:
        raise OSError(error.errno, error.strerror, target.host) from None
    with socket.socket(family, socket.SOCK_DGRAM) as outgoing:

        def send(frame: LiveFrame) -> None:
            for packet in put(frame):
                outgoing.sendto(packet, address)

        yield send


def _json_packets(frame: LiveFrame) -> list[bytes]:
    return [json_text(frame).encode()]


def _printer(reader: Reader, out: TextIO) -> Callable[[LiveFrame], None]:
    csv: CsvWriter | None = None

    def show(frame: LiveFrame) -> None:
        nonlocal csv
        if isinstance(reader, LineReader) and isinstance(reader.reader, CsvReader):
            csv = csv or CsvWriter(reader.reader)
            text = csv.text(frame)
        else:
            text = json_text(frame)
        out.write(text + "\n")
        out.flush()

    return show
