"""Parts run one after the other within their time, also after failures."""

import json
import time

import pytest

from benchmarks.accelerator.parts import (
    KERNEL_TESTS,
    LOOP_TESTS,
    NAMES,
    REHEARSED,
    TimedPart,
    parts,
)
from benchmarks.accelerator.running import ROOT, SECONDS, run_all
from benchmarks.accelerator.time_left import TimeLeft


def rows(folder):
    return [json.loads(x) for x in (folder / "parts.jsonl").read_text().splitlines()]


def test_a_part_that_fails_or_hangs_does_not_end_the_rest(tmp_path):
    code = "import os; print('said', os.environ['WORD'], os.environ['{}'])"
    all_parts = (
        TimedPart("fails", ("-c", "raise SystemExit(3)"), 20),
        TimedPart("hangs", ("-c", "import time; time.sleep(60)"), 1),
        TimedPart(
            "ends", ("-c", code.format(SECONDS)), 20, {"WORD": "it"}, takes_rest=True
        ),
    )
    began = time.monotonic()
    assert not run_all(all_parts, tmp_path)
    assert time.monotonic() - began < 40
    fails, hangs, ends = rows(tmp_path)
    assert (fails["code"], fails["timed_out"]) == (3, False)
    assert (hangs["code"], hangs["timed_out"]) == (None, True)
    assert ends["code"] == 0 and ends["limit"] > 20
    *_, said, word, seconds = (tmp_path / "log.txt").read_text().split()
    assert (said, word) == ("said", "it") and float(seconds) > 20


def test_all_well(tmp_path):
    assert run_all((TimedPart("a", ("-c", "pass"), 20),), tmp_path)


@pytest.mark.parametrize("minutes", [1, 9, 14])
def test_the_parts_take_the_time_there_is(tmp_path, minutes):
    found = parts(tmp_path, 60.0 * minutes, "gpu", False)
    assert tuple(part.name for part in found) == NAMES
    assert sum(part.seconds for part in found) == pytest.approx(60 * minutes)
    *most, training = (part.seconds for part in found)
    assert sum(most[:2]) <= 120
    assert all(x <= y for x, y in zip(most[2:], (120, 150, 90), strict=True))
    assert training >= 60 * minutes / 5
    assert found[0].environment["JAX_PLATFORMS"] == "cuda"


def test_the_training_has_the_time_of_parts_left_out(tmp_path):
    [part] = parts(tmp_path, 480.0, "gpu", False, ["train"])
    assert (part.name, part.seconds) == ("train", 480)


def test_a_part_knows_its_time(monkeypatch):
    monkeypatch.delenv(SECONDS, raising=False)
    assert TimeLeft.of_part(30.0).seconds == 30
    monkeypatch.setenv(SECONDS, "12.5")
    left = TimeLeft.of_part(30.0)
    assert 11 < left.now() <= 12.5


@pytest.mark.parametrize("path", [*KERNEL_TESTS, *LOOP_TESTS, *REHEARSED])
def test_the_test_files_that_it_runs_are_there(path):
    assert (ROOT / path).is_file()
