"""Datasets: the masked metadata that their owners published."""

from typing import ClassVar

from sqlalchemy import Text
from sqlmodel import Field, SQLModel

from coordinator.models.columns import account_field


class Dataset(SQLModel, table=True):
    """One dataset; a withdrawn one keeps its id so that nobody else takes it, and loses its metadata.

    `search_text` is lower-case: name, description, tags and column names.
    """

    __tablename__: ClassVar[str] = "datasets"

    id: str = Field(primary_key=True, max_length=36)
    owner: str = account_field(index=True, foreign_key="nodes.account", ondelete="CASCADE")
    name: str = Field(default="", max_length=80)
    rows_at_least: int = 0
    rows_below: int = 1
    search_text: str = Field(default="", sa_type=Text)
    metadata_json: str = Field(default="", sa_type=Text)
    published_at: float
    withdrawn_at: float | None = None


class DatasetTag(SQLModel, table=True):
    """One tag of a dataset, to filter by."""

    __tablename__: ClassVar[str] = "dataset_tags"

    dataset: str = Field(primary_key=True, max_length=36, foreign_key="datasets.id", ondelete="CASCADE")
    tag: str = Field(primary_key=True, max_length=40, index=True)
