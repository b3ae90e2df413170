"""Applies the policy file to sessions: reads it anew when it changes, and keeps the queue of manual approvals."""

from collections.abc import Mapping
from pathlib import Path

import structlog
import yaml
from pydantic import ValidationError

from node_agent.directory import ChainDirectory
from node_agent.errors import AgentError
from node_agent.policy import Policy, PolicyRequest, decide
from node_agent.sessions.order import OrderRefusedError, read_spec
from node_agent.sessions.ports import Verdict
from node_agent.store import Store
from soterone.crypto.accounts import account
from soterone.domain.ids import Account, QueryId, query_id
from soterone.domain.roles import Role
from soterone.domain.spec import describe
from soterone.rpc.generated.coordinator_pb2 import SessionDescription

log = structlog.get_logger()

DEFAULT_POLICY = """\
# What this node lends itself to. The agent enforces it whatever the coordinator says, and reads it anew when it
# changes. A mistake in here refuses everything until it is mended.

# Accounts of the customers it works for: any, or a list such as ["0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"].
customers: any

# Purposes that a query may state: any, or a list such as [research].
purposes: any

# Algorithms it runs: any, or a list such as [vertical-logistic-regression].
algorithms: any

# The next rules count for a data owner.
# Fewest rows in common with the other owners, and smallest training batch.
minimum_common_rows: 100
minimum_batch: 64

# Operators whose MPC nodes it trusts: any, or a list of accounts. It uploads only when at least two of the three
# nodes are operated by one of them or by its own operator. Any two of the three nodes together could read its rows,
# so name those whom you believe not to collude.
accepted_mpc_operators: any

# Columns (by their published name) that no query may use, though they stay in the catalog.
hidden_columns: []

# true: each order waits for `soter-node approve ID`; see `soter-node status`.
manual_approval: false
"""


class PolicyError(AgentError):
    """The policy file cannot be used; the text says where it is wrong."""


def read_policy(path: Path) -> Policy:
    """Read a policy file; PolicyError with one sentence when it is missing or wrong."""
    try:
        document = yaml.safe_load(path.read_text())
        return Policy.model_validate(document if document is not None else {})
    except OSError as error:
        raise PolicyError(f"the policy {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise PolicyError(f"the policy {path} is not YAML: {str(error).splitlines()[0]}") from error
    except ValidationError as error:
        raise PolicyError(f"the policy {path} is wrong at {describe(error)}") from error


class PolicyGate:
    """The `Policy` of `node_agent.sessions.ports`."""

    def __init__(self, path: Path, store: Store, directory: ChainDirectory, own: Account) -> None:
        self._path = path
        self._store = store
        self._directory = directory
        self._own = own

    @property
    def minimum_common_rows(self) -> int:
        """Fewest aligned rows that this owner trains on; PolicyError when the policy cannot be read."""
        return read_policy(self._path).minimum_common_rows

    @property
    def accepted_mpc_operators(self) -> tuple[Account, ...]:
        """Whose MPC nodes this owner uploads to beside its own operator's; PolicyError as above."""
        accepted = read_policy(self._path).accepted_mpc_operators
        return () if accepted == "any" else tuple(account(one) for one in accepted)

    def verdict(self, description: SessionDescription) -> Verdict:
        """Judge a session; an unreadable policy refuses. Queues a new order when a person has to approve it."""
        try:
            policy, request = read_policy(self._path), self._request(description)
        except PolicyError as error:
            log.error("policy unreadable", error=str(error))
            return Verdict(False, "This node's policy cannot be read at present; try again later.")
        except OrderRefusedError as refusal:
            return Verdict(False, refusal.sentence)
        except ValueError as error:
            return Verdict(False, f"This node cannot read the query: {error}")
        verdict = decide(policy, request)
        if verdict.accepted and policy.manual_approval:
            return self._approval(request, query_id(description.query_id))
        return verdict

    def _request(self, description: SessionDescription) -> PolicyRequest:
        own = [p for p in description.participants if account(p.account) == self._own]
        mpcs = [account(p.account) for p in description.participants if p.role == Role.MPC_NODE]
        operators = [self._directory.operator(mpc) for mpc in sorted(mpcs, key=str.lower)]
        return PolicyRequest(
            customer=account(description.customer),
            spec=read_spec(description),
            mpc_operators=tuple(operator for operator in operators if operator),
            own_operator=self._directory.operator(self._own) or self._own,
            own_datasets={dataset: self._columns(dataset) for one in own for dataset in one.datasets},
        )

    def _columns(self, dataset: str) -> Mapping[str, str]:
        found = self._store.datasets.get(dataset)
        return found.columns if found else {}

    def _approval(self, request: PolicyRequest, asked_by: QueryId) -> Verdict:
        approvals = self._store.approvals
        with self._store.transaction():
            asked = approvals.ask(request.customer, request.spec, asked_by)
            ordered = self._store.chain_log.knows(asked_by)
            granted = approvals.use(asked.id, asked_by) if ordered else asked.state in ("approved", "used")
        if granted:
            return Verdict(True)
        if asked.state == "denied":
            return Verdict(False, "The person in charge of this node has refused this query.")
        return Verdict(
            False,
            "A person must approve this query at the node first; it is queued there as"
            f" {asked.id}. Propose it again once it is approved.",
        )
