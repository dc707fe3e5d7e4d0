"""The rate over a deadline's time."""

import time

import pytest

from chorus_jax.training.deadline import Deadline


@pytest.mark.parametrize(
    "gone, rate", [(0.1, 1.0), (0.6, 1.0), (0.8, 0.5), (0.9, 0.25), (1.2, 0.0)]
)
def test_it_falls_at_the_end(monkeypatch, gone, rate):
    deadline = Deadline(100.0, decay=0.4, began=50.0)
    monkeypatch.setattr(time, "monotonic", lambda: 50 + 100 * gone)
    assert deadline.rate() == pytest.approx(rate)


@pytest.mark.parametrize("seconds, decay", [(0.0, 0.3), (10.0, 0.0), (10.0, 1.5)])
def test_impossible_ones_are_refused(seconds, decay):
    with pytest.raises(ValueError, match="deadline"):
        Deadline(seconds, decay)
