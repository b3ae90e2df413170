"""What the joint model is worth: beside the same training in the clear, and beside each owner alone."""

from dataclasses import dataclass

import numpy as np

from scripts.demo.hospitals import Hospital
from soterone.client.reference import ClearTable, train_in_clear
from soterone.domain.ids import Account
from soterone.domain.spec import Training


@dataclass(frozen=True, slots=True)
class Comparison:
    """Areas under the ROC curve on the same held-out rows."""

    clear_auc: float
    owner_auc: dict[Account, float]


def compare(
    clinic: Hospital, laboratory: Hospital, accounts: tuple[Account, Account], training: Training
) -> Comparison:
    """Train in the clear; the owner without a label is lent it, which only this comparison can do."""
    common = sorted(set(clinic.keys) & set(laboratory.keys))
    tables = [_table(*pair, common) for pair in zip((clinic, laboratory), accounts, strict=True)]
    label = tables[0].label
    alone = {
        table.account: train_in_clear([ClearTable(table.account, table.keys, table.columns, label)], training)
        for table in tables
    }
    return Comparison(
        train_in_clear(tables, training).metrics["auc"],
        {Account(owner): model.metrics["auc"] for owner, model in alone.items()},
    )


def _table(hospital: Hospital, account: Account, keys: list[str]) -> ClearTable:
    row_of = {key: row for row, key in enumerate(hospital.keys)}
    rows = np.array([row_of[key] for key in keys])
    label = None if hospital.label is None else hospital.label[rows]
    return ClearTable(account, keys, {name: column[rows] for name, column in hospital.columns.items()}, label)
