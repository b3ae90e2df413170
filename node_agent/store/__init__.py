"""What an agent must remember across a kill: one SQLite file, short transactions, one writer at a time."""

from node_agent.store.database import Store, StoreError

__all__ = ["Store", "StoreError"]
