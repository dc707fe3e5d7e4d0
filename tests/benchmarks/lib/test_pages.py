"""The pages' tables are the measured rows, pages are short, and rows are complete."""

import json
import re

import pytest

from benchmarks.lib import pages
from benchmarks.lib.pages import HERE, INDEX, PAGES, README, filled, indexed, tables
from benchmarks.lib.rows import RESULTS

FILES = sorted(RESULTS.glob("*.jsonl"))
SHOWING = [*PAGES, README]
# The tables of kernels are reworked apart from these.
NARROW = [page for page in SHOWING if page.parent.name != "kernels"]
LINES, COLUMNS = 120, 6
name = lambda page: page.parent.name


@pytest.mark.parametrize("page", SHOWING, ids=name)
def test_tables_are_drawn_from_the_rows(page):
    text = page.read_text()
    assert "<!-- table: " in text
    assert filled(text) == text, "run python -m benchmarks.lib.pages"


def test_the_index_lists_every_page_with_its_answer():
    text = INDEX.read_text()
    assert indexed(text) == text, "run python -m benchmarks.lib.pages"
    folders = {path.parent.name for path in HERE.glob("*/tables.py")} - {"lib"}
    assert folders == {page.parent.name for page in PAGES}
    for folder in folders:
        assert f"]({folder}/RESULTS.md)" in text


def test_every_table_is_shown_somewhere():
    shown = {x for page in SHOWING for x in pages.TABLE.findall(page.read_text())}
    assert shown == set(tables())


@pytest.mark.parametrize("page", [*SHOWING, INDEX], ids=name)
def test_pages_are_short(page):
    assert len(page.read_text().splitlines()) <= LINES


@pytest.mark.parametrize("page", NARROW, ids=name)
def test_tables_are_narrow(page):
    rows = re.findall(r"^\|.*\|$", page.read_text(), re.M)
    assert max(row.count("|") - 1 for row in rows) <= COLUMNS


@pytest.mark.parametrize("page", [*SHOWING, INDEX], ids=name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    local = [link for link in links if not link.startswith("https://")]
    assert all((page.parent / link).exists() for link in local)


def test_tables_have_names_of_their_own(monkeypatch):
    module = type("Module", (), {"TABLES": {"same": None}})
    monkeypatch.setattr(pages, "import_module", lambda name: module)
    with pytest.raises(ValueError, match="two folders have tables of these names"):
        tables()


def test_a_page_begins_with_question_and_answer(tmp_path, monkeypatch):
    page = tmp_path / "model" / "RESULTS.md"
    page.parent.mkdir()
    monkeypatch.setattr(pages, "PAGES", [page])
    page.write_text("# How fast?\n\nIt takes 2.5 s,\nwarm. More.\n")
    line = "- [How fast?](model/RESULTS.md) It takes 2.5 s, warm."
    text = indexed("Results\n\n<!-- pages -->\nold\n<!-- end -->\n")
    assert text == f"Results\n\n<!-- pages -->\n{line}\n<!-- end -->\n"
    page.write_text("# Speed\n\nIt takes 2.5 s.\n")
    with pytest.raises(ValueError, match="no question as title and no answer"):
        indexed(text)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_row_says_what_was_measured_where(file):
    for line in file.read_text().splitlines():
        row = json.loads(line)
        assert row["benchmark"] == file.stem
        assert {"row", "device", "commit", "command"} <= row.keys()
