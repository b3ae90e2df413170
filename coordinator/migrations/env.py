"""What Alembic runs for each command: the connection that `coordinator.migrations` opened, and all tables."""

import importlib
import pkgutil
from typing import Any, Literal

from alembic import context
from sqlmodel import AutoString, SQLModel

from coordinator import models

for module in pkgutil.iter_modules(models.__path__):
    importlib.import_module(f"{models.__name__}.{module.name}")


def render(kind: str, item: Any, autogenerate: object) -> str | Literal[False]:
    """Write SQLModel's strings as plain ones."""
    if kind == "type" and isinstance(item, AutoString):
        return f"sa.String(length={item.length})"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    render_item=render,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
