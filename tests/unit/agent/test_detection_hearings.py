"""What an accuser opens counts for the one claim that its evidence names."""

from dataclasses import replace
from typing import Any

import pytest
from eth_utils.crypto import keccak

from node_agent.detection.appeals import Appeal, Shown
from node_agent.detection.findings import Findings, Heard, Try
from node_agent.detection.hearings import Hearings
from node_agent.detection.plan import Declared
from soterone.crypto.accounts import Signer, account, account_bytes
from soterone.crypto.messages import Domain, Vote, sign
from soterone.domain.detection import Accusation, Claim, Evidence, Kind, Verdict, leaf_of
from soterone.domain.ids import hash32, hash_bytes
from soterone.domain.reputation import Severity
from soterone.rpc.generated.peer_pb2 import CastVote, OpenedClaim

NODE = account(b"\x01" * 20)
DOMAIN = Domain(31337, account(b"\x02" * 20))
ACCUSER = Signer.new()
SEEN = Findings(Declared(2, 4_096, 20_000), 256, tries=(Try(0, Heard.NOTHING), Try(1, Heard.NOTHING)))
ACCUSATION = Accusation(NODE, NODE, 7, Kind.LIVENESS, Severity.LIGHT)
NOT_ASKED: Any = None
"""Evidence is held against the claim without chain, panel or store."""


@pytest.fixture
def hearings() -> Hearings:
    return Hearings(
        signer=Signer.new(),
        tls=NOT_ASKED,
        chain=NOT_ASKED,
        panels=NOT_ASKED,
        appeals=NOT_ASKED,
        table=NOT_ASKED,
        quorum=DOMAIN,
        registry=DOMAIN,
        epoch_seconds=3600,
        may_show=lambda epoch: False,
    )


def evidence(accused: Accusation) -> Evidence:
    return Evidence(
        detector=ACCUSER.account,
        node=accused.node,
        epoch=accused.epoch,
        kind=accused.kind,
        findings=SEEN.document(),
        salt="5a" * 32,
    )


def opened(hearings: Hearings, accused: Accusation, shown: Evidence, text: str = "") -> Shown | None:
    """What a panel makes of evidence that the accuser opens, or of another text, for a claim that it signed with the
    evidence's hash."""
    vote = Vote.of(Verdict(accused, shown.hash))
    signature = sign(ACCUSER, DOMAIN, vote)
    appeal = Appeal(
        claim_id=hash32(bytes(32)),
        claim=Claim(accused, 1, 1, 1),
        epoch=accused.epoch + 2,
        counter_evidence_hash=hash32(bytes(32)),
        leaves={ACCUSER.account: leaf_of(ACCUSER.account, keccak(signature))},
        panel=(),
        threshold=1,
        openings=1,
    )
    cast = CastVote(
        operator=account_bytes(accused.operator),
        kind=accused.kind,
        severity=accused.severity,
        evidence_hash=hash_bytes(shown.hash),
        signature=signature,
    )
    claim = OpenedClaim(vote=cast, evidence_json=text or shown.model_dump_json())
    return hearings.shown(appeal, ACCUSER.account, claim)


def test_evidence_counts_for_the_claim_that_it_names(hearings: Hearings) -> None:
    shown = opened(hearings, ACCUSATION, evidence(ACCUSATION))
    assert shown is not None
    assert shown.findings == SEEN


def test_evidence_with_a_number_that_no_json_has_is_no_evidence(hearings: Hearings) -> None:
    honest = evidence(ACCUSATION)
    text = honest.model_dump_json().replace('"epoch":7', f'"epoch":{10**30}')
    assert opened(hearings, ACCUSATION, honest, text) is None


@pytest.mark.parametrize(
    "other",
    [
        replace(ACCUSATION, kind=Kind.VERSION),
        replace(ACCUSATION, epoch=8),
        replace(ACCUSATION, node=account(b"\x03" * 20)),
    ],
    ids=["kind", "epoch", "node"],
)
def test_the_same_evidence_bears_out_no_other_claim(hearings: Hearings, other: Accusation) -> None:
    assert opened(hearings, other, evidence(other)) is not None
    assert opened(hearings, other, evidence(ACCUSATION)) is None
