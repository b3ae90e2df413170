"""What can go wrong for a customer, each with a sentence that says what to do."""


class ClientError(Exception):
    """The root of all errors of the SDK; its text is meant for a person."""


class Unreachable(ClientError):
    """The coordinator or the chain does not answer, or the chain's RPC is behind."""


class Refused(ClientError):
    """The coordinator refused a request (RFC 9457). `status` is the HTTP status."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail or title)
        self.status = status
        self.title = title


class Untrustworthy(ClientError):
    """What the coordinator gave does not agree with what was asked or with the chain: do not use it."""


class QueryFailed(ClientError):
    """The query ended without a model; the text is why."""
