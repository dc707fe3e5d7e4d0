"""The regions that are timed, the share of tiles that each runs, and its row."""

import pytest

from benchmarks.lib.timing import Timing
from benchmarks.reuse.regions import CASES, EARLY, LATE, WHOLE, row, timed
from benchmarks.reuse.tables import TABLES

TILES = 320
COMPUTED = {
    "active_0.25": 0.25,
    "active_0.5": 0.5,
    "active_0.75": 0.75,
    "active_0.5_halo": (120 + 40 / 2) / TILES,  # the halo in half of the steps
    "active_0.5_sampled": (160 + 20) / TILES,
    "active_0.5_dropped": 0.5,
}


def test_every_case_runs_what_it_says():
    assert {name: case.computed for name, case in CASES.items()} == pytest.approx(
        COMPUTED
    )
    region = CASES["active_0.5_halo"].plan(EARLY).region
    assert (region.core, region.halo) == (120, 40)
    contexts = {case.plan(LATE).region.context for case in CASES.values()}
    assert contexts == {"held", "sampled", "dropped"}


def test_a_region_step_is_over_the_share_that_is_run():
    """Whole: steps of 1 s. The part: one of 1 s and .25 s once, others of .5 s."""
    name = "active_0.5_sampled"
    seconds = {
        timed(WHOLE, EARLY): 13.0,
        timed(WHOLE, LATE): 5.0,
        timed(name, EARLY): 7.25,
        timed(name, LATE): 3.25,
    }
    times = {key: Timing((value, value)) for key, value in seconds.items()}
    made = row(name, CASES[name], times)
    assert (made["baseline_seconds"], made["seconds"], made["ratio"]) == (1, 0.5, 0.5)
    assert made["once_seconds"] == 0.25
    assert made["over_share"] == pytest.approx(0.5 / 0.5625)
    assert made["computed"] == 0.5625 and made["tokens"] == 1280
    shown = TABLES["regions"].draw([made]).splitlines()[-1]
    assert shown == "| sampled, 0.5 active | 0.5 | 0.5 | 0.889 | 0.25 |"


def test_rows_of_before_are_drawn_too():
    old = {"active": 0.5, "tokens": 1280, "seconds": 0.2, "baseline_seconds": 0.4}
    rows = [{**old, "ratio": 0.5, "over_share": 1.0}]
    shown = TABLES["regions"].draw(rows).splitlines()[-1]
    assert shown == "| 0.5 active | 0.2 | 0.5 | 1 |  |"
