"""Fixtures for tests of the store and of packages above it."""

import pytest


@pytest.fixture
def unsynced(monkeypatch):
    """Writes that a loss of power would undo, for tests that none of it touches: to
    wait for the disk is nearly all the time of thousands of admissions."""
    monkeypatch.setattr("os.fsync", lambda _: None)
