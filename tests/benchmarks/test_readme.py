"""The README's tables are the measured rows, and every row is complete."""

import json

import pytest

from benchmarks.readme import README, filled
from benchmarks.rows import RESULTS

FILES = sorted(RESULTS.glob("*.jsonl"))


def test_tables_are_drawn_from_the_rows():
    text = README.read_text()
    assert filled(text) == text, "run python -m benchmarks.readme"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_row_says_what_was_measured_where(file):
    for line in file.read_text().splitlines():
        row = json.loads(line)
        assert row["benchmark"] == file.stem
        assert {"row", "device", "commit", "command"} <= row.keys()
