"""Pairs that mislead: what differs, what counts as harm, what a row counts."""

import numpy as np
import pytest

from benchmarks.chorus_cases import Worded, with_changes
from benchmarks.wrong_sources import Misleading, Outcome, Pair, right, row
from chorus_jax.engine import Ledger
from chorus_jax.inter_request.policies import OURS
from chorus_jax.training.world.attributes import VALUES, held_out_combinations

ASKED = held_out_combinations()[0]


def pair(changes, kind="near"):
    rng = np.random.default_rng(changes)
    source = Worded.of(with_changes(ASKED, changes, rng), 5)
    return Pair(kind, Worded.of(ASKED, 5), source, 0.9)


def scores(**wrong):
    return {f"accuracy_{name}": float(name not in wrong) for name in VALUES}


def test_harm_is_wrong_where_the_two_differ_and_right_in_the_full_run():
    two = pair(3)
    changed, same = two.changed[0], next(x for x in VALUES if x not in two.changed)
    assert two.harmed(scores(**{changed: True}), scores())
    assert not two.harmed(scores(**{same: True}), scores())
    assert not two.harmed(scores(**{changed: True}), scores(**{changed: True}))


def test_a_pair_of_the_same_meaning_cannot_harm():
    assert pair(0).changed == ()
    assert not pair(0).harmed(scores(**dict.fromkeys(VALUES)), scores())


class Stub:
    """An engine that embeds by a prompt's length."""

    def prepared(self, request):
        vector = np.array([len(request.prompt), 1.0], np.float32)
        return type("Told", (), {"embedding": vector}), None, None


@pytest.mark.parametrize("kind, least", [("near", 3), ("unrelated", 5), ("wording", 0)])
def test_pairs_differ_as_their_kind_says(kind, least):
    from configs.shapes import get_config

    loaded = type("Model", (), {"request": get_config()})
    found = [
        each
        for each in Misleading(Stub(), loaded, 4).pairs(6, seed=1)
        if each.kind == kind
    ]
    assert len(found) == 6
    for each in found:
        count = len(each.changed)
        assert count >= least if kind == "near" else count == least
        assert each.source.prompt.caption != each.target.prompt.caption


def test_a_row_counts_hits_and_harm():
    two = pair(3)
    hit, miss = (Ledger(kind, 50, 20.0) for kind in ("semantic", "miss"))
    bad = scores(**{two.changed[0]: True})
    found = [
        Outcome(two, hit, bad, scores()),
        Outcome(two, hit, scores(), scores()),
        Outcome(two, miss, bad, scores()),
    ]
    made = row("near", "cosine", found, OURS)
    assert (made["pairs"], made["hits"], made["harmful"]) == (3, 2, 1)
    assert made["accuracy_changed"] == pytest.approx(7 / 9)
    assert made["accuracy_changed_full"] == 1
    assert right([], []) is None
