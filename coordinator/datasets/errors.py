"""Refusals of the dataset metadata manager."""

from dataclasses import dataclass

from coordinator.errors import Conflict, Malformed, Missing


@dataclass
class BadMetadata(Malformed):
    """Metadata that cannot be read or that says too much."""

    complaint: str

    @property
    def sentence(self) -> str:
        """What is wrong."""
        return f"the dataset's metadata do not fit: {self.complaint}"


@dataclass
class UnknownDataset(Missing):
    """There is no such dataset of this owner."""

    dataset: str

    @property
    def sentence(self) -> str:
        """What to do."""
        return f"there is no dataset {self.dataset} of yours; soter-node dataset list shows them"


@dataclass
class DatasetTaken(Conflict):
    """The id is another owner's, or was withdrawn."""

    dataset: str

    @property
    def sentence(self) -> str:
        """What to do."""
        return f"the dataset id {self.dataset} is taken or was withdrawn; publish under a new id"


@dataclass
class RowsChanged(Conflict):
    """The owner has committed to other rows."""

    dataset: str

    @property
    def sentence(self) -> str:
        """What to do."""
        return f"the dataset {self.dataset} is bound to other rows; publish these under a new id"


@dataclass
class TooManyDatasets(Conflict):
    """The owner publishes as many datasets as it may."""

    limit: int

    @property
    def sentence(self) -> str:
        """What to do."""
        return f"a data owner may publish {self.limit} datasets; withdraw one first"


@dataclass
class BadFilter(Malformed):
    """A filter of the catalog cannot be used."""

    complaint: str

    @property
    def sentence(self) -> str:
        """What is wrong."""
        return self.complaint
