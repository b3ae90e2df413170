"""From protocol messages to the managers' own types and back; what does not fit is Malformed."""

from collections.abc import Sequence

from pydantic import ValidationError

from coordinator.errors import Malformed
from coordinator.liveness import Beat
from coordinator.models.nodes import Node, NodeLiveness
from coordinator.nodes.schemas import RegistrationRequest, UnregistrationRequest
from coordinator.queries.schemas import (
    CleanupNotice,
    FailureNotice,
    LossNotice,
    OfferAnswer,
    Progress,
    Session,
    ShareHeader,
)
from soterone.crypto.accounts import account, account_bytes
from soterone.crypto.certificates import CertificateError, key_hash_of_request
from soterone.crypto.messages import Registration, Unregistration
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, QueryId, hash32, hash_bytes, query_id
from soterone.domain.metadata import DatasetMetadata
from soterone.domain.profiles import NodeProfile
from soterone.domain.spec import describe
from soterone.rpc.generated import coordinator_pb2 as pb

_MAX_REQUEST_BYTES, _MAX_SIGNATURE_BYTES, _MAX_PROFILE_BYTES = 8192, 8192, 4096
_MAX_OPERATORS = 1024
_MAX_ACCOUNTS = 64


def account_from(value: bytes, name: str) -> Account:
    """Return 20 bytes as an account."""
    if len(value) != 20:
        raise Malformed(f"{name} must have 20 bytes, not {len(value)}")
    return account(value)


def accounts_from(values: Sequence[bytes]) -> list[Account]:
    """Return several accounts."""
    if len(values) > _MAX_ACCOUNTS:
        raise Malformed(f"at most {_MAX_ACCOUNTS} accounts may be asked about at once")
    return [account_from(value, "account") for value in values]


def card_of(node: Node, bound: Sequence[DatasetMetadata], liveness: NodeLiveness | None) -> pb.NodeCard:
    """Return how a node is reached, which of its datasets are bound to their rows, and what it last told of itself."""
    return pb.NodeCard(
        account=account_bytes(Account(node.account)),
        profile=pb.NodeProfile(json=node.profile_json),
        profile_version=node.profile_version,
        certificate_pem=node.certificate_pem.encode(),
        datasets=[
            pb.DatasetCommitment(
                dataset_id=one.id,
                root=bytes.fromhex(one.commitment.root[2:]),
                signature=bytes.fromhex(one.commitment.signature[2:]),
            )
            for one in bound
            if one.commitment is not None
        ],
        snapshot=_snapshot_of(liveness) if liveness and liveness.memory_total_bytes else None,
    )


def _snapshot_of(liveness: NodeLiveness) -> pb.ResourceSnapshot:
    return pb.ResourceSnapshot(
        cpu_fraction=liveness.cpu_fraction,
        memory_used_bytes=liveness.memory_used_bytes,
        memory_total_bytes=liveness.memory_total_bytes,
        disk_free_bytes=liveness.disk_free_bytes,
        load_1min=liveness.load_1min,
    )


def query_from(value: bytes) -> QueryId:
    """Return 32 bytes as a query id."""
    if len(value) != 32:
        raise Malformed(f"a query id must have 32 bytes, not {len(value)}")
    return query_id(value)


def registration_from(request: pb.RegisterRequest) -> RegistrationRequest:
    """Return the registration that a node signed: its key hash is the request's, its profile hash the profile's."""
    profile = _profile(request.profile.json)
    node = account_from(request.node, "node")
    message = Registration(
        node=node,
        operator=account_from(request.operator, "operator") if request.operator else node,
        roles=_bounded(request.roles, 255, "roles"),
        version=request.version,
        tls_key_hash=_key_hash(request.certificate_request_der),
        profile_hash=hash_bytes(profile.hash),
        incarnation=request.incarnation,
        deadline=request.deadline,
    )
    return RegistrationRequest(
        message,
        _signature(request.node_signature),
        _signature(request.operator_signature),
        request.certificate_request_der,
        profile,
    )


def unregistration_from(node: Account, request: pb.UnregisterRequest) -> UnregistrationRequest:
    """Return the caller's own wish to leave."""
    message = Unregistration(node, request.incarnation, request.deadline)
    return UnregistrationRequest(message, _signature(request.signature))


