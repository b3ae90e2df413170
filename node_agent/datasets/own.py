"""What sessions may use of this owner's tables: what is published and not hidden by the policy of today."""

from collections.abc import Callable

from node_agent.policy import Policy
from node_agent.sessions.ports import OwnDataset
from node_agent.store.datasets import Datasets
from soterone.domain.ids import DatasetId


class OwnDatasets:
    """The `Datasets` of `node_agent.sessions.ports`."""

    def __init__(self, datasets: Datasets, policy: Callable[[], Policy]) -> None:
        self._datasets = datasets
        self._policy = policy

    def dataset(self, dataset_id: DatasetId) -> OwnDataset | None:
        """Return a published dataset without hidden columns, None when this node does not publish it."""
        found = self._datasets.get(dataset_id)
        if found is None or not found.published:
            return None
        hidden = set(self._policy().hidden_columns)
        lent = {name: real for name, real in found.columns.items() if not {name, real} & hidden}
        columns = tuple(column for column in found.metadata.columns if column.name in lent)
        return OwnDataset(found.source, found.metadata.model_copy(update={"columns": columns}), lent)
