"""What the contracts hold, proven by the audited header: the deployed code, and the storage that the events give."""

from collections import defaultdict
from collections.abc import Iterator

from eth_utils.crypto import keccak

from soterone.audit.headers import Header
from soterone.audit.panels import PanelReplay
from soterone.audit.proofs import BadProofError, Proven, compare, prove
from soterone.audit.replay import Replay
from soterone.audit.report import Check, Finding
from soterone.audit.words import roster_code
from soterone.chain.client import ChainClient
from soterone.domain.ids import hash32


async def check_storage(chain: ChainClient, header: Header, replay: Replay) -> Check:
    """Prove every word that changed since the replay began, and those of every registered node, so that nobody's whole
    past can be left out; compare them with what the events give."""
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
    """Prove the hash of each contract's code, and of each roster of detectors that an epoch was opened with."""
    findings, examined = list[Finding](), 0
    name = "code is proven to be what was deployed"
    try:
        for contract, address in chain.contracts.addresses.items():
            proven = await prove(chain, header, address, [])
            examined += 1
            findings += _wrong_code(contract, proven, chain.contracts.code_hashes.get(contract))
        panels = replay.quorum.panels if replay.quorum else PanelReplay(replay.registry)
        for epoch in sorted(panels.touched_epochs):
            opened = panels.epochs[epoch]
            proven, examined = await prove(chain, header, opened.roster, []), examined + 1
            if proven.code_hash != hash32(keccak(roster_code(opened))):
                findings.append(
                    Finding(f"epoch {epoch} was opened with other seats or terms than were announced")
                )
    except BadProofError as error:
        findings.append(Finding(str(error)))
    return Check(name, examined, tuple(findings))


def _wrong_code(contract: str, proven: Proven, expected: str | None) -> Iterator[Finding]:
    if expected is not None and proven.code_hash != hash32(expected):
        yield Finding(f"{contract} has code {proven.code_hash}, the deployment records {expected}")
