"""A machine for each party, as far as the network goes: Linux network namespaces on one bridge, whose links can be cut.

Everything stands in a private namespace of the calling process (`enter`), so nothing of it outlives that process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_INSIDE = "SOTERONE_CHAOS_NETWORK"
_BRIDGE = "soterone"
_NAMES = Path("/run/netns")
_NOWHERE = "02:00:00:00:ff:ff"
"""The address of no card: what is sent there is lost without a word."""


class NoNamespaces(Exception):
    """Network namespaces cannot be had here; the text says why."""


def enter(arguments: Sequence[str]) -> None:
    """Run this program again inside a private network of its own, once; NoNamespaces when that cannot be had."""
    if _INSIDE in os.environ:
        return
    if not (shutil.which("ip") and shutil.which("unshare") and shutil.which("nsenter")):
        raise NoNamespaces("ip, unshare and nsenter are needed: install iproute2 and util-linux")
    private = ["unshare", "--net", "--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        private.insert(1, "--map-root-user")
    tried = subprocess.run([*private, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise NoNamespaces(f"this kernel or user may not make them: {tried.stderr.strip()}")
    os.environ[_INSIDE] = "1"
    os.execvp(private[0], [*private, sys.executable, *arguments])  # noqa: S606 - the point of it


def inside() -> bool:
    """Say whether this process is in its private network."""
    return _INSIDE in os.environ


class Namespaces:
    """The places of one network's parties; each is made when it is first asked for."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        _NAMES.mkdir(parents=True, exist_ok=True)
        if not _mounted(_BRIDGE, _NAMES):
            _run("mount", "-t", "tmpfs", _BRIDGE, str(_NAMES))
        _run("ip", "link", "set", "lo", "up")
        if not _has_link(_BRIDGE):
            _run("ip", "link", "add", _BRIDGE, "type", "bridge")
            _run("ip", "address", "add", "10.77.0.1/24", "dev", _BRIDGE)
            _run("ip", "link", "set", _BRIDGE, "up")

    def address(self, party: str) -> str:
        """Return the party's address, which no other party has."""
        if party not in self._numbers:
            self._add(party)
        return f"10.77.0.{self._numbers[party]}"

    def command(self, party: str, command: Sequence[str]) -> list[str]:
        """Return the command that starts a program at a party's place; it keeps the process id."""
        self.address(party)
        return ["nsenter", f"--net={_NAMES / party}", "--", *command]

    def cut(self, party: str) -> None:
        """Pull the party's cable: nobody learns of it, packets are lost."""
        _run("ip", "link", "set", self._cable(party), "down")

    def heal(self, party: str) -> None:
        """Plug it in again; harmless when it is."""
        _run("ip", "link", "set", self._cable(party), "up")

    def part(self, one: str, other: str) -> None:
        """Cut two parties from each other, and from nobody else."""
        for here, there in ((one, other), (other, one)):
            _run(
                "ip", "-n", here, "neigh", "replace", self.address(there),
                "lladdr", _NOWHERE, "dev", "eth0", "nud", "permanent",
            )  # fmt: skip

    def join(self, one: str, other: str) -> None:
        """Undo `part`."""
        for here, there in ((one, other), (other, one)):
            _run("ip", "-n", here, "neigh", "del", self.address(there), "dev", "eth0")

    def close(self) -> None:
        """Take every place down; what still runs there loses its network."""
        for party in list(self._numbers):
            _run("ip", "link", "delete", self._cable(party))
            _run("ip", "netns", "delete", party)
            del self._numbers[party]

    def _cable(self, party: str) -> str:
        return f"cable{self._numbers[party]}"

    def _add(self, party: str) -> None:
        number = 2 + len(self._numbers)
        self._numbers[party] = number
        cable = self._cable(party)
        _run("ip", "netns", "add", party)
        _run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", party)
        _run("ip", "link", "set", cable, "master", _BRIDGE, "up")
        _run("ip", "-n", party, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _run("ip", "-n", party, "link", "set", device, "up")


def _run(*command: str) -> None:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise NoNamespaces(f"{' '.join(command)}: {finished.stderr.strip()}")


def _mounted(device: str, path: Path) -> bool:
    mounts = [line.split()[:2] for line in Path("/proc/mounts").read_text().splitlines()]
    return [device, str(path)] in mounts


def _has_link(name: str) -> bool:
    return subprocess.run(["ip", "link", "show", name], capture_output=True, check=False).returncode == 0
