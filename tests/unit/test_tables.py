"""Every unfit table is refused with one sentence that names the column and holds none of its values."""

import sqlite3
from pathlib import Path

import duckdb
import numpy as np
import pytest

from node_agent.tables import BadTableError, TableSource, read_table

SECRET = "4711.25"


def csv(tmp_path: Path, text: str) -> TableSource:
    path = tmp_path / "table.csv"
    path.write_text(text)
    return TableSource("csv", str(path))


def test_a_csv_is_read_in_the_order_asked_and_keys_keep_their_zeros(tmp_path: Path) -> None:
    source = csv(tmp_path, "y,b,id,a\n1,2.5, 007 ,1e-3\n0,-4,12,0\n")
    table = read_table(source, "id", ("a", "b"), "y")
    assert table.keys == ["007", "12"]
    np.testing.assert_array_equal(table.features, [[1e-3, 2.5], [0.0, -4.0]])
    assert table.label is not None
    np.testing.assert_array_equal(table.label, [1.0, 0.0])


@pytest.mark.parametrize(
    ("text", "features", "label", "words"),
    [
        ("id,a,y\n1,2,0\n", ("a",), "outcome", "label column 'outcome' is not in the table"),
        ("id,a,y\n1,2,0\n", ("a", "b"), "y", "feature column 'b' is not in the table"),
        ("name,a,y\n1,2,0\n", ("a",), "y", "key column 'id' is not in the table"),
        (f"id,a,y\n1,2,0\n2,3,{SECRET}\n", ("a",), "y", "label column 'y' is not binary"),
        (f"id,a,y\n1,x{SECRET},0\n", ("a",), "y", "'a' has text"),
        (f"id,a,y\n1,,0\n2,{SECRET},1\n", ("a",), "y", "'a' has missing values"),
        ("id,a,y\n1,nan,0\n", ("a",), "y", "'a' has NaN or infinite"),
        ("id,a,y\n1,-inf,0\n", ("a",), "y", "'a' has NaN or infinite"),
        (f"id,a,y\n{SECRET},1,0\n{SECRET},2,1\n", ("a",), "y", "'id' has duplicate ids"),
        ("id,a,y\n,1,0\n3,2,1\n", ("a",), "y", "'id' has empty values"),
        ("id,a,y\n", ("a",), "y", "empty"),
        ("id,a,y\n1,2,0\n", ("a", "a"), "y", "name each once"),
        ("id,a,y\n1,2,0\n", ("y",), "y", "name each once"),
        ("id,a,y\n1,2,0\n", (), "y", "at least one feature"),
    ],
)
def test_unfit_tables_are_refused_by_name(
    tmp_path: Path, text: str, features: tuple[str, ...], label: str, words: str
) -> None:
    with pytest.raises(BadTableError) as caught:
        read_table(csv(tmp_path, text), "id", features, label)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_missing_or_broken_file_is_refused_without_its_path(tmp_path: Path) -> None:
    broken = tmp_path / "table.parquet"
    broken.write_bytes(b"PAR1 no")
    for source in (TableSource("csv", str(tmp_path / "gone.csv")), TableSource("parquet", str(broken))):
        with pytest.raises(BadTableError) as caught:
            read_table(source, "id", ("a",), None)
        assert str(tmp_path) not in str(caught.value)


def test_parquet_and_databases_give_the_same_table(tmp_path: Path) -> None:
    rows = [(2.0, 1.5, 1), (1.0, -3.0, 0)]
    parquet, database, lite = tmp_path / "t.parquet", tmp_path / "t.duckdb", tmp_path / "t.sqlite"
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE TABLE people (id DOUBLE, a DOUBLE, y INTEGER)")
        connection.executemany("INSERT INTO people VALUES (?, ?, ?)", rows)
        connection.execute(f"COPY people TO '{parquet}' (FORMAT parquet)")
    connection_lite = sqlite3.connect(lite)
    connection_lite.execute("CREATE TABLE people (id INTEGER, a REAL, y INTEGER)")
    connection_lite.executemany("INSERT INTO people VALUES (?, ?, ?)", rows)
    connection_lite.commit()
    connection_lite.close()
    for source in (
        TableSource("parquet", str(parquet)),
        TableSource("duckdb", str(database), "people"),
        TableSource("sqlite", str(lite), "people"),
    ):
        table = read_table(source, "id", ("a",), "y")
        assert table.keys == ["2", "1"], source.kind
        np.testing.assert_array_equal(table.features, [[1.5], [-3.0]])


def test_a_name_with_quotes_is_a_name_and_no_sql(tmp_path: Path) -> None:
    source = csv(tmp_path, 'id,"a""; DROP TABLE x; --"\n1,2\n')
    table = read_table(source, "id", ('a"; DROP TABLE x; --',), None)
    np.testing.assert_array_equal(table.features, [[2.0]])
