"""The policies that wrong sources are run with, and the counts in a row."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from benchmarks.reuse import wrong_sources
from benchmarks.reuse.bench import OWN_SEEDS
from benchmarks.reuse.tables import wrong_sources as table
from benchmarks.reuse.wrong_sources import Outcome, outcomes, right, row, ways
from chorus_jax.engine import Ledger
from chorus_jax.inter_request.policy.policies import NIRVANA, OURS, default_policy
from chorus_jax.training.world.attributes import VALUES
from configs.shapes import get_config
from tests.benchmarks.reuse.test_wrong_pairs import pair, scores


def test_a_row_counts_hits_and_harm():
    two = pair(3)
    hit, miss = (Ledger(kind, 50, 20.0) for kind in ("semantic", "miss"))
    bad = scores(**{two.changed[0]: True})
    shared = scores(**{next(x for x in VALUES if x not in two.changed): True})
    found = [
        Outcome(two, hit, bad, scores()),
        Outcome(two, hit, shared, scores()),
        Outcome(two, miss, bad, scores()),
    ]
    made = row("near", "cosine", found, OURS)
    assert (made["pairs"], made["hits"]) == (3, 2)
    assert (made["harmful"], made["misled"]) == (2, 1)
    assert made["accuracy_changed"] == pytest.approx(7 / 9)
    assert made["accuracy_changed_full"] == 1
    assert right([], []) is None


@pytest.mark.parametrize("steps", [50, 4])
def test_of_two_looks_at_one_table_nothing_else_differs(steps):
    policy = default_policy(steps)
    found = ways(policy)
    assert found["second_look"] == policy
    for name, tiers in (("", policy), ("nirvana_", NIRVANA.for_steps(steps))):
        both = [found[f"{name}{look}"] for look in ("cosine", "second_look")]
        assert [x.look.weight for x in both] == [0, policy.look.weight]
        assert {replace(x, look=policy.look) for x in both} == {
            replace(tiers, look=policy.look)
        }
    assert found["nirvana_cosine"].tiers[0].least == 0.65


def test_every_way_meets_one_source_and_the_same_noise(monkeypatch):
    asked = []

    def engine(name):
        def generate(request, reuse):
            what = reuse.namespace, request.seed, reuse.read, reuse.write
            asked.append((name, request.prompt, *what))
            ledger, video = Ledger("miss", 50, 50.0), SimpleNamespace(frames=name)
            return SimpleNamespace(ledger=ledger, video=video)

        return SimpleNamespace(generate=generate)

    monkeypatch.setattr(wrong_sources, "judge", lambda prompt, frames: {"by": frames})
    engines, two = {name: engine(name) for name in ways(OURS)}, pair(3)
    loaded = SimpleNamespace(request=get_config())
    found = dict(outcomes(engine("plain"), engines, loaded, [two]))
    assert list(found) == list(ways(OURS))
    assert {each.full["by"] for each in found.values()} == {"plain"}
    assert all(each.made["by"] == name for name, each in found.items())
    source, target = (each.prompt.caption for each in (two.source, two.target))
    assert asked[:2] == [
        ("plain", source, "pair 0", 0, False, True),
        ("plain", target, "default", OWN_SEEDS, False, False),
    ]
    assert asked[2:] == [(x, target, "pair 0", OWN_SEEDS, True, False) for x in engines]


def test_the_table_tells_tables_and_looks_apart():
    miss = Outcome(pair(3), Ledger("miss", 50, 50.0), scores(), scores())
    made = row("near", "", [miss], OURS)
    assert made["least"] == 0.65
    counts = enumerate(ways(OURS))
    rows = [
        {**made, "look": look, "hits": hits, "weights": {}} for hits, look in counts
    ]
    names = ["source", "cosine", "second_look", "nirvana_cosine", "nirvana_second_look"]
    head, _, line = table(rows).splitlines()
    assert head == f"| {' | '.join(names)} |"
    assert line == "| 50 steps, near | 0 of 0 | 0 of 1 | 0 of 2 | 0 of 3 |"
