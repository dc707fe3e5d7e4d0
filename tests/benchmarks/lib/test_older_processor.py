"""Programs limited to the instructions of an older processor."""

import os
import sys

import pytest

from benchmarks.lib import older_processor


@pytest.fixture
def started(monkeypatch):
    """The programs that were started in place of this one."""
    made = []
    monkeypatch.delenv(older_processor.NAME, raising=False)
    monkeypatch.setattr(os, "execve", lambda *given: made.append(given))
    return made


def test_the_same_command_is_started_with_the_settings(started, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_some=1")
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "a.benchmark", "--rounds"])
    older_processor.limit("avx2")
    [(program, arguments, environment)] = started
    assert program == sys.executable
    assert arguments == [sys.executable, "-m", "a.benchmark", "--rounds"]
    assert environment["XLA_FLAGS"] == "--xla_some=1 --xla_cpu_max_isa=AVX2"
    assert environment["ATEN_CPU_CAPABILITY"] == "avx2"
    assert environment[older_processor.NAME] == "avx2"


def test_without_a_limit_and_within_it_the_program_goes_on(started, monkeypatch):
    older_processor.limit(None)
    monkeypatch.setenv(older_processor.NAME, "avx2")
    older_processor.limit("avx2")
    assert not started and older_processor.limited() == "avx2"
