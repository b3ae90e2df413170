"""One call of a contract while the auditor looks at it: what it said, what it caused, who signed it and by when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from soterone.audit.lifecycles import LifecycleReplay
from soterone.audit.quorum import QuorumReplay
from soterone.audit.registry import RegistryReplay
from soterone.audit.report import Finding, Subject
from soterone.audit.transactions import Transaction
from soterone.chain.events import Event
from soterone.chain.records import Contracts
from soterone.crypto.messages import Domain, Message, SignatureError, digest, recover_digest
from soterone.domain.ids import Account, hash_bytes

MOST_VALIDITY_SECONDS = 30 * 86_400
"""A signature with a deadline further ahead than this is refused by the contracts."""

Said = TypeVar("Said", bound=Message)
Caused = TypeVar("Caused", bound=Event)


@dataclass(frozen=True, slots=True)
class WalletSignature:
    """A signature that no key of these accounts made: their contracts (ERC-1271) must be asked, in the state after
    `block`; `finding` holds when none takes it."""

    signers: tuple[Account, ...]
    digest: bytes
    signature: bytes
    block: int
    finding: Finding


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the events gave, complete."""

    contracts: Contracts
    registry: RegistryReplay
    lifecycles: LifecycleReplay
    quorum: QuorumReplay | None


@dataclass(slots=True)
class Tally:
    """What was found and counted: `signatures` and `results` were recomputed, `wallets` are left to ask. What is wrong
    with results stands apart."""

    signatures: int = 0
    results: int = 0
    wallets: list[WalletSignature] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    wrong_results: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Visit:
    """A transaction that called `contract`, its events in order, and its block's time in seconds."""

    replayed: Replayed
    tally: Tally
    contract: str
    transaction: Transaction
    events: Sequence[Event]
    time: int

    @property
    def block(self) -> int:
        """The height of its block."""
        return self.events[0].position.block_number

    @property
    def domain(self) -> Domain:
        """What messages to the called contract are signed for."""
        contracts = self.replayed.contracts
        return Domain(contracts.chain_id, contracts.addresses[self.contract])

    def caused(self, kind: type[Caused], subject: Subject) -> Caused | None:
        """Return the one event of a kind; None, and a finding, when there is not exactly one."""
        found = [one for one in self.events if isinstance(one, kind)]
        if len(found) == 1:
            return found[0]
        sentence = f"transaction {self.transaction.hash} shows {len(found)} {kind.__name__} for one call"
        self.tally.findings.append(Finding(sentence, (subject,)))
        return None

    def differs(
        self, what: str, said: Iterable[Any], event: Iterable[Any], *subjects: Subject
    ) -> list[Finding]:
        """Compare what calldata says with what the event says, value by value."""
        pairs = list(zip(said, event, strict=True))
        if all(left == right for left, right in pairs):
            return []
        wrong = ", ".join(f"{right} instead of {left}" for left, right in pairs if left != right)
        return [Finding(f"{what} was announced with {wrong}", subjects)]

    def signed(
        self, what: str, message: Message, signature: bytes, signers: Sequence[Account], *subjects: Subject
    ) -> list[Finding]:
        """Check that one of the signers signed, or sent the transaction with an empty signature."""
        self.tally.signatures += 1
        finding = Finding(f"{what} was not signed by {' or '.join(signers)}", subjects)
        if not signature:
            return [] if self.transaction.sender in signers else [finding]
        message_digest = digest(self.domain, message)
        try:
            if recover_digest(message_digest, signature) in signers:
                return []
        except SignatureError:
            pass
        self.tally.wallets.append(
            WalletSignature(tuple(signers), message_digest, signature, self.block, finding)
        )
        return []

    def in_time(self, what: str, deadline: int, *subjects: Subject) -> list[Finding]:
        """Check a deadline by the block's time."""
        if self.time <= deadline <= self.time + MOST_VALIDITY_SECONDS:
            return []
        return [Finding(f"{what} was taken outside the time of its signature", subjects)]


def message_of(kind: type[Said], values: Sequence[Any]) -> Said:
    """Build the message whose struct the calldata holds."""
    pairs = zip(kind.solidity, values, strict=True)
    return kind(*(hash_bytes(value) if solidity == "bytes32" else value for solidity, value in pairs))
