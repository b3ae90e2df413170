"""What should be gone after cleanup: files of workspaces, engine processes, reservations."""

import os
import time
from pathlib import Path

import psutil
from sqlalchemy import NullPool, create_engine, text

from node_agent.workspace.folder import Workspaces
from scripts.devnet.network import Agent, Devnet


def leftovers(network: Devnet, seconds: float = 10.0) -> list[str]:
    """Return what is still there after waiting up to `seconds` for the last to go."""
    deadline = time.monotonic() + seconds
    while (found := _find(network)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _find(network: Devnet) -> list[str]:
    files = [str(path) for agent in network.agents.values() for path in workspace_files(agent)]
    return [*files, *_engines(network), *_reservations(network)]


def workspace_files(agent: Agent) -> list[Path]:
    """Return the files of an agent's workspaces, on its disk and in memory; what goes meanwhile is gone."""
    workspaces = Workspaces.under(agent.folder, quota_bytes=0)
    folders = (workspaces.root, workspaces.scratch_root)
    return [Path(place, name) for folder in folders for place, _, names in os.walk(folder) for name in names]


def _engines(network: Devnet) -> list[str]:
    running = [agent for agent in network.agents.values() if agent.process.alive]
    return [
        f"process {child.pid} of {agent.name}"
        for agent in running
        for child in psutil.Process(agent.process.pid).children(recursive=True)
    ]


def _reservations(network: Devnet) -> list[str]:
    engine = create_engine(network.database_url, poolclass=NullPool)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT query_id, node FROM reservations")).all()
    return [f"reservation of {node} for {query_id}" for query_id, node in rows]
