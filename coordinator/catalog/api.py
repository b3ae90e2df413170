"""Routes of the public catalog."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from coordinator.catalog import service
from coordinator.context import Ctx
from coordinator.datasets.errors import BadFilter
from coordinator.datasets.repository import DatasetFilter
from coordinator.errors import Unavailable
from coordinator.problems import responses
from coordinator.retries import PersistentRoute
from soterone.crypto.accounts import account as checksummed
from soterone.domain.roles import Role
from soterone.rest.catalog import DatasetList, NodeList

router = APIRouter(prefix="/v1/catalog", tags=["catalog"], route_class=PersistentRoute)

Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
TagText = Annotated[str, Query(max_length=40)]
AccountQuery = Annotated[str, Query(pattern=r"^(0x[0-9a-fA-F]{40})?$", description="An account.")]


@router.get("/datasets", responses=responses())
async def list_datasets(
    context: Ctx,
    text: Annotated[str, Query(max_length=200, description="Words in name, description or columns.")] = "",
    tag: Annotated[list[TagText], Query(max_length=16, description="All of these tags.")] = [],  # noqa: B006
    owner: AccountQuery = "",
    rows_at_least: Annotated[int, Query(ge=0, le=2**53)] = 0,
    online: bool = False,
    group_by: Literal["tag", "owner"] | None = None,
    after: Annotated[str, Query(max_length=36, pattern=r"^[0-9a-f-]*$")] = "",
    limit: Limit = 50,
) -> DatasetList:
    """List the datasets that may be queried, by id; ask again with `after=next` for more."""
    wanted = DatasetFilter(text, tuple(tag), _account(owner), rows_at_least, online)
    return await service.dataset_page(context, wanted, after, limit, group_by)


@router.get("/nodes", responses=responses(Unavailable))
async def list_nodes(
    context: Ctx,
    role: Literal["data-owner", "mpc-node", "detector"] | None = None,
    online: bool = False,
    after: AccountQuery = "",
    limit: Limit = 50,
) -> NodeList:
    """List the active nodes with their standing, by account; ask again with `after=next` for more."""
    wanted = Role[role.upper().replace("-", "_")] if role else None
    return await service.node_page(context, wanted, online, _account(after), limit)


def _account(text: str) -> str:
    try:
        return checksummed(text) if text else ""
    except ValueError as error:
        raise BadFilter(f"{text} is no account") from error
