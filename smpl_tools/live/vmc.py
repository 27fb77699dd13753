"""The VMC protocol (Virtual Motion Capture): bones as messages over OSC; https://protocol.vmc.info, marionette part.

Rotations are quaternions in the order x, y, z, w, positions local, in metres, of a left-handed world; none of which
matters to a network that turns and mirrors with what it sees.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from smoothnet_core._checks import mismatch, require
from smpl_tools.live.frames import LiveFrame
from smpl_tools.live.osc import bundles, message, messages

_BONE, _ROOT, _TIME = "/VMC/Ext/Bone/Pos", "/VMC/Ext/Root/Pos", "/VMC/Ext/T"
# What the root is called among the bones; no bone of Unity's humanoid is.
ROOT = "root"
_TRANSFORM = 7
# A frame that has more is no person.
_MOST_BONES = 1000
_MOST_OTHERS = 1000


class VmcReader:
    """Gathers frames from messages.

    The protocol does not say where a frame ends, and senders begin at different messages. A frame ends when a bone,
    the root or the time comes a second time; and which of them came last is then known, so that further frames end
    there, without waiting for the next one.
    """

    def __init__(self) -> None:
        require("pythonosc.osc_packet", "live")
        self._bones: dict[str, list[float]] = {}
        self._seen: dict[str, None] = {}
        self._time: float | None = None
        self._others: list[tuple[str, list[Any]]] = []
        self._last: str | None = None
        self._ended = False

    def read(self, packet: bytes) -> list[LiveFrame]:
        """Return the frames that end with this packet.

        Raises:
            ValueError: the packet is no OSC, or a bone, the root or the time has other arguments than the protocol's.
        """
        found = [(address, _checked(address, arguments)) for address, arguments in messages(packet)]
        done: list[LiveFrame] = []
        for address, arguments in found:
            if address not in (_BONE, _ROOT, _TIME):
                if len(self._others) < _MOST_OTHERS:
                    self._others.append((address, arguments))
                continue
            key = address if address == _TIME else f"{address} {arguments[0]}"
            if key in self._seen or len(self._bones) >= _MOST_BONES:
                self._last = next(reversed(self._seen))
                done += self._end()
            self._seen[key] = None
            if address == _TIME:
                self._time = float(arguments[0])
            else:
                name = ROOT if address == _ROOT else str(arguments[0])
                self._bones[name] = [float(x) for x in arguments[1:]]
            if key == self._last:
                done += self._end()
        return done

    def finish(self) -> list[LiveFrame]:
        """Return what is left."""
        return self._end()

    def _end(self) -> list[LiveFrame]:
        bones, others, time = self._bones, self._others, self._time
        self._bones, self._others, self._seen, self._time = {}, [], {}, None
        if not bones:
            # Times alone; what else came goes with the next frame.
            self._others = others
            return []
        table = np.array([numbers[:_TRANSFORM] for numbers in bones.values()])
        tracks = {"quat_wxyz": table[:, [6, 3, 4, 5]], "position": table[:, :3]}
        further = {name: numbers[_TRANSFORM:] for name, numbers in bones.items() if len(numbers) > _TRANSFORM}
        return [LiveFrame(tracks, tuple(bones), time, rest=_Rest(others, further))]


class _Rest:
    """What of a frame goes out as it came: other messages, and numbers after a transform."""

    def __init__(self, others: list[tuple[str, list[Any]]], further: dict[str, list[float]]) -> None:
        self.others = others
        self.further = further


def vmc_packets(frame: LiveFrame) -> list[bytes]:
    """Return a frame as bundles; bones of which nothing is known are left out.

    Raises:
        ValueError: the frame has no names, or no quaternions.
    """
    if frame.names is None or "quat_wxyz" not in frame.tracks:
        has = " and ".join(frame.tracks) + (" without names" if frame.names is None else "")
        raise mismatch("frame for VMC", "quat_wxyz of named bones", has)
    turns = frame.tracks["quat_wxyz"].reshape(len(frame.names), 4)[:, [1, 2, 3, 0]]
    places = frame.tracks.get("position", np.zeros((len(turns), 3)))
    rest = frame.rest if isinstance(frame.rest, _Rest) else _Rest([], {})
    content = [] if frame.time is None else [message(_TIME, [float(frame.time)])]
    for name, place, turn in zip(frame.names, places, turns, strict=True):
        numbers = [float(x) for x in (*place, *turn)]
        if all(math.isfinite(x) for x in numbers):
            address = _ROOT if name == ROOT else _BONE
            content.append(message(address, [name, *numbers, *rest.further.get(name, [])]))
    content += [message(address, arguments) for address, arguments in rest.others]
    return bundles(content)


def _checked(address: str, arguments: list[Any]) -> list[Any]:
    if address == _TIME:
        if len(arguments) != 1 or not _number(arguments[0]):
            raise mismatch(f"arguments of {address}", "a number of seconds", repr(arguments)[:60])
    elif address in (_BONE, _ROOT):
        length = 1 + _TRANSFORM
        if len(arguments) < length or not isinstance(arguments[0], str) or not all(map(_number, arguments[1:])):
            raise mismatch(f"arguments of {address}", "a name and at least 7 numbers", repr(arguments)[:60])
    return arguments


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
