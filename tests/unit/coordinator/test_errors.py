"""One table from refusal to status."""

import importlib
import pkgutil
import sys

import grpc
import pytest

import coordinator
from coordinator.errors import ANSWERS, CoordinatorError, Malformed, answer_to, as_refusal
from coordinator.nodes.errors import WrongIncarnation
from soterone.chain.errors import ChainUnreachableError, RevertedError


def every_refusal() -> list[type[CoordinatorError]]:
    for module in pkgutil.walk_packages(coordinator.__path__, "coordinator."):
        if module.name.endswith("errors") or ".rpc." in module.name:
            importlib.import_module(module.name)
    found, ahead = set[type[CoordinatorError]](), [CoordinatorError]
    while ahead:
        found |= (below := set(ahead.pop().__subclasses__()))
        ahead += below
    named = [kind for kind in found if not kind.__name__.startswith("_")]
    return sorted(named, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", every_refusal(), ids=lambda kind: kind.__name__)
def test_every_refusal_has_a_kind_of_the_table(kind: type[CoordinatorError]) -> None:
    nearest = next(one for one in kind.__mro__ if one in ANSWERS)
    assert nearest is not CoordinatorError
    assert kind.__doc__


def test_a_refusal_is_told_by_its_kind_and_sentence() -> None:
    error = WrongIncarnation(expected=2, given=1)
    assert answer_to(error).status == 409
    assert answer_to(error).code is grpc.StatusCode.FAILED_PRECONDITION
    assert (
        str(error) == error.sentence == "the chain expects incarnation 2 of this account, not 1; sign again"
    )


def test_the_chains_errors_are_refusals_and_bugs_are_not() -> None:
    unreachable = as_refusal(ChainUnreachableError("http://key@node", "refused"))
    assert unreachable is not None
    assert answer_to(unreachable).status == 503
    assert "key" not in unreachable.sentence
    reverted = as_refusal(RevertedError("X", {}, "it says no."))
    assert reverted is not None
    assert answer_to(reverted).status == 409
    assert as_refusal(ValueError()) is None
    assert as_refusal(Malformed("so")) is not None


def test_nobody_raised_the_recursion_limit() -> None:
    import coordinator.services  # noqa: F401

    assert sys.getrecursionlimit() <= 1000
