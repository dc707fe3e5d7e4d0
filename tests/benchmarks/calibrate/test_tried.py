"""Rows of a search's trials, their table, and what there was no time for."""

import sys
from collections import Counter
from dataclasses import replace
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.calibrate.calibration import record_tried
from benchmarks.calibrate.tried import rows_of, table, unfinished, value
from benchmarks.lib import rows
from benchmarks.lib.pages import drawn
from chorus_jax.calibration.losses import Loss, LossLimits
from chorus_jax.calibration.moves import Moves
from chorus_jax.calibration.search import MORE, Trial
from chorus_jax.calibration.verdict import Verdict
from chorus_jax.inter_request.policy.policies import default_policy
from chorus_jax.inter_request.policy.policy import Regions

MOVES = Moves(50, tuple(np.linspace(0.5, 0.99, 40).tolist()))
START = MOVES.spread(default_policy(50))
WHAT = {"name": "shapes", "steps": 50, "weights": {"vae": "a"}}
BEST = Verdict(
    20.0,
    [{"detail": Loss(0.01, 0.002)}],
    {0: 0.0},
    targets=40,
    limits=LossLimits({"detail": 0.02}),
)


@pytest.mark.parametrize("name", MOVES.coordinates())
def test_a_row_tells_what_was_changed(name):
    start = replace(START, cache=MOVES.caches[1])
    found = list(MOVES.coordinates()[name](start))
    assert found
    for candidate in found:
        assert value(candidate, name) != value(start, name)


def reach(found, taken):
    """A trial of another dilation."""
    after = replace(START, regions=Regions(reach=2))
    return Trial("reach", START, after, BEST, found, taken)


def searched(*trials, left=(), rounds=2, **passed):
    counts = Counter({(name, MORE): count for name, count in passed.items()})
    return SimpleNamespace(
        trials=trials,
        passed=counts,
        untried=left,
        rounds=rounds,
        coordinates=dict.fromkeys(("tiers", "context", "reach", "halo")),
    )


LOST = {"detail": Loss(0.3, 0.02)}
GIVEN_UP = replace(BEST, targets=10, given_up=True, lost=[LOST])
SEARCH = searched(
    reach(replace(BEST, equivalents=18.5), True),
    reach(replace(BEST, equivalents=19.0), True),
    reach(GIVEN_UP, False),
    reach(BEST, False),
    left=("halo",),
    rounds=0,
    context=3,
)


def test_there_is_a_row_for_each_policy_that_was_run():
    tiers, context, first, _, third, _, halo = rows_of(SEARCH)
    expected = {
        **{"row": "reach", "number": 0, "from": 1, "to": 2, "taken": True},
        **{"why": "computes less", "targets": 40, "equivalents": 18.5},
        **{"best_equivalents": 20.0, "excess": 0, "best_excess": 0, "rounds": 0},
        **{"detail_loss": 0.01, "detail_loss_error": 0.002},
    }
    assert first == expected
    assert (third["why"], third["targets"], third["taken"]) == ("given up", 10, False)
    assert third["detail_loss"] == 0.3 and third["excess"] == pytest.approx(14)
    assert context == {"row": "context", "why": MORE, "policies": 3, "rounds": 0}
    assert halo == {"row": "halo", "why": "no time", "rounds": 0}
    assert tiers == {"row": "tiers", "why": "nothing new", "rounds": 0}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "RESULTS", tmp_path)
    monkeypatch.setattr(rows, "commit", lambda: "abc")
    spec = ModuleSpec("benchmarks.calibrate.__main__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)


def test_the_table_counts_by_what_was_changed(results, capsys):
    with pytest.raises(ValueError, match="run `python -m benchmarks.calibrate`"):
        drawn("tried")
    record_tried(SEARCH, WHAT)
    lines = table(rows.load("calibrate_tried")).splitlines()
    told = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    names = ("tried", "taken", "most saved (equivalents)", "given up", "loses too much")
    names += ("no better", MORE, "all in time", "whole rounds")
    found = {line[1]: [line[told[0].index(x)] for x in names] for line in told[2:]}
    assert list(found) == ["tiers", "context", "reach", "halo"]
    assert found == {
        "tiers": ["0", "0", "", "0", "0", "0", "0", "yes", "0"],
        "reach": ["4", "2", "1.5", "1", "0", "1", "0", "yes", "0"],
        "context": ["0", "0", "", "0", "0", "0", "3", "yes", "0"],
        "halo": ["0", "0", "", "0", "0", "0", "0", "no", "0"],
    }
    page = drawn("tried").splitlines()
    assert page[0] == "| changed | tried, 50 steps | taken, 50 steps |"
    assert page[2] == "| reach | 4 | 2 (saves 1.5 equivalents) |"
    assert page[3] == ""  # nothing was run of the others
    assert "python -m benchmarks.calibrate" in page[-1]
    said = capsys.readouterr().out
    assert lines[2] in said and "not all of halo was tried" in said


def test_rows_replace_those_of_the_run_before_only(results):
    for what in (WHAT, WHAT | {"steps": 4}, WHAT | {"name": "other"}):
        record_tried(SEARCH, what)
    record_tried(searched(reach(BEST, False)), WHAT)
    kept = Counter((x["name"], x["steps"]) for x in rows.load("calibrate_tried"))
    assert kept == {("shapes", 4): 7, ("other", 50): 7, ("shapes", 50): 4}
    commands = [row["command"].split() for row in rows.load("calibrate_tried")]
    assert {told[2] for told in commands} == {"benchmarks.calibrate"}


def test_what_there_was_no_time_for_is_said():
    assert unfinished(searched()) == ""
    told = unfinished(searched(left=("halo", "context", "reach"), rounds=0))
    assert "not all of halo, nothing of context, reach was tried" in told
