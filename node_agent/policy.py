"""An owner's or node's policy, enforced by the agent whatever the coordinator says. The decision is pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from node_agent.sessions.ports import Verdict
from soterone.domain.ids import Account
from soterone.domain.spec import AccountText, QuerySpec

Anything = Literal["any"]


class Policy(BaseModel):
    """`policy.yaml`. Budgets on overlap, alignments and queries have their place here later."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    customers: Anything | list[AccountText] = "any"
    purposes: Anything | list[str] = "any"
    algorithms: Anything | list[str] = "any"
    minimum_common_rows: int = Field(100, ge=1)
    minimum_batch: int = Field(64, ge=1)
    accepted_mpc_operators: Anything | list[AccountText] = "any"
    manual_approval: bool = False
    hidden_columns: list[str] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """What is asked of this node.

    `mpc_operators` are those of the active MPC nodes, as the chain has them; `own_datasets` maps each dataset that
    this node brings to its columns, real names by published ones.
    """

    customer: Account
    spec: QuerySpec
    mpc_operators: tuple[Account, ...]
    own_operator: Account
    own_datasets: Mapping[str, Mapping[str, str]]


def decide(policy: Policy, request: PolicyRequest) -> Verdict:
    """Judge a request. Rules on data apply to nodes that bring datasets, the others to every node."""
    rules = [_customer, _purpose, _algorithm]
    if request.own_datasets:
        rules += [_batch, _mpc_operators, _hidden_columns]
    for rule in rules:
        if sentence := rule(policy, request):
            return Verdict(False, sentence)
    return Verdict(True)


def _customer(policy: Policy, request: PolicyRequest) -> str:
    if policy.customers == "any" or _among(request.customer, policy.customers):
        return ""
    return "This node works only for customers on its list, and you are not on it."


def _purpose(policy: Policy, request: PolicyRequest) -> str:
    if policy.purposes == "any" or request.spec.purpose in policy.purposes:
        return ""
    return f"This node does not serve the purpose {request.spec.purpose!r}; it serves {_listed(policy.purposes)}."


def _algorithm(policy: Policy, request: PolicyRequest) -> str:
    if policy.algorithms == "any" or request.spec.algorithm in policy.algorithms:
        return ""
    return f"This node does not run {request.spec.algorithm!r}; it runs {_listed(policy.algorithms)}."


def _batch(policy: Policy, request: PolicyRequest) -> str:
    if request.spec.training.batch_size >= policy.minimum_batch:
        return ""
    return f"This owner asks for training.batch_size of at least {policy.minimum_batch}."


def _mpc_operators(policy: Policy, request: PolicyRequest) -> str:
    if policy.accepted_mpc_operators == "any":
        return ""
    accepted = [*policy.accepted_mpc_operators, request.own_operator]
    if sum(_among(operator, accepted) for operator in request.mpc_operators) >= 2:
        return ""
    return "This owner uploads only when it accepts the operators of at least two of the three MPC nodes."


def _hidden_columns(policy: Policy, request: PolicyRequest) -> str:
    hidden = set(policy.hidden_columns)
    for dataset, real_names in request.own_datasets.items():
        for named in _named_columns(request.spec, dataset):
            if {named, real_names.get(named)} & hidden:
                return f"This owner does not lend the column {named!r} of dataset {dataset}."
    return ""


def _named_columns(spec: QuerySpec, dataset: str) -> list[str]:
    labels = [spec.label.column] if spec.label.dataset == dataset else []
    return [spec.key_of(dataset), *labels, *(spec.features_of(dataset) or ())]


def _among(account: str, accounts: list[str]) -> bool:
    return account.lower() in {each.lower() for each in accounts}


def _listed(names: list[str] | Anything) -> str:
    return ", ".join(names) if names else "none at present"
