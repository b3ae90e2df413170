"""What a person types, in its one form; ClientError with a sentence when it is something else."""

from soterone.client.errors import ClientError
from soterone.crypto.accounts import account
from soterone.domain.ids import Account, QueryId, query_id


def typed_account(text: str) -> Account:
    """Return the account that a text names."""
    try:
        return account(text)
    except ValueError as error:
        raise ClientError(f"{text!r} is not an account: write 0x and 40 hexadecimal digits") from error


def typed_query_id(text: str) -> QueryId:
    """Return the query id that a text names."""
    try:
        return query_id(text)
    except ValueError as error:
        raise ClientError(f"{text!r} is not a query id: write 0x and 64 hexadecimal digits") from error
