"""What goes over the loopback between given ports, taken down by a process of its own (packet(7)); needs CAP_NET_RAW.

Run as `python link_capture.py FOLDER PORT... FIRST-LAST`; it prints a line when it listens and, once its standard input
ends, writes each direction of each connection as a file, and prints how many packets the kernel had to drop.
"""

import ctypes
import json
import select
import socket
import struct
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ETH_P_IP, TCP, SYN = 0x0800, 6, 2
SO_ATTACH_FILTER, SO_RCVBUFFORCE, SOL_PACKET, PACKET_STATISTICS = 26, 33, 263, 6
BUFFER_BYTES = 256 << 20
ACCEPT_BYTES = 1 << 18


class Capture:
    """The capturing process, for the length of a block; afterwards `flows` are the bytes by (from port, to port)."""

    def __init__(self, folder: Path, ports: Sequence[int], engine_ports: tuple[int, int]) -> None:
        folder.mkdir()
        arguments = [str(folder), *map(str, ports), "-".join(map(str, engine_ports))]
        self._command = [sys.executable, __file__, *arguments]
        self._folder = folder
        self.flows: dict[tuple[int, int], bytes] = {}
        self.dropped = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "listening\n", "the capture did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        printed, _ = self._process.communicate(timeout=30)
        if error is None:
            self.dropped = json.loads(printed)["dropped"]
            for file in self._folder.iterdir():
                source, target = file.stem.split("-")
                self.flows[int(source), int(target)] = file.read_bytes()


def permitted() -> bool:
    """Say whether this user may capture."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP)).close()
    except (PermissionError, AttributeError):
        return False
    return True


def _filter(ports: Sequence[int], first: int, last: int) -> bytes:
    """Return a program that accepts TCP segments from or to the ports (Linux's classic BPF)."""
    load_byte, load_header_length, load_half = 0x30, 0xB1, 0x48
    equal, greater_or_equal, greater, give = 0x15, 0x35, 0x25, 0x06
    port_test: list[tuple[int, int, int, int]] = []
    for offset in (0, 2):
        port_test += [(load_half, 0, 0, offset), (greater_or_equal, 0, 1, first), (greater, 0, -1, last)]
        port_test += [(equal, -1, 0, port) for port in ports]
    start = [(load_byte, 0, 0, 9), (equal, 0, -2, TCP), (load_header_length, 0, 0, 0)]
    program = [*start, *port_test, (give, 0, 0, 0), (give, 0, 0, ACCEPT_BYTES)]
    refuse, accept = len(program) - 2, len(program) - 1
    target = {-1: accept, -2: refuse}
    resolved = []
    for place, (code, yes, no, value) in enumerate(program):
        jumps = [target[jump] - place - 1 if jump < 0 else jump for jump in (yes, no)]
        resolved.append(struct.pack("HBBI", code, *jumps, value))
    return b"".join(resolved)


def _listen(ports: Sequence[int], first: int, last: int) -> socket.socket:
    receiver = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    program = ctypes.create_string_buffer(_filter(ports, first, last))
    attached = struct.pack("HL", (len(program) - 1) // 8, ctypes.addressof(program))
    receiver.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, attached)
    receiver.bind(("lo", ETH_P_IP))
    return receiver


class _Flow:
    """One direction of a connection: segments by their place in the stream (RFC 9293), whatever order they came in."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._segments: dict[int, bytes] = {}

    def add(self, sequence: int, payload: bytes) -> None:
        """Take a segment; a retransmission replaces what it repeats."""
        if payload:
            self._segments[(sequence - self._first) % (1 << 32)] = payload

    def stream(self) -> bytes:
        """Return the bytes in order, each once."""
        stream = bytearray()
        for place, payload in sorted(self._segments.items()):
            stream += payload[max(0, len(stream) - place) :]
        return bytes(stream)


def _take(receiver: socket.socket, flows: dict[tuple[int, int], list[_Flow]]) -> None:
    """Add a segment to its flow. Each is seen leaving and arriving; the arrival counts."""
    packet, address = receiver.recvfrom(ACCEPT_BYTES)
    if address[2] == socket.PACKET_OUTGOING:
        return
    start = (packet[0] & 15) * 4
    source, target, sequence = struct.unpack_from("!HHI", packet, start)
    data, flags = packet[start + 12] >> 4, packet[start + 13]
    known = flows[source, target]
    if flags & SYN or not known:
        known.append(_Flow(sequence + 1 if flags & SYN else sequence))
    known[-1].add(sequence, packet[start + data * 4 :])


def _main(folder: Path, ports: Sequence[int], first: int, last: int) -> None:
    flows: dict[tuple[int, int], list[_Flow]] = defaultdict(list)
    with _listen(ports, first, last) as receiver:
        print("listening", flush=True)
        while True:
            ready, _, _ = select.select([receiver, sys.stdin], [], [])
            if receiver in ready:
                _take(receiver, flows)
            elif ready:
                break
        _, dropped = struct.unpack("II", receiver.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    for (source, target), connections in flows.items():
        content = b"".join(flow.stream() for flow in connections)
        if content:
            (folder / f"{source}-{target}.bin").write_bytes(content)
    print(json.dumps({"dropped": dropped}))


if __name__ == "__main__":
    bounds = [int(bound) for bound in sys.argv[-1].split("-")]
    _main(Path(sys.argv[1]), [int(port) for port in sys.argv[2:-1]], bounds[0], bounds[1])
