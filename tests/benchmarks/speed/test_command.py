"""A command is run cold once, then warm from the same cache; the demo only cold."""

from pathlib import Path

import pytest

from benchmarks.speed import command


@pytest.fixture
def seen(monkeypatch):
    """The arguments and the cache of each command that would have run."""
    found = []

    def run(told, *, env, **_):
        found.append((told[3:], env["XDG_CACHE_HOME"]))
        assert Path(env["XDG_CACHE_HOME"]).is_dir()
        assert "JAX_COMPILATION_CACHE_DIR" not in env

    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    monkeypatch.setattr(command.subprocess, "run", run)
    return found


def test_one_cold_run_and_some_warm_ones_share_a_cache(seen):
    row = command.generate(4, warm=3)
    assert len(seen) == 4 and all(each == seen[0] for each in seen)
    assert seen[0][0][0] == "generate" and "4" in seen[0][0]
    assert (row["row"], row["runs"]) == ("4 steps", 3)
    assert row["cold_seconds"] >= 0 <= row["spread"]


def test_the_demo_runs_once_from_an_empty_cache(seen):
    row = command.demo()
    [(told, cache)] = seen
    assert told == ["demo", "--out", str(Path(cache) / "demo")]
    assert row.keys() == {"row", "cold_seconds"} and row["row"] == "demo"


@pytest.mark.parametrize(
    "names, expected",
    [
        (["demo"], ["demo"]),
        (["generate"], ["50 steps", "4 steps"]),
        (command.ROWS, ["50 steps", "4 steps", "demo"]),
    ],
)
def test_only_what_was_asked_for_is_timed(seen, names, expected):
    rows = command.measured(names, warm=2)
    assert [row["row"] for row in rows] == expected
    # Each has a cache of its own.
    assert len({cache for _, cache in seen}) == len(expected)
