"""The pages' tables are the measured rows, and every row is complete."""

import json

import pytest

from benchmarks.lib.readme import PAGES, filled
from benchmarks.lib.rows import RESULTS

FILES = sorted(RESULTS.glob("*.jsonl"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_drawn_from_the_rows(page):
    text = page.read_text()
    assert "<!-- table: " in text
    assert filled(text) == text, "run python -m benchmarks.lib.readme"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_row_says_what_was_measured_where(file):
    for line in file.read_text().splitlines():
        row = json.loads(line)
        assert row["benchmark"] == file.stem
        assert {"row", "device", "commit", "command"} <= row.keys()
