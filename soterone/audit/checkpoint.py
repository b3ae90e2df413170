"""Where an audit left off: everything that it replayed, up to one block, signed by the auditor's own key.

A checkpoint is written only where nothing contradicted, so that no finding is forgotten. Who changes it cannot sign.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, field_validator

from soterone.audit.claims import ClaimFile, ClaimReplay, Docket
from soterone.audit.lifecycles import Lifecycle, LifecycleReplay, Windows
from soterone.audit.panels import Commitment, OpenEpoch, PanelReplay
from soterone.audit.quorum import QuorumReplay
from soterone.audit.registry import RegistryReplay
from soterone.audit.replay import Periods, Replay
from soterone.audit.scores import ScoreReplay
from soterone.audit.trail import TRAIL_BLOCKS, Trail, forget, moment
from soterone.chain.errors import ChainError
from soterone.chain.records import BlockRef, Contracts, NodeRecord
from soterone.crypto.files import write_private
from soterone.domain.ids import Account, Hash32, QueryId
from soterone.domain.panels import Terms
from soterone.domain.reputation import Record
from soterone.domain.reputation_book import ReputationBook


class CheckpointError(ChainError):
    """A checkpoint that cannot be gone on from; the sentence says why and what to do."""


class QuorumState(BaseModel):
    """`QuorumReplay` as it is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    terms: Terms | None
    seats: dict[Account, Account]
    epochs: dict[int, OpenEpoch]
    commitments: dict[Hash32, Commitment]
    claims: dict[Hash32, ClaimFile]
    dockets: dict[Account, Docket]
    reversals: dict[Hash32, Hash32]

    @classmethod
    def of(cls, quorum: QuorumReplay) -> "QuorumState":
        """Return what is kept of a replay."""
        panels, claims = quorum.panels, quorum.claims
        return cls(
            terms=panels.terms,
            seats=panels.seats,
            epochs=panels.epochs,
            commitments=panels.commitments,
            claims=claims.claims,
            dockets=claims.dockets,
            reversals=claims.reversals,
        )

    def replay(self, registry: RegistryReplay, epoch_seconds: int) -> QuorumReplay:
        """Return the replay to go on with; what may still be decided counts as touched."""
        panels = PanelReplay(registry, self.terms, self.seats, self.epochs, self.commitments)
        panels.touched_epochs = panels.latest_epochs
        panels.touched_votes = panels.undecided
        claims = ClaimReplay(panels, self.claims, self.dockets, self.reversals)
        claims.touched = {claim_id for claim_id, file in self.claims.items() if not file.is_over}
        claims.touched_dockets = set(self.dockets)
        return QuorumReplay(panels, claims, epoch_seconds)


