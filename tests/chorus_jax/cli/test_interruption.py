"""Ctrl-C at any moment, and SIGTERM: one line, nothing half-written."""

import os
import random
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

CHORUS = [sys.executable, "-m", "chorus_jax"]
CHANCE = random.Random(2)
MOMENTS = [round(CHANCE.uniform(0.3, 9), 1) for _ in range(2)]


def interrupted(command, seconds, folder, number=signal.SIGINT, **variables):
    """The process of a command that was sent a signal, SIGINT if none is named."""
    env, pipe = {**os.environ, **variables}, subprocess.PIPE
    # A shell may have started us with it ignored, which a child would inherit.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command, cwd=folder, env=env, text=True, stdout=pipe, stderr=pipe
    )
    signal.signal(signal.SIGINT, handler)
    time.sleep(seconds)
    process.send_signal(number)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    return process.returncode, err, time.monotonic() - began


@pytest.mark.parametrize("seconds", MOMENTS)
def test_at_any_moment(seconds, tmp_path):
    """Cold: it imports, compiles, runs or writes."""
    folder = tmp_path / "here"
    folder.mkdir()
    command = [*CHORUS, "generate", "a", "b", "c", "--cache", "cache", "--count", "9"]
    cold = {"XDG_CACHE_HOME": str(tmp_path / "xdg")}
    status, err, took = interrupted(command, seconds, folder, **cold)
    # That there is no policy is said as soon as the weights are loaded.
    warnings = [line for line in err.splitlines() if line.startswith("WARNING: no p")]
    assert err.splitlines() == [*warnings, "chorus: stopped"] and len(warnings) < 2
    assert status == 130 and took < 20
    assert not [path for path in folder.rglob(".*")]


# The main thread is in a call that does not return.
BUSY = """
import pathlib, sys, time
from chorus_jax.cli.interruption import Interruption
interruption = Interruption()
interruption.install()
interruption.cleanups.append(lambda: 1 / 0)
interruption.cleanups.append(lambda: pathlib.Path("cleaned").touch())
try:
    time.sleep(60)
finally:
    print("never here")
"""


def test_cleanups_run_and_none_stops_the_end(tmp_path):
    status, err, took = interrupted([sys.executable, "-c", BUSY], 1, tmp_path)
    assert (status, err) == (130, "chorus: stopped\n") and took < 5
    assert (tmp_path / "cleaned").exists()


def test_a_preempted_process_ends_in_the_same_way(tmp_path):
    command = [sys.executable, "-c", BUSY]
    status, err, took = interrupted(command, 1, tmp_path, signal.SIGTERM)
    assert (status, err) == (143, "chorus: stopped\n") and took < 5
    assert (tmp_path / "cleaned").exists()


def test_another_signal_that_a_library_handles_ends_nothing(tmp_path):
    """Every signal with a handler of Python's wakes the thread that waits."""
    own = "signal.signal(signal.SIGUSR1, lambda *_: None)\n"
    code = BUSY.replace("time.sleep(60)", "time.sleep(2)")
    command = [sys.executable, "-c", "import signal\n" + own + code]
    status, _, _ = interrupted(command, 1, tmp_path, signal.SIGUSR1)
    assert status == 0


def test_a_process_that_ignores_it_goes_on(tmp_path):
    code = BUSY.replace("time.sleep(60)", "time.sleep(2)")
    ignoring = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);" + code
    )
    status, _, _ = interrupted([sys.executable, "-c", ignoring], 1, tmp_path)
    assert status == 0


def test_what_is_half_written_goes(tmp_path, monkeypatch):
    from chorus_jax.cli import cleanups
    from chorus_jax.media import writing

    with writing.aside(tmp_path / "v.mp4", keep=False) as part:
        part.touch()
        cleanups.half_written_videos(tmp_path)()
        assert not part.parent.exists()
    partial = tmp_path / ".model.partial"
    partial.mkdir()
    cleanups.half_written_checkpoint(tmp_path / "model")()
    assert not partial.exists()
    (tmp_path / "lock").touch()
    (tmp_path / ".a.record.0.partial").touch()
    cleanups.half_written_records(tmp_path)()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_programs_just_compiled_go(tmp_path, monkeypatch):
    from chorus_jax.cli import cleanups
    from chorus_jax.devices import compilation
    from chorus_jax.devices.compilation import cache_folder

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache_folder().mkdir(parents=True)
    for name in ("old-cache", "new-cache"):
        (cache_folder() / name).touch()
    os.utime(cache_folder() / "old-cache", (1, 1))
    monkeypatch.setattr(compilation, "jax", SimpleNamespace(config=None))
    cleanups.half_written_programs()
    assert [path.name for path in cache_folder().iterdir()] == ["old-cache"]


def test_programs_go_from_the_folder_that_jax_has_set(tmp_path, monkeypatch):
    from chorus_jax.cli import cleanups

    (tmp_path / "new-cache").touch()
    monkeypatch.setattr(cleanups, "programs_folder", lambda: tmp_path)
    cleanups.half_written_programs()
    assert not list(tmp_path.iterdir())
