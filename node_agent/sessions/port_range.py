"""Ports for engines' links, each for one attempt and of one session at a time."""

import secrets
import socket

TRIES = 200


class NoPortError(Exception):
    """No port of the range is free; the text says what to do."""


class PortRange:
    """The ports that other nodes' engines may dial; `take` never gives one away twice before `give_back`.

    Nothing holds a port between `take` and the engine's own bind, so the range lies outside that of the
    system's outgoing connections; should a stranger be faster, the attempt fails to link and is made again.
    """

    def __init__(self, first: int, last: int) -> None:
        self._first, self._last = first, last
        self._taken: set[int] = set()

    def take(self) -> int:
        """Return a port that nobody listens on; NoPortError when none is found."""
        for _ in range(TRIES):
            port = self._first + secrets.randbelow(self._last - self._first + 1)
            if port not in self._taken and _is_free(port):
                self._taken.add(port)
                return port
        raise NoPortError(
            f"no free port in {self._first} to {self._last}: widen engine_ports in the agent's settings"
        )

    def give_back(self, port: int) -> None:
        """Let another attempt have the port."""
        self._taken.discard(port)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
