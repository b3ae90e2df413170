"""The storage of the contracts: where each word stands, and which one the replayed events give. Pure.

Places follow the compiler's storage layout (https://docs.soliditylang.org, "Layout of State Variables in Storage").
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import astuple, dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from soterone.audit.lifecycles import Lifecycle, LifecycleReplay
from soterone.audit.quorum import QuorumReplay
from soterone.audit.registry import RegistryReplay
from soterone.audit.report import Subject
from soterone.audit.scores import ScoreReplay
from soterone.chain.records import NodeRecord, NodeStatus, QueryStatus
from soterone.crypto.accounts import account_bytes
from soterone.domain.detection import Claim, ClaimStatus
from soterone.domain.ids import Account, Hash32, QueryId, hash_bytes
from soterone.domain.panels import Seat, Terms
from soterone.domain.reputation import Record, Standing

NODE_WORDS, NODE_COMMITMENTS = 6, 7
QUERY_WORDS = 6
RECORDS, SETTLEMENTS, STANDINGS = 6, 7, 8
ROSTER, EPOCHS, ENTRIES, DOCKETS = 2, 3, 4, 5
"""Slots of the present roster and of the mappings in NodeRegistry, QueryLedger, ReputationLedger and DetectorQuorum."""

_VOTED = 1 << 168
_OBSERVATION_BITS, _MOST_PARTICIPANTS = 7, 16
_CLAIM = "((address,address,uint64,uint8,uint8),uint16,uint40,uint32)"


@dataclass(frozen=True, slots=True)
class Word:
    """A storage slot that the events determine. `allowed` are the values that it may have: one, or two where a
    settlement may or may not be sealed."""

    contract: str
    key: bytes
    allowed: tuple[int, ...]
    what: str
    subject: Subject | None


def words_of_registry(registry: RegistryReplay) -> Iterator[Word]:
    """The two slots of every node that changed."""
    for node in sorted(registry.touched):
        record = registry.nodes[node]
        word = node_word(record, node in registry.suspended)
        commitment = int.from_bytes(hash_bytes(record.commitment))
        key = _account_key(node)
        yield Word("NodeRegistry", _place(key, NODE_WORDS), (word,), f"node {node}", node)
        what = f"the commitment of node {node}"
        yield Word("NodeRegistry", _place(key, NODE_COMMITMENTS), (commitment,), what, node)


def words_of_queries(lifecycles: LifecycleReplay) -> Iterator[Word]:
    """The slot of every query that changed, and of its settlement."""
    for query_id in sorted(lifecycles.touched):
        query, key = lifecycles.queries[query_id], hash_bytes(query_id)
        word = (query_word(query),)
        yield Word("QueryLedger", _place(key, QUERY_WORDS), word, f"query {query_id}", query_id)
        what = f"the settlement of query {query_id}"
        allowed = settlement_words(query)
        yield Word("ReputationLedger", _place(key, SETTLEMENTS), allowed, what, query_id)


def words_of_scores(
    scores: ScoreReplay, nodes: Collection[Account], customers: Collection[Account]
) -> Iterator[Word]:
    """The slot of every registered node and of every customer of a query, whether or not its standing is said to have
    moved."""
    book = scores.book
    for node in sorted(scores.nodes.union(nodes)):
        word = record_word(book.records.get(node, Record()))
        place = _place(_account_key(node), RECORDS)
        yield Word("ReputationLedger", place, (word,), f"the record of {node}", node)
    for customer in sorted(scores.customers.union(customers)):
        word = standing_word(book.standings[customer]) if customer in book.standings else 0
        place = _place(_account_key(customer), STANDINGS)
        yield Word("ReputationLedger", place, (word,), f"the credibility of {customer}", customer)


def words_of_quorum(quorum: QuorumReplay, nodes: Collection[Account]) -> Iterator[Word]:
    """The slot of every epoch, commitment and claim that changed, and the docket of every registered node: untouched
    where no claim is said to have been upheld against it, but for the bit that says that there were votes."""
    for epoch in sorted(quorum.panels.touched_epochs):
        opened = quorum.panels.epochs[epoch]
        value = opened.seed or opened.seed_block
        bits = int(opened.roster, 16) | value << 160 | (opened.seed > 0) << 240 | opened.rotated << 248
        yield Word("DetectorQuorum", _place(epoch.to_bytes(32), EPOCHS), (bits,), f"epoch {epoch}", None)
    touched = quorum.panels.touched_votes | quorum.claims.touched
    for entry in sorted(touched & quorum.panels.commitments.keys()):
        place = _place(hash_bytes(entry), ENTRIES)
        file = quorum.claims.claims.get(entry)
        node = file.claim.accusation.node if file else None
        yield Word("DetectorQuorum", place, (entry_word(quorum, entry),), f"claim or votes {entry}", node)
    for node in sorted(quorum.claims.touched_dockets):
        docket = quorum.claims.dockets[node]
        bits = docket.epoch | docket.suspended_until << 64 | docket.suspensions << 128
        word = bits | docket.kinds << 160 | _VOTED
        yield _docket(node, word)
    for node in sorted(set(nodes) - quorum.claims.dockets.keys()):
        yield _docket(node, 0, _VOTED)


def _docket(node: Account, *allowed: int) -> Word:
    place = _place(_account_key(node), DOCKETS)
    return Word("DetectorQuorum", place, allowed, f"the docket of {node}", node)


def node_word(record: NodeRecord, suspended: bool) -> int:
    """`NodeSlot`: operator160 roles8 version32 incarnation32 active suspended, from the low bits up."""
    active = record.status is not NodeStatus.GONE
    numbers = int(record.roles) << 160 | record.version << 168 | record.incarnation << 200
    return int(record.operator, 16) | numbers | active << 232 | suspended << 233


def query_word(query: Lifecycle) -> int:
    """`QuerySlot`: commitment208 status8 generation7 insider1 time32, from the low bits up."""
    numbers = int(query.status) << 208 | query.generation << 216 | query.insider << 223
    return query.opening.commitment() | numbers | query.time << 224


def settlement_words(query: Lifecycle) -> tuple[int, ...]:
    """`SettlementSlot`: seal96 settledAt32 rated16 observations112. What was settled as uncontested, all 100 for a
    completed query, has no seal."""
    settled = query.settled
    if settled is None:
        return (0,)
    packed = (1 << _OBSERVATION_BITS * _MOST_PARTICIPANTS) - 1
    for place, observation in enumerate(settled.observations):
        packed -= (127 - observation) << _OBSERVATION_BITS * place
    rated = sum(1 << place for place in settled.rated)
    word = settled.at << 128 | rated << 112 | packed
    circumstances = settled.at << 1 | query.insider
    seal = int.from_bytes(keccak(query.opening.commitment().to_bytes(32) + circumstances.to_bytes(32))) >> 160
    completed = query.status in (QueryStatus.COMPLETED, QueryStatus.COMPLETED_CLEANED)
    uncontested = completed and set(settled.observations) == {100}
    return (word | seal << 160, word) if uncontested else (word | seal << 160,)


def record_word(record: Record) -> int:
    """`ReputationMath`: good40 bad40 lastEpoch32 bornEpoch32 score32 goodThisEpoch32 badThisEpoch32 incarnation8
    flags8, from the high bits down; zero when nothing was ever observed."""
    if record.last_epoch == 0:
        return 0
    word = 0
    for value, bits in zip(astuple(record), (40, 40, 32, 32, 32, 32, 32, 8, 8), strict=True):
        word = word << bits | value
    return word


def standing_word(standing: Standing) -> int:
    """`week64 counted8 credibility32`, from the high bits down."""
    return standing.week << 40 | standing.counted << 32 | standing.credibility


def entry_word(quorum: QuorumReplay, entry: Hash32) -> int:
    """commitment208 status8 epoch40, from the low bits up: the terms of votes on record, the hash of a claim."""
    file, votes = quorum.claims.claims.get(entry), quorum.panels.commitments[entry]
    if file:
        return claim_commitment(file.claim) | int(file.status) << 208 | file.epoch << 216
    terms = quorum.panels.epochs[votes.epoch].terms
    return terms_word(terms) | int(ClaimStatus.COMMITTED) << 208 | votes.epoch << 216


def claim_commitment(claim: Claim) -> int:
    """uint208(uint256(keccak256(abi.encode(claim))))."""
    return int.from_bytes(keccak(encode([_CLAIM], [claim.abi()]))) & (1 << 208) - 1


def terms_word(terms: Terms) -> int:
    """`Roster.pack`: panelSize8 threshold8 appealEpochs16 suspensionEpochs16 severities32, from the low bits up."""
    windows = terms.appeal_epochs << 16 | terms.suspension_epochs << 32
    return terms.panel_size | terms.threshold << 8 | windows | terms.severities << 48


def roster_code(terms: Terms, seats: Sequence[Seat]) -> bytes:
    """The code that holds terms and seats: STOP, the terms, then node and operator of each seat."""
    members = b"".join(_account_key(one.detector) + _account_key(one.operator) for one in seats)
    return b"\0" + terms_word(terms).to_bytes(32) + members


def _place(key: bytes, mapping_slot: int) -> bytes:
    return keccak(key + mapping_slot.to_bytes(32))


def _account_key(account: Account | QueryId) -> bytes:
    return bytes(12) + account_bytes(account)
