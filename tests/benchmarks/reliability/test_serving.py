"""The attacks at their smallest: they count, and find nothing."""

from dataclasses import replace

import pytest

from benchmarks.reliability import churn, contention, damage, entries, kills
from benchmarks.reliability.serving import prompt
from chorus_jax.inter_request.store import Store


@pytest.mark.parametrize(
    "attack",
    [
        lambda folder: kills.kills(folder, 1),
        lambda folder: damage.flips(folder, 499),
        lambda folder: damage.cuts(folder, 997),
        lambda folder: contention.threads(folder, 2, 5),
        lambda folder: contention.processes(folder, 2, 2),
        lambda folder: churn.admissions(folder, 30),
    ],
    ids=["kills", "flips", "cuts", "threads", "processes", "admissions"],
)
def test_nothing_is_lost_wrong_or_stuck(attack, tmp_path):
    outcome = attack(tmp_path / "store")
    assert outcome.tries > 0
    assert (outcome.lost, outcome.wrong, outcome.stuck) == (0, 0, 0)


def test_a_wrong_entry_is_counted(tmp_path, monkeypatch):
    """The counts can be other than 0."""
    with Store(0, folder=tmp_path, disk_bytes=2**24) as store:
        store.admit(entries.made(0))
        entry = store.get(entries.made(0).id, entries.NAMESPACE)
        assert entries.right(entry)
    assert not entries.right(replace(entry, score=0.5))
    monkeypatch.setattr(damage, "right", lambda entry: False)
    assert damage.cuts(tmp_path / "d", 10**9).wrong > 0


def test_there_are_twenty_prompts():
    assert len({prompt(number) for number in range(200)}) == 20
