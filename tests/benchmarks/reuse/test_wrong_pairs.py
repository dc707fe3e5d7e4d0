"""Misleading pairs: how they differ, and what misleads."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.reuse.cases import Worded, with_changes
from benchmarks.reuse.wrong_pairs import Misleading, MisleadingPair
from chorus_jax.training.world.attributes import VALUES, held_out_combinations
from configs.shapes import get_config

ASKED = held_out_combinations()[0]


def pair(changes, kind="near"):
    rng = np.random.default_rng(changes)
    source = Worded.of(with_changes(ASKED, changes, rng), 5)
    return MisleadingPair(kind, Worded.of(ASKED, 5), source, 0.9)


def scores(**wrong):
    return {f"accuracy_{name}": float(name not in wrong) for name in VALUES}


def test_a_source_misleads_only_where_it_differs():
    two = pair(3)
    changed, same = two.changed[0], next(x for x in VALUES if x not in two.changed)
    for name in (changed, same):
        wrong = scores(**{name: True})
        assert two.misled(wrong, scores()) == (name == changed)
        assert not two.misled(wrong, wrong)
    assert not pair(0).misled(scores(**dict.fromkeys(VALUES)), scores())


class Stub:
    """An engine that embeds by a prompt's length."""

    def query(self, request):
        vector = np.array([len(request.prompt), 1.0], np.float32)
        return SimpleNamespace(embedding=vector)


@pytest.mark.parametrize(
    "kind, least", [("word", 1), ("near", 3), ("unrelated", 5), ("wording", 0)]
)
def test_pairs_differ_as_their_kind_says(kind, least):
    misleading = Misleading(Stub(), get_config(), 4)
    found = [each for each in misleading.pairs(6, seed=1) if each.kind == kind]
    assert len(found) == 6
    for each in found:
        count = len(each.changed)
        assert count >= least if kind == "near" else count == least
        assert each.source.prompt.caption != each.target.prompt.caption
