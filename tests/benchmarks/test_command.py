"""A command is run cold once, then warm from the same cache."""

from pathlib import Path

from benchmarks import command


def test_one_cold_run_and_some_warm_ones_share_a_cache(monkeypatch):
    seen = []

    def run(told, *, env, **_):
        seen.append((told[-3], env["XDG_CACHE_HOME"]))
        assert Path(env["XDG_CACHE_HOME"]).is_dir()
        assert "JAX_COMPILATION_CACHE_DIR" not in env

    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    monkeypatch.setattr(command.subprocess, "run", run)
    row = command.measured(4, warm=3)
    assert len(seen) == 4 and len(set(seen)) == 1 and seen[0][0] == "4"
    assert (row["row"], row["runs"]) == ("4 steps", 3)
    assert row["cold_seconds"] >= 0 <= row["spread"]
