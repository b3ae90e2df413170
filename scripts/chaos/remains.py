"""What should be gone once a query is over: files of workspaces, plaintext in memory, sessions, engines, ports."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil

from node_agent.engines.child import PARENT_VARIABLE
from scripts.chaos.ground import Ground
from scripts.demo.leftovers import workspace_files
from scripts.devnet.network import Agent

_LISTENING = "0A"


def remains_of(ground: Ground) -> list[str]:
    """Return everything that is still there, in words."""
    found = [str(path) for agent in ground.network.agents.values() for path in workspace_files(agent)]
    found += _engines(ground)
    for agent in ground.network.agents.values():
        found += _ports(agent)
    return found


def sessions_of(ground: Ground) -> Iterator[str]:
    """Return who still keeps a query; an agent forgets it when the coordinator has its promise that nothing is left."""
    for name, agent in ground.network.agents.items():
        store = f"{(agent.folder / 'agent.sqlite3').as_uri()}?mode=ro"
        with closing(sqlite3.connect(store, uri=True)) as connection:
            kept = connection.execute("SELECT query_id, state FROM sessions").fetchall()
        yield from (f"{name} still keeps query {query} as {state}" for query, state in kept)


def _engines(ground: Ground) -> Iterator[str]:
    """Engines know their agent's process id by their environment, also when that agent is dead."""
    names = {str(pid): name for name, pids in ground.process_ids.items() for pid in pids}
    for process in psutil.process_iter():
        try:
            parent = process.environ().get(PARENT_VARIABLE)
        except psutil.Error:
            continue
        if parent in names:
            yield f"engine process {process.pid} of {names[parent]}"


def _ports(agent: Agent) -> Iterator[str]:
    """An idle agent listens on the one port where its peers find it."""
    if not agent.process.alive:
        yield f"{agent.name} does not run"
        return
    listening = sorted(_listening(agent.process.pid))
    if len(listening) != 1:
        yield f"{agent.name} listens on the ports {listening}"


def _listening(pid: int) -> set[int]:
    """Return the TCP ports that the process itself listens on, in whichever network namespace it is."""
    inodes = {path.readlink().name for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            part = line.split()
            if part[3] == _LISTENING and f"socket:[{part[9]}]" in inodes:
                ports.add(int(part[1].split(":")[1], 16))
    return ports
