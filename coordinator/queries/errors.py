"""Refusals of the query manager, each with a sentence that says what to do."""

from dataclasses import dataclass

from coordinator.errors import (
    Conflict,
    CoordinatorError,
    Forbidden,
    Malformed,
    Missing,
    TooLarge,
    TooMany,
    Unavailable,
)


@dataclass
class _Said(CoordinatorError):
    """A refusal whose sentence is composed where it happens."""

    said: str

    @property
    def sentence(self) -> str:
        return self.said


@dataclass
class UnknownQuery(Missing):
    """There is no such query, or it is somebody else's."""

    query_id: str

    @property
    def sentence(self) -> str:
        """Same words in both cases, so that nobody learns of others' queries."""
        return f"there is no query {self.query_id} of yours; list yours with GET /v1/queries"


@dataclass
class UnknownDataset(Missing):
    """A spec names a dataset that the catalog never had."""

    dataset: str

    @property
    def sentence(self) -> str:
        """Where to look."""
        return f"there is no dataset {self.dataset}; choose from GET /v1/catalog/datasets"


class DatasetWithdrawn(_Said, Conflict):
    """Its owner took a dataset back."""


class SpecDoesNotFit(_Said, Malformed):
    """The spec asks for what the datasets do not have."""


class BadResultKey(_Said, Malformed):
    """The result key is not a public key of a known suite."""


class NodeUnusable(_Said, Conflict):
    """A node is offline, inactive, of the wrong role or too old."""

    retry_after_seconds = 10.0


class NotEnoughNodes(_Said, Conflict):
    """Too few MPC nodes of different operators could take the query."""

    retry_after_seconds = 10.0


class OfferRefused(_Said, Conflict):
    """A node's policy refused, or the node did not answer."""


class TooManyOpenQueries(_Said, TooMany):
    """One customer keeps too many queries open."""

    retry_after_seconds = 10.0


class WrongSignature(_Said, Forbidden):
    """A signature is not the right account's over exactly this message."""


class OrderExpired(_Said, Conflict):
    """The proposal or a deadline lapsed."""


class AlreadyEnded(_Said, Conflict):
    """The query has ended, so this cannot happen any more."""


class NotYet(_Said, Conflict):
    """The query has not come so far."""


class FeedbackRefused(_Said, Conflict):
    """Feedback that the contract would revert."""


class NotParticipant(_Said, Forbidden):
    """The node takes no part in the query, or not in this role."""


class StaleGeneration(_Said, Conflict):
    """A report or share of a generation that was replaced."""


class BadShare(_Said, Malformed):
    """A delivered share is not what its header says."""


class ShareTooLarge(_Said, TooLarge):
    """More bytes than a result share may have."""


class StoreFull(_Said, Unavailable):
    """The result store has no room; nothing was kept."""

    retry_after_seconds = 60.0


class ChainAway(_Said, Unavailable):
    """The chain could not be asked."""
