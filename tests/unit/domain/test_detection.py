"""Evidence, measurements and the names of commitments and claims."""

import pytest
from eth_abi.abi import encode
from eth_utils import keccak

from soterone.chain.ballots import Ballot, SignedVote, reversal_id
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Reversal, Vote
from soterone.domain.detection import (
    NO_HASH,
    Accusation,
    Claim,
    Evidence,
    Kind,
    Measurement,
    Verdict,
    commitment_to,
    leaf_of,
    lower_median,
    signature_hashes,
)
from soterone.domain.ids import hash32, hash_bytes
from soterone.domain.reputation import Severity

PANEL = tuple(
    sorted((Signer.from_key(bytes([n]) * 32).account for n in range(1, 5)), key=lambda one: int(one, 16))
)
ACCUSED = Signer.from_key(b"\x09" * 32).account
ACCUSATION = Accusation(ACCUSED, PANEL[0], 11, Kind.PROFILE, Severity.GRAVE)


def vote(member: int, kind: Kind = Kind.PROFILE) -> SignedVote:
    accused = Accusation(ACCUSED, PANEL[0], 11, kind, Severity.GRAVE)
    measured = Measurement(member + 1, 1024, 700) if kind is Kind.PROFILE else Measurement(0, 0, 0)
    verdict = Verdict(accused, hash32(bytes([member]) * 32), measured)
    return SignedVote(Vote.of(verdict), bytes([member]) * 65)


def test_the_subject_is_what_solidity_hashes() -> None:
    types = ["address", "address", "uint64"]
    assert ACCUSATION.subject == keccak(encode(types, [ACCUSED, PANEL[0], 11]))


def test_the_lower_median_is_no_liars() -> None:
    honest = [Measurement(2, 2000, 700), Measurement(2, 2100, 710), Measurement(3, 1900, 690)]
    lies = [Measurement(64, 10**6, 9), Measurement(64, 10**6, 9)]
    assert lower_median([*honest, *lies]) == Measurement(3, 2100, 690)
    assert lower_median([Measurement(1, 4, 9), Measurement(2, 3, 8)]) == Measurement(1, 3, 8)
    with pytest.raises(ValueError, match="nobody"):
        lower_median([])


def test_evidence_is_named_by_its_canonical_json() -> None:
    evidence = Evidence(
        detector=PANEL[0],
        node=ACCUSED,
        epoch=11,
        kind=Kind.PROFILE,
        findings={"b": [1, 2], "a": "x"},
        salt="ab" * 32,
    )
    again = Evidence.model_validate_json(evidence.model_dump_json())
    assert again.hash == evidence.hash
    assert evidence.model_copy(update={"salt": "00" * 32}).hash != evidence.hash


def test_a_claim_survives_its_struct() -> None:
    claim = Claim(ACCUSATION, 0b101, 8 * 10**9, 4)
    assert Claim.from_abi(claim.abi()) == claim
    assert claim.signers_among(PANEL) == (PANEL[0], PANEL[2])


def test_a_ballot_opens_its_commitment_and_nothing_else() -> None:
    votes = {PANEL[0]: vote(0), PANEL[2]: vote(2), PANEL[3]: vote(3)}
    hashes = signature_hashes(PANEL, {member: one.signature for member, one in votes.items()})
    assert hashes[1] == NO_HASH
    leaves = [leaf_of(*pair) if pair[1] != NO_HASH else NO_HASH for pair in zip(PANEL, hashes, strict=True)]
    shown = {PANEL[0]: vote(0), PANEL[2]: vote(2), PANEL[3]: vote(1), ACCUSED: vote(3)}
    ballot = Ballot.of(PANEL, leaves, shown)
    assert (ballot.signers, ballot.voters) == (0b101, (PANEL[0], PANEL[2]))
    assert ballot.entries == (bytes(32), NO_HASH, b"\x02" * 32, leaves[3])
    assert ballot.signatures == bytes(65) + b"\x02" * 65
    assert ballot.measurements == (Measurement(1, 1024, 700), Measurement(3, 1024, 700))
    assert commitment_to(ACCUSATION.subject, leaves) == hash32(keccak(ACCUSATION.subject + b"".join(leaves)))


def test_only_profiles_are_measured() -> None:
    snapshot = vote(1, Kind.SNAPSHOT)
    reversal = SignedVote(Reversal(bytes(32), 12, bytes(32)), b"\x05" * 65)
    leaves = [leaf_of(PANEL[0], snapshot.signature_hash), leaf_of(PANEL[1], reversal.signature_hash)]
    ballot = Ballot.of(PANEL[:2], leaves, {PANEL[0]: snapshot, PANEL[1]: reversal})
    assert (ballot.signers, ballot.measurements) == (0b11, ())
    subject = keccak(encode(["bytes32", "uint64"], [bytes(32), 12]))
    assert hash_bytes(reversal_id(hash32(bytes(32)), 12, leaves)) == keccak(subject + b"".join(leaves))
