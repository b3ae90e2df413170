"""What the services for agents refuse over gRPC: by a code and a sentence, whoever shows which certificate."""

from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from hospitals import Hospitals

from soterone.client.customer import Customer
from soterone.crypto.accounts import Signer
from soterone.crypto.certificates import (
    CertificateAuthority,
    TlsIdentity,
    certificate_request,
    new_tls_key,
    self_signed,
)
from soterone.domain.failures import FailureReason
from soterone.domain.ids import hash_bytes
from soterone.rpc.channels import MAX_MESSAGE_BYTES, enrolment_channel
from soterone.rpc.generated import coordinator_pb2 as pb
from soterone.rpc.generated.coordinator_pb2_grpc import EnrolmentStub

NO_QUERY = bytes(32)


def issued_identity(hospitals: Hospitals) -> TlsIdentity:
    """A key that the coordinator's authority vouches for, and no node registered."""
    authority = CertificateAuthority.load(hospitals.devnet.folder / "coordinator")
    key = new_tls_key()
    account = Signer.new().account
    return TlsIdentity(key, authority.issue(certificate_request(key, account), account))


def said(error: pytest.ExceptionInfo[grpc.aio.AioRpcError]) -> tuple[grpc.StatusCode, str]:
    """The code and sentence of a refusal."""
    return error.value.code(), error.value.details() or ""


async def test_a_certificate_whose_key_is_not_on_chain(hospitals: Hospitals) -> None:
    stranger = issued_identity(hospitals)
    async with hospitals.agents_service(stranger) as agents:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await agents.GetSession(pb.SessionRequest(query_id=NO_QUERY))
        code, sentence = said(error)
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert sentence == "this TLS key belongs to no registered node; run soter-node register"


async def test_a_certificate_by_another_authority_is_not_even_heard(hospitals: Hospitals) -> None:
    key = new_tls_key()
    forged = TlsIdentity(key, self_signed(key, hospitals.account("ada"), ("127.0.0.1",)))
    async with hospitals.agents_service(forged) as agents:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await agents.GetSession(pb.SessionRequest(query_id=NO_QUERY), timeout=5)
    assert said(error)[0] is grpc.StatusCode.UNAVAILABLE


async def test_an_mpc_node_publishes_no_dataset(hospitals: Hospitals) -> None:
    async with hospitals.agents_service(hospitals.identity("ada")) as agents:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await agents.PublishDataset(pb.PublishDatasetRequest(metadata_json="{}"))
    code, sentence = said(error)
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert sentence == f"node {hospitals.account('ada')} is not registered as a data owner"


async def test_messages_that_cannot_be_read(hospitals: Hospitals) -> None:
    async with hospitals.agents_service(hospitals.identity("clinic")) as agents:
        for call, words in (
            (agents.GetSession(pb.SessionRequest(query_id=b"abc")), "32 bytes, not 3"),
            (agents.PublishDataset(pb.PublishDatasetRequest(metadata_json="{}")), "metadata do not fit"),
            (agents.ReportFailure(pb.FailureReport(query_id=NO_QUERY, reason=99)), "99 is no reason"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call
            code, sentence = said(error)
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert words in sentence
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await agents.PublishDataset(pb.PublishDatasetRequest(metadata_json=" " * (2 * MAX_MESSAGE_BYTES)))
        assert said(error)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_node_has_no_say_in_queries_of_others(hospitals: Hospitals, customer: Customer) -> None:
    """The archive takes no part: it learns nothing, ends nothing and delivers nothing, as if there were no query."""
    query = hospitals.propose(customer).json()["query_id"]
    identifier = hash_bytes(query)
    failure = pb.FailureReport(
        query_id=identifier, reason=int(FailureReason.BAD_DATA), sentence="It is over."
    )
    header = pb.ResultHeader(query_id=identifier, share_hash=bytes(32), signature=bytes(65), size_bytes=1)
    async with hospitals.agents_service(hospitals.identity("archive")) as agents:

        async def chunks() -> AsyncIterator[pb.ResultChunk]:
            yield pb.ResultChunk(header=header, data=b"x")

        for call in (
            agents.GetSession(pb.SessionRequest(query_id=identifier)),
            agents.ReportProgress(pb.ProgressReport(query_id=identifier, phase="train")),
            agents.ReportFailure(failure),
            agents.DeliverResult(chunks()),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call
            code, sentence = said(error)
            assert code is grpc.StatusCode.PERMISSION_DENIED
            assert query in sentence
    assert hospitals.request("GET", f"queries/{query}", customer).json()["status"] == "reserved"
    hospitals.post(customer, f"queries/{query}/cancel", {})
    assert hospitals.left_behind() == []


async def test_a_registration_that_somebody_else_signed(hospitals: Hospitals) -> None:
    description, node, key = hospitals.network(), Signer.new(), new_tls_key()
    profile = (hospitals.devnet.agents["ada"].folder / "profile.json").read_text()
    request = pb.RegisterRequest(
        node=bytes.fromhex(node.account[2:]),
        roles=1,
        version=1 << 8,
        incarnation=1,
        deadline=2**33,
        node_signature=Signer.new().sign(bytes(32)),
        certificate_request_der=certificate_request(key, node.account),
        profile=pb.NodeProfile(json=profile),
    )
    async with enrolment_channel(description.enrolment_address, description.ca_pem.encode()) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await EnrolmentStub(channel).Register(request)
    code, sentence = said(error)
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert f"registration is not signed by {node.account}" in sentence