def beat_from(node: Account, heartbeat: pb.Heartbeat) -> Beat:
    """Return a heartbeat with figures that the database can hold."""
    snapshot = heartbeat.snapshot
    return Beat(
        node,
        _finite(snapshot.cpu_fraction),
        _counted(snapshot.memory_used_bytes),
        _counted(snapshot.memory_total_bytes),
        _counted(snapshot.disk_free_bytes),
        _finite(snapshot.load_1min),
    )


def answer_from(answer: pb.OfferAnswer) -> OfferAnswer:
    """Return an agent's answer to an offer."""
    if len(answer.accepted_operators) > _MAX_OPERATORS:
        raise Malformed(f"an owner may name at most {_MAX_OPERATORS} operators whose MPC nodes it accepts")
    operators = {account_from(one, "an accepted operator") for one in answer.accepted_operators}
    return OfferAnswer(
        query_from(answer.query_id), answer.accepted, answer.sentence[:500], tuple(sorted(operators))
    )


def progress_from(report: pb.ProgressReport) -> Progress:
    """Return how far a participant says it is."""
    return Progress(
        query_from(report.query_id),
        report.generation,
        report.attempt,
        report.phase,
        _finite(report.fraction),
        report.detail[:200],
    )


def failure_from(report: pb.FailureReport) -> FailureNotice:
    """Return a participant's report of a failure."""
    try:
        reason = FailureReason(report.reason)
    except ValueError:
        raise Malformed(f"{report.reason} is no reason for a failure") from None
    sentence = report.sentence[:500]
    return FailureNotice(query_from(report.query_id), report.generation, reason, sentence, report.heard)


def loss_from(notice: pb.LossNotice) -> LossNotice:
    """Return a participant's signed word that it cannot work with an MPC node."""
    return LossNotice(
        query_from(notice.query_id),
        notice.generation,
        account_from(notice.lost, "the lost node"),
        _counted(notice.deadline),
        _signature(notice.signature),
        notice.unlinked,
    )


def share_header_from(header: pb.ResultHeader) -> ShareHeader:
    """Return what a node claims of the share that follows."""
    if len(header.share_hash) != 32:
        raise Malformed("a share hash must have 32 bytes")
    return ShareHeader(
        query_from(header.query_id),
        header.generation,
        header.rank,
        hash32(header.share_hash),
        _signature(header.signature),
        header.size_bytes,
    )


def cleanup_from(notice: pb.CleanupAcknowledgement) -> CleanupNotice:
    """Return a node's promise that nothing of a query is left with it."""
    return CleanupNotice(query_from(notice.query_id), notice.deadline, _signature(notice.signature))


def description_of(session: Session) -> pb.SessionDescription:
    """Return a session as participants get it."""
    return pb.SessionDescription(
        query_id=hash_bytes(session.query_id),
        customer=account_bytes(session.customer),
        spec_json=session.spec_json,
        participants=[
            pb.Participant(
                account=account_bytes(member.account),
                operator=account_bytes(member.operator),
                role=int(member.role),
                endpoint=member.endpoint,
                certificate_pem=member.certificate_pem.encode(),
                datasets=member.datasets,
            )
            for member in session.members
        ],
        result_key=session.result_key,
        generation=session.generation,
    )


def _profile(text: str) -> NodeProfile:
    if len(text.encode()) > _MAX_PROFILE_BYTES:
        raise Malformed(f"the profile has more than {_MAX_PROFILE_BYTES} bytes")
    try:
        return NodeProfile.model_validate_json(text)
    except ValidationError as error:
        raise Malformed(f"the profile does not fit: {describe(error)}") from error


def _key_hash(request_der: bytes) -> bytes:
    if len(request_der) > _MAX_REQUEST_BYTES:
        raise Malformed(f"the certificate request has more than {_MAX_REQUEST_BYTES} bytes")
    try:
        return key_hash_of_request(request_der)
    except CertificateError as error:
        raise Malformed(str(error)) from error


def _signature(value: bytes) -> bytes:
    if len(value) > _MAX_SIGNATURE_BYTES:
        raise Malformed(f"a signature has more than {_MAX_SIGNATURE_BYTES} bytes")
    return value


def _bounded(value: int, limit: int, name: str) -> int:
    if value > limit:
        raise Malformed(f"{name} must be at most {limit}")
    return value


def _counted(value: int) -> int:
    return min(value, 2**62)


def _finite(value: float) -> float:
    return value if -1e9 < value < 1e9 else 0.0
