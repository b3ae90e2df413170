"""What the contracts hold, proven by the audited header: the deployed code, and the storage that the events give."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eth_utils.crypto import keccak

from soterone.audit.headers import Header
from soterone.audit.proofs import BadProofError, Proven, compare, prove
from soterone.audit.quorum import QuorumReplay
from soterone.audit.replay import Replay
from soterone.audit.report import Check, Finding
from soterone.audit.words import ROSTER, roster_code
from soterone.chain.client import ChainClient
from soterone.crypto.accounts import account
from soterone.domain.ids import Account, Hash32, hash32
from soterone.domain.panels import Seat, Terms

_ADDRESS_BITS = (1 << 160) - 1


async def check_storage(chain: ChainClient, header: Header, replay: Replay) -> Check:
    """Prove every word that `Replay.words` names, and compare them with what the events give."""
    words, keys = replay.words(), defaultdict[str, list[bytes]](list)
    for word in words:
        keys[word.contract].append(word.key)
    name = "storage is proven to hold what events give"
    try:
        proven = {
            contract: await prove(chain, header, chain.contracts.addresses[contract], wanted)
            for contract, wanted in keys.items()
        }
    except BadProofError as error:
        return Check(name, len(words), (Finding(str(error)),))
    return Check(name, len(words), tuple(compare(words, proven)))


async def check_code(chain: ChainClient, header: Header, replay: Replay) -> Check:
    """Prove the hash of each contract's code, of each roster of detectors that an epoch was opened with, and of the one
    that the next epoch will be opened with."""
    findings, examined = list[Finding](), 0
    name = "code is proven to be what was deployed"
    try:
        for contract, address in chain.contracts.addresses.items():
            proven = await prove(chain, header, address, [])
            examined += 1
            findings += _wrong_code(contract, proven, chain.contracts.code_hashes.get(contract))
        for roster in await _rosters(chain, header, replay.quorum) if replay.quorum else ():
            proven, examined = await prove(chain, header, roster.address, []), examined + 1
            if proven.code_hash != roster.code_hash:
                findings.append(Finding(f"{roster.what} other seats or terms than were announced"))
    except BadProofError as error:
        findings.append(Finding(str(error)))
    return Check(name, examined, tuple(findings))


@dataclass(frozen=True, slots=True)
class _Roster:
    """Where a roster's code stands, and the hash that its terms and seats give it."""

    address: Account
    code_hash: Hash32
    what: str


async def _rosters(chain: ChainClient, header: Header, quorum: QuorumReplay) -> list[_Roster]:
    panels = quorum.panels
    opened = [(epoch, panels.epochs[epoch]) for epoch in sorted(panels.touched_epochs)]
    rosters = [
        _Roster(one.roster, _code_hash(one.terms, one.seats), f"epoch {epoch} was opened with")
        for epoch, one in opened
    ]
    key = ROSTER.to_bytes(32)
    proven = await prove(chain, header, chain.contracts.addresses["DetectorQuorum"], [key])
    present = account((proven.storage[key] & _ADDRESS_BITS).to_bytes(20))
    due = _code_hash(panels.terms, panels.present_seats) if panels.terms else hash32(bytes(32))
    return [*rosters, _Roster(present, due, "the next epoch will be opened with")]


def _code_hash(terms: Terms, seats: Sequence[Seat]) -> Hash32:
    return hash32(keccak(roster_code(terms, seats)))


def _wrong_code(contract: str, proven: Proven, expected: str | None) -> Iterator[Finding]:
    if expected is not None and proven.code_hash != hash32(expected):
        yield Finding(f"{contract} has code {proven.code_hash}, the deployment records {expected}")
