"""The node registry as its events tell it. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from soterone.audit.report import Finding
from soterone.audit.trail import Trail, moment, note, value_at
from soterone.chain.events import (
    Event,
    NodePenalised,
    NodeReadmitted,
    NodeRegistered,
    NodeSuspended,
    NodeUnregistered,
    NodeUpdated,
)
from soterone.chain.records import NodeRecord, NodeStatus
from soterone.domain.ids import Account, hash32
from soterone.domain.profiles import commitment_of
from soterone.domain.roles import Role

_GONE = hash32(bytes(32))


@dataclass(slots=True)
class RegistryReplay:
    """Nodes by account, and what no honest registry would have emitted. `touched` are the nodes that changed since the
    replay began, `profile_versions` those declared last."""

    nodes: dict[Account, NodeRecord] = field(default_factory=dict)
    suspended: set[Account] = field(default_factory=set)
    profile_versions: dict[Account, int] = field(default_factory=dict)
    trail: Trail[Account, NodeRecord] = field(default_factory=dict)
    touched: set[Account] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)

    def apply(self, event: Event) -> None:
        """Take in the next event; others than the registry's are passed over."""
        match event:
            case NodeRegistered():
                self._register(event)
            case NodeUpdated():
                self._update(event)
            case NodeUnregistered():
                self._unregister(event)
            case NodeSuspended():
                self._suspend(event)

    def operator_of(self, node: Account) -> Account | None:
        """Return who operates a node now, also after it left; None when it never registered."""
        record = self.nodes.get(node)
        return record.operator if record else None

    def is_eligible(self, node: Account, role: Role) -> bool:
        """Whether a node may be given work in a role now."""
        record = self.nodes.get(node)
        return record is not None and record.status is NodeStatus.ACTIVE and bool(record.roles & role)

    def node_at(self, node: Account, block: int) -> NodeRecord | None:
        """Return a node as it was after a block that the trail reaches back to."""
        return value_at(self.trail, node, moment(block))

    def node_before(self, node: Account, position: tuple[int, int]) -> NodeRecord | None:
        """Return a node as it was when the log at this height and index was emitted."""
        return value_at(self.trail, node, moment(*position))

    def _register(self, event: NodeRegistered) -> None:
        before = self.nodes.get(event.node)
        expected = before.incarnation + 1 if before else 1
        if event.incarnation != expected or (before and before.status is not NodeStatus.GONE):
            self._complain(event.node, f"registered out of turn as incarnation {event.incarnation}")
        elif event.node in self.suspended:
            self._complain(event.node, "registered while it was suspended")
        elif before and before.operator != event.operator:
            self._complain(event.node, f"came back under another operator, {event.operator}")
        commitment = commitment_of(event.tls_key_hash, event.profile_hash, 1)
        status = NodeStatus.SUSPENDED if event.node in self.suspended else NodeStatus.ACTIVE
        self.profile_versions[event.node] = 1
        self._write(
            event,
            event.node,
            NodeRecord(
                event.operator, Role(event.roles), event.version, status, event.incarnation, commitment
            ),
        )

    def _update(self, event: NodeUpdated) -> None:
        before = self._present(event.node)
        if before is None:
            return
        if event.profile_version != self.profile_versions[event.node] + 1:
            self._complain(event.node, f"jumped to version {event.profile_version} of its profile")
        self.profile_versions[event.node] = event.profile_version
        commitment = commitment_of(event.tls_key_hash, event.profile_hash, event.profile_version)
        changed = replace(before, roles=Role(event.roles), version=event.version, commitment=commitment)
        self._write(event, event.node, changed)

    def _unregister(self, event: NodeUnregistered) -> None:
        before = self._present(event.node)
        if before is None:
            return
        if event.incarnation != before.incarnation:
            self._complain(event.node, f"left as incarnation {event.incarnation}")
        left = replace(before, roles=Role(0), version=0, status=NodeStatus.GONE, commitment=_GONE)
        self._write(event, event.node, left)

    def _suspend(self, event: NodeSuspended) -> None:
        """A suspension outlives the node's leaving and counts for its next incarnation too."""
        before = self.nodes.get(event.node)
        if before is None or (event.node in self.suspended) == event.suspended:
            self._complain(event.node, "was suspended or readmitted out of turn")
            return
        self.suspended ^= {event.node}
        if before.status is not NodeStatus.GONE:
            status = NodeStatus.SUSPENDED if event.suspended else NodeStatus.ACTIVE
            before = replace(before, status=status)
        self._write(event, event.node, before)

    def _present(self, node: Account) -> NodeRecord | None:
        before = self.nodes.get(node)
        if before is None or before.status is NodeStatus.GONE:
            self._complain(node, "changed without being registered")
            return None
        return before

    def _write(self, event: Event, node: Account, record: NodeRecord) -> None:
        self.nodes[node] = record
        self.touched.add(node)
        note(self.trail, node, moment(event.position.block_number, event.position.log_index), record)

    def _complain(self, node: Account, what: str) -> None:
        self.findings.append(Finding(f"{node} {what}", (node,)))


def unfounded_suspensions(events: Sequence[Event]) -> Iterator[Finding]:
    """Complain of suspensions in one transaction without a penalty of the highest severity in it, and of ends of
    suspensions without the detectors' readmission: whoever has the role could otherwise do it unseen."""
    penalised = {one.node for one in events if isinstance(one, NodePenalised) and one.severity == 3}
    readmitted = {one.node for one in events if isinstance(one, NodeReadmitted)}
    for event in events:
        if isinstance(event, NodeSuspended) and event.node not in (
            penalised if event.suspended else readmitted
        ):
            what = "suspended without a claim" if event.suspended else "readmitted past the detectors"
            yield Finding(f"{event.node} was {what}", (event.node,))
