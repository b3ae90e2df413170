"""Looking at real tables through the real child process: what is published, and what is refused with a sentence."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from node_agent.datasets.catalog import draft
from node_agent.datasets.inspection import DatasetError, Inspection, file_source, inspect_table, sql_source
from node_agent.store import Store
from soterone.domain.masking import TableShape

PATIENTS = """\
patient_id,surname,age,BMI,smoker,admitted,note
0007,Secretsson,34,21.5,0,2024-01-03,first
0012,Mysterio,58,30.25,1,2024-02-10,second
0020,Hiddenberg,71,,1,2024-03-11,
"""


def table(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def look(path: Path, key: str | None = None) -> TableShape:
    return inspect_table(Inspection(file_source(path), key))


def test_the_shape_of_a_csv_file(tmp_path: Path) -> None:
    shape = look(table(tmp_path, PATIENTS), "patient_id")
    assert (shape.rows, shape.key, shape.key_kind) == (3, "patient_id", "integer")
    kinds = {column.name: column.kind for column in shape.columns}
    assert kinds == {
        "patient_id": "number",
        "surname": "text",
        "age": "number",
        "BMI": "number",
        "smoker": "flag",
        "admitted": "date",
        "note": "text",
    }
    ranges = {column.name: (column.low, column.high) for column in shape.columns if column.kind == "number"}
    assert ranges["age"] == (34, 71)
    assert ranges["BMI"] == (21.5, 30.25)


def test_a_draft_holds_no_value_and_no_personal_name(tmp_path: Path) -> None:
    path = table(tmp_path, PATIENTS)
    inspection = Inspection(file_source(path), "patient_id")
    store = Store.open(tmp_path / "agent.sqlite3")
    dataset = draft(store, inspection, inspect_table(inspection), "patients", hidden=frozenset({"note"}))
    sent = dataset.metadata.model_dump_json(exclude={"id"})
    for secret in (
        "Secretsson",
        "Mysterio",
        "Hiddenberg",
        "0007",
        "34",
        "58",
        "71",
        "21.5",
        "2024",
        "surname",
        "note",
    ):
        assert secret not in sent
    assert dataset.columns == {
        "patient_id": "patient_id",
        "masked-2": "surname",
        "age": "age",
        "BMI": "BMI",
        "smoker": "smoker",
        "admitted": "admitted",
    }
    assert not dataset.published


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        (["5", "-6", "007"], "integer"),
        (["a@b.org", "c.d@e.info"], "email"),
        (["+43 660 1234567", "(01) 555-1234"], "phone"),
        (["2f1c1d1e-0000-4000-8000-000000000001", "2F1C1D1E-0000-4000-8000-000000000002"], "uuid"),
        (["A1", "B2"], "text"),
    ],
)
def test_a_key_is_published_as_a_kind(tmp_path: Path, keys: list[str], kind: str) -> None:
    rows = "".join(f"{key},1\n" for key in keys)
    assert look(table(tmp_path, f"id,x\n{rows}")).key_kind == kind


def test_a_parquet_file_and_databases(tmp_path: Path) -> None:
    import duckdb

    parquet, database = tmp_path / "table.parquet", tmp_path / "hospital.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE TABLE visits AS SELECT range AS id, range * 0.5 AS x FROM range(40)")
        connection.execute(f"COPY visits TO '{parquet}' (FORMAT parquet)")
    lite = tmp_path / "hospital.sqlite"
    with sqlite3.connect(lite) as connection:
        connection.execute("CREATE TABLE visits (id INTEGER, x REAL)")
        connection.executemany("INSERT INTO visits VALUES (?, ?)", [(i, i / 2) for i in range(40)])
    connection.close()
    for source in (
        file_source(parquet),
        sql_source(str(database), "visits"),
        sql_source(str(lite), "visits"),
    ):
        shape = inspect_table(Inspection(source))
        assert (shape.rows, shape.key_kind) == (40, "integer")
        (column,) = [one for one in shape.columns if one.name == "x"]
        assert (column.kind, column.low, column.high) == ("number", 0, 19.5)


@pytest.mark.parametrize(
    ("text", "key", "sentence"),
    [
        ("id,x\n", None, "no rows"),
        ("\n\n", None, "column names"),
        ("x,y\n1,2\n", None, "--key"),
        ("id,x\n1,2\n", "nobody", "'nobody' is not in the table; it has: id, x"),
        ("id,x\n1,2\n1,3\n", None, "duplicate ids"),
        ("id,x\n1,2\n 1,3\n", None, "duplicate ids"),
        ("id,x\n1,2\n,3\n", None, "empty values"),
        ("id\n1\n2\n", None, "one column only"),
        ("17,34.5,Secret\n18,35.5,More\n", None, "look like values"),
        ("id,x,x\n1,2,3\n", None, "stands twice"),
        ("Exported today\n17,34.5\n18,35.5\n19,36.5\n", None, "look like values|one column"),
        ("id,masked-2\n1,3\n", None, "rename it"),
        ("id,a\u202eb\n1,3\n", None, "rename it"),
        ("id,x\n1,2,3,4\n5,6\n", None, "as many fields"),
    ],
)
def test_a_table_that_cannot_serve_is_refused(
    tmp_path: Path, text: str, key: str | None, sentence: str
) -> None:
    with pytest.raises(DatasetError, match=sentence):
        look(table(tmp_path, text), key)


def test_files_that_are_no_table(tmp_path: Path) -> None:
    binary = tmp_path / "photo.csv"
    binary.write_bytes(bytes(range(256)) * 40)
    with pytest.raises(DatasetError, match=r"UTF-8|not a CSV"):
        look(binary)
    damaged = table(tmp_path, "PAR1 and then nothing", "damaged.parquet")
    with pytest.raises(DatasetError, match="Parquet"):
        look(damaged)


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no file"):
        file_source(tmp_path / "absent.csv")
    with pytest.raises(DatasetError, match="is empty"):
        file_source(table(tmp_path, ""))
    with pytest.raises(DatasetError, match="neither"):
        file_source(table(tmp_path, "x", "letter.docx"))
    with pytest.raises(DatasetError, match="--table"):
        sql_source("postgresql://db/x", None)
    with pytest.raises(DatasetError, match="not read"):
        sql_source("oracle://db/x", "t")
    with pytest.raises(DatasetError, match="no database file"):
        sql_source(str(tmp_path / "absent.sqlite"), "t")
    lite = tmp_path / "empty.sqlite"
    sqlite3.connect(lite).close()
    lite.touch()
    with pytest.raises(DatasetError, match="SQLite"):
        inspect_table(Inspection(sql_source(str(lite), "nothing")))


def test_a_draft_is_refused_before_anything_is_kept(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "agent.sqlite3")
    inspection = Inspection(file_source(table(tmp_path, PATIENTS)), "patient_id")
    shape = inspect_table(inspection)
    for changes, sentence in (
        ({"hidden": frozenset({"typo"})}, "--hide names 'typo'"),
        ({"hidden": frozenset({"patient_id"})}, "cannot be hidden"),
        ({"hidden": frozenset(column.name for column in shape.columns) - {"patient_id"}}, "hide fewer"),
        ({"tags": ["Not A Tag"]}, "tags"),
    ):
        with pytest.raises(DatasetError, match=sentence):
            draft(store, inspection, shape, "patients", **changes)  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="name"):
        draft(store, inspection, shape, "=cmd()")
    assert store.datasets.all() == []


def test_the_agent_itself_loads_no_duckdb(tmp_path: Path) -> None:
    heavy = "('duckdb', 'numpy', 'spu', 'jax', 'web3')"
    code = f"import sys, node_agent.__main__; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"
