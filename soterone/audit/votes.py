"""Ballots in calldata: who signed them, against the panel that the seed draws and the votes that were committed."""

from collections.abc import Iterator, Sequence
from typing import Any

from eth_utils.crypto import keccak

from soterone.audit.panels import Commitment
from soterone.audit.quorum import QuorumReplay
from soterone.audit.report import Finding
from soterone.chain.events import ClaimReversed, ClaimUpheld, Event, ProfileMeasured
from soterone.crypto.messages import Domain, Message, Reversal, SignatureError, Vote, recover
from soterone.domain.detection import Kind, Measurement, leaf_of, lower_median
from soterone.domain.ids import Account, hash_bytes

_SIGNATURE_BYTES = 65


def check_uphold(
    arguments: Sequence[Any], events: Sequence[Event], domain: Domain, quorum: QuorumReplay
) -> Iterator[Finding]:
    """Check the calldata of `uphold` against the claim that it brought."""
    accusation, ballot = arguments
    for event in events:
        if not isinstance(event, ClaimUpheld):
            continue
        measured = ballot[3] if event.claim.accusation.kind is Kind.PROFILE else [(0, 0, 0)] * len(ballot[1])
        votes = iter(measured)
        panel = quorum.panels.panel_on(event.claim.accusation)
        commitment = quorum.panels.commitments.get(event.claim_id)
        messages = [
            Vote(*(*accusation, hash_bytes(entry), *next(votes))) if ballot[0] >> place & 1 else None
            for place, entry in enumerate(ballot[1])
        ]
        problems = _problems(messages, ballot, panel, commitment, domain)
        for problem in (*problems, *_measured(ballot[3], events, event)):
            yield Finding(f"claim {event.claim_id} against {event.node} {problem}", (event.node,))


def check_reverse(
    arguments: Sequence[Any], events: Sequence[Event], domain: Domain, quorum: QuorumReplay
) -> Iterator[Finding]:
    """Check the calldata of `reverse` against the reversal that it brought."""
    claim_id, _, ballot = arguments
    for event in events:
        file = quorum.claims.claims.get(claim_id)
        if not isinstance(event, ClaimReversed) or file is None:
            continue
        panel = quorum.panels.panel_on_appeal(claim_id, file.claim.accusation, file.epoch)
        commitment = quorum.panels.commitments.get(event.commitment)
        messages = [
            Reversal(hash_bytes(claim_id), file.epoch, hash_bytes(entry)) if ballot[0] >> place & 1 else None
            for place, entry in enumerate(ballot[1])
        ]
        problems = list(_problems(messages, ballot, panel, commitment, domain))
        opened = quorum.panels.epochs.get(file.epoch)
        if opened and ballot[0].bit_count() < opened.terms.threshold:
            problems.append(f"has {ballot[0].bit_count()} votes, {opened.terms.threshold} are needed")
        for problem in problems:
            yield Finding(f"the reversal of claim {claim_id} {problem}", (event.node,))


def _problems(
    messages: Sequence[Message | None],
    ballot: Sequence[Any],
    panel: Sequence[Account],
    commitment: Commitment | None,
    domain: Domain,
) -> Iterator[str]:
    """Whoever signed must be the panel's member of that place, and have committed to this very signature."""
    if commitment is None or not len(messages) == len(panel) == len(commitment.leaves):
        yield "was decided by a ballot that is not of its panel"
        return
    signatures = iter(_split(ballot[2]))
    for message, member, leaf in zip(messages, panel, commitment.leaves, strict=True):
        if message is None:
            continue
        signature = next(signatures, b"")
        signer = _signer(domain, message, signature)
        if signer != member:
            yield f"counts a vote of {member} that {signer or 'nobody'} signed"
        elif leaf_of(member, keccak(signature)) != hash_bytes(leaf):
            yield f"counts a vote of {member} that was not committed"


def _measured(measurements: Sequence[Any], events: Sequence[Event], claim: ClaimUpheld) -> Iterator[str]:
    announced = [
        one.measured for one in events if isinstance(one, ProfileMeasured) and one.claim_id == claim.claim_id
    ]
    expected = [lower_median([Measurement(*one) for one in measurements])] if measurements else []
    if announced != expected:
        yield f"announces {announced} as measured, its votes give {expected}"


def _signer(domain: Domain, message: Message, signature: bytes) -> Account | None:
    try:
        return recover(domain, message, signature)
    except SignatureError:
        return None


def _split(signatures: bytes) -> list[bytes]:
    return [
        signatures[start : start + _SIGNATURE_BYTES] for start in range(0, len(signatures), _SIGNATURE_BYTES)
    ]
