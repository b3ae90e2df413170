"""Puts the REST interface together."""

from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

import soterone
from coordinator import claims, network, problems
from coordinator.accounts.api import router as accounts
from coordinator.authorisation import authorise
from coordinator.catalog.api import router as catalog
from coordinator.context import Context
from coordinator.gatekeeper import Gatekeeper
from coordinator.health import Health
from coordinator.queries.api import router as queries
from coordinator.quota import Quota
from coordinator.reputation import router as reputation

_DESCRIPTION = (
    "The management system of a public federated-learning network. Errors are problem details (RFC 9457) whose "
    "`detail` says what to do. What orders work or spends trust is signed (EIP-712) besides the bearer token."
)


def create_app(context: Context, health: Health) -> FastAPI:
    """Return the application; every route passes the table of permissions."""
    app = FastAPI(
        title="SoterOne coordinator",
        version=soterone.__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(authorise)],
    )
    app.state.context, app.state.health = context, health
    app.state.event_streams = Quota(context.limits.event_streams_per_customer, "event streams")
    for router in (network.router, claims.router, accounts, catalog, reputation, queries):
        app.include_router(router)
    problems.install(app)
    if context.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(context.settings.cors_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Last-Event-ID"],
        )
    app.add_middleware(Gatekeeper, context=context)
    return app
