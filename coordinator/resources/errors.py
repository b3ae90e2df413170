"""Refusals of the resource manager."""

from dataclasses import dataclass

from coordinator.errors import Conflict


@dataclass
class NodeFull(Conflict):
    """A node has not enough left of a resource beside what it already promised."""

    node: str
    resource: str
    needed: int
    left: int
    retry_after_seconds: float | None = 30.0

    @property
    def sentence(self) -> str:
        """Which node lacks what."""
        return (
            f"node {self.node} has {max(self.left, 0)} {self.resource} left and the query needs {self.needed}; "
            "try again when its other queries have ended, or choose another node"
        )