class Checkpoint(BaseModel):
    """An audited network up to `block`; `anchored` when somebody besides the RPC confirmed that block."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_bytes="hex", val_json_bytes="hex")

    version: Literal[1] = 1
    chain_id: int
    contracts: dict[str, Account]
    periods: Periods
    block: BlockRef
    anchored: bool
    events: int
    daily: dict[int, dict[str, int]]
    nodes: dict[Account, NodeRecord]
    suspended: set[Account]
    profile_versions: dict[Account, int]
    node_trail: Trail[Account, NodeRecord]
    queries: dict[QueryId, Lifecycle]
    book: ReputationBook
    record_trail: Trail[Account, Record]
    quorum: QuorumState | None

    @field_validator("book", mode="before")
    @classmethod
    def _penalties_by_tuple(cls, value: Any) -> Any:
        """JSON has no keys but text: `account,added,epoch`."""
        if not isinstance(value, dict):
            return value
        kept = value.get("_penalties", {})
        return {**value, "_penalties": {tuple(key.split(",")): count for key, count in kept.items()}}

    @classmethod
    def of(
        cls, replay: Replay, contracts: Contracts, periods: Periods, block: BlockRef, *, anchored: bool
    ) -> "Checkpoint":
        """Keep what a replay knows after `block`; of older trails only what draws and votes may still look at."""
        quorum = replay.quorum
        recent = block.number - TRAIL_BLOCKS
        forget(replay.scores.trail, moment(max(0, recent)))
        undecided = quorum.panels.undecided_since if quorum else None
        forget(replay.registry.trail, moment(max(0, min(recent, undecided or recent) - 1)))
        return cls(
            chain_id=contracts.chain_id,
            contracts=dict(contracts.addresses),
            periods=periods,
            block=block,
            anchored=anchored,
            events=replay.events,
            daily={day: dict(counted) for day, counted in replay.daily.items()},
            nodes=replay.registry.nodes,
            suspended=replay.registry.suspended,
            profile_versions=replay.registry.profile_versions,
            node_trail=replay.registry.trail,
            queries=replay.lifecycles.queries,
            book=replay.scores.book,
            record_trail=replay.scores.trail,
            quorum=QuorumState.of(quorum) if quorum else None,
        )

    def replay(self, time: int) -> Replay:
        """Return the replay to go on with; `time` is that of the checkpoint's block, in seconds. What may still change
        counts as touched, so that its storage is proven again: an RPC that leaves new events out would otherwise not
        be asked about it."""
        registry = RegistryReplay(
            self.nodes, self.suspended, self.profile_versions, self.node_trail, touched=set(self.nodes)
        )
        windows = Windows(self.periods.feedback, self.periods.silent_settle)
        lively = {query_id for query_id, query in self.queries.items() if query.may_change(time, windows)}
        lifecycles = LifecycleReplay(registry, windows, self.queries, touched=lively)
        quorum = None
        if self.periods.quorum_epoch is not None and self.quorum:
            quorum = self.quorum.replay(registry, self.periods.quorum_epoch)
        scores = ScoreReplay(self.book, self.record_trail)
        daily = {day: Counter(counted) for day, counted in self.daily.items()}
        return Replay(registry, lifecycles, scores, quorum, self.events, daily)

    def check_network(self, contracts: Contracts) -> None:
        """CheckpointError when it is another network's."""
        if (self.chain_id, self.contracts) != (contracts.chain_id, dict(contracts.addresses)):
            raise CheckpointError(
                "The checkpoint is of another chain or of other contracts: name another file, or leave it out."
            )


def save(checkpoint: Checkpoint, path: Path, key: Ed25519PrivateKey) -> None:
    """Write a checkpoint with the signature of its SHA-256; the file is written whole or not at all."""
    content = checkpoint.model_dump_json()
    digest = hashlib.sha256(content.encode()).digest()
    signer = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    head = {"sha256": digest.hex(), "signer": signer.hex(), "signature": key.sign(digest).hex()}
    draft = path.with_name(f"{path.name}.part")
    draft.write_text(f"{rfc8785.dumps(head).decode()}\n{content}\n")
    draft.replace(path)


def load(path: Path, trusted: frozenset[str]) -> Checkpoint:
    """Read a checkpoint that one of `trusted` (Ed25519 public keys, hexadecimal) signed; CheckpointError otherwise."""
    lines = path.read_text().split("\n")
    try:
        head, content = _head(lines[0]), lines[1]
        digest = hashlib.sha256(content.encode()).digest()
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(head["signer"]))
        public.verify(bytes.fromhex(head["signature"]), digest)
    except (ValueError, KeyError, IndexError, InvalidSignature) as error:
        raise CheckpointError(
            f"The checkpoint {path} was changed after it was signed: delete it and audit from the beginning."
        ) from error
    if head["signer"] not in trusted:
        raise CheckpointError(
            f"The checkpoint {path} is signed by {head['signer']}, whom you do not trust: name the key with "
            "--trust-checkpoint, or audit from the beginning."
        )
    try:
        return Checkpoint.model_validate_json(content)
    except ValidationError as error:
        raise CheckpointError(f"The checkpoint {path} is of another version: delete it.") from error


def own_key(path: Path) -> Ed25519PrivateKey:
    """Return the auditor's key, made at the first use and readable by its owner alone."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        raw = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        write_private(path, raw.hex().encode())
    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text().strip()))
    except ValueError as error:
        raise CheckpointError(
            f"{path} holds no key of an auditor: delete it, and checkpoints with it."
        ) from error


def public_key_of(key: Ed25519PrivateKey) -> str:
    """Return the public key as checkpoints name it."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def _head(line: str) -> dict[str, str]:
    found: JsonValue = json.loads(line)
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}
