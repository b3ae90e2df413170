"""What a contract's typed error means for the customer whose order or rating it refused."""

from datetime import UTC, datetime

from soterone.chain.errors import RevertedError

_SENTENCES = {
    "SignatureExpired": "the deadline of what you signed has passed; propose or sign anew",
    "SignatureDeadlineTooFar": "the deadline of what you signed is more than 30 days away; sign a nearer one",
    "SignatureInvalid": "the contract does not take the signature of {signer}; sign exactly what was proposed",
    "EnforcedPause": "the network is paused for new queries; try again later",
    "NodeRegistryNotEligible": "node {node} is not active on chain any more; propose the query anew",
    "NodeRegistryNotRegistered": "node {node} is not registered on chain any more; propose the query anew",
    "QueryLedgerSharedOperator": "two of the MPC nodes have the same operator {operator}; propose the query anew",
    "QueryLedgerWrongStatus": "the chain has this query in another state already; look at the query",
    "QueryLedgerBadOpening": "the chain knows other participants of this query than the coordinator; tell its operator",
    "ReputationLedgerNotSettled": "the query is not settled on chain yet; rate its nodes in a moment",
    "ReputationLedgerNotParticipant": "node {node} took no part in this query; rate its participants only",
    "ReputationLedgerAlreadyRated": "node {node} was rated already in this query; each is rated once",
    "ReputationLedgerSelfFeedback": "node {node} is your own; nobody rates itself",
    "ReputationLedgerNoRatings": "rate at least one node",
}


def sentence_of(error: RevertedError) -> str:
    """Return what is wrong and what to do, in the words of the customer's task."""
    if error.name == "ReputationLedgerWindowClosed":
        closed = datetime.fromtimestamp(int(error.arguments["closed_at"]), UTC)
        return f"the time to rate this query ended on {closed:%Y-%m-%d %H:%M} UTC"
    template = _SENTENCES.get(error.name)
    if template is None:
        return error.sentence
    return template.format(**error.arguments)
