"""Both indexes against a dictionary, by thousands of changes that hypothesis draws.

ScaNN's searchers are built, outdated and built anew meanwhile, and it is counted how
often one answered: exact search alone would pass for both.
"""

from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from chorus_jax.inter_request.index import ExactIndex, Rebuilds, ScannIndex

WIDTH, NAMES, ROUNDING = 8, 300, 1e-6
OFTEN = Rebuilds(least=30, growth=0.2)
RUNS = settings(max_examples=30, stateful_step_count=40)
seeds, firsts = st.integers(0, 2**32 - 1), st.integers(0, NAMES - 1)
sizes = st.integers(1, 8) | st.integers(1, 80)


@dataclass
class Tally:
    """What a run did: changes, searches, those that a searcher answered and of these
    those amid changes, and how many of the nearest were wanted of it and missed."""

    changes: int = 0
    searches: int = 0
    answered: int = 0
    amid_changes: int = 0
    wanted: int = 0
    missed: int = 0


class Watched(ScannIndex):
    """Tells which ids had changed since the searcher was built that answered the last
    search, None if none did."""

    changed = None

    def __init__(self, width, rebuilds=OFTEN):
        super().__init__(width, rebuilds)

    def search(self, vector, count, least=-1.0):
        self.changed = None
        return super().search(vector, count, least)

    def _near(self, unit, count, least):
        near = super()._near(unit, count, least)
        if near is not None:
            self.changed = set(self._built.changed)
        return near


class Changes(RuleBasedStateMachine):
    """An index and the vectors that it should hold."""

    def __init__(self, kind, tally):
        super().__init__()
        self.tally, self.index, self.known = tally, kind(WIDTH), {}

    @initialize(seed=seeds, growth=st.sampled_from([0.2, 2.0]))
    def begin(self, seed, growth):
        # With the larger one a searcher serves until next to nothing in it is valid.
        self.index.rebuilds = Rebuilds(OFTEN.least, growth)
        self.add(0, 150, seed, 0)

    @rule(first=firsts, count=sizes, seed=seeds, taken_back=st.integers(0, 2))
    def add(self, first, count, seed, taken_back):
        vectors = np.random.default_rng(seed).standard_normal((count, WIDTH))
        for id, vector in zip(names(first, count), vectors, strict=True):
            self.index.add(id, vector)
            self.known[id] = vector / np.linalg.norm(vector)
        self.counted(count)
        self.remove(first, taken_back)

    @rule(first=firsts, count=sizes)
    def remove(self, first, count):
        for id in names(first, count):
            assert self.index.remove(id) == (self.known.pop(id, None) is not None)
            assert id not in self.index
        self.counted(count)

    @rule(seed=seeds, count=st.integers(1, 12), settled=st.booleans())
    def search(self, seed, count, settled):
        if settled and isinstance(self.index, ScannIndex):
            self.index.wait()
        rng, tally = np.random.default_rng(seed), self.tally
        for vector in rng.standard_normal((3, WIDTH)):
            found = self.index.search(vector, count)
            missed = self.missed(found, vector / np.linalg.norm(vector), count)
            changed = getattr(self.index, "changed", None)
            tally.searches += 1
            if changed is None:
                assert not missed
            else:
                assert not missed & changed
                tally.answered += 1
                tally.amid_changes += bool(changed)
                tally.wanted += len(found)
                tally.missed += len(missed)

    def counted(self, changes):
        self.tally.changes += changes
        assert len(self.index) == len(self.known)

    def missed(self, found, unit, count):
        """Which of the nearest are not among these, that are all as they are now."""
        ids, told = [m.id for m in found], [m.similarity for m in found]
        assert len(set(ids)) == len(ids) == min(count, len(self.known))
        assert found == sorted(found, key=lambda match: (-match.similarity, match.id))
        assert set(ids) <= self.known.keys()
        if not ids:
            return set()
        true = dict(zip(self.known, np.stack([*self.known.values()]) @ unit))
        np.testing.assert_allclose(told, [true[id] for id in ids], atol=ROUNDING)
        last = sorted(true.values())[-len(ids)]
        return {id for id in true if true[id] > last + ROUNDING} - set(ids)

    def teardown(self):
        # Not every drawn sequence has a search.
        for settled in (False, True):
            self.search(seed=len(self.known), count=10, settled=settled)
        self.index.close()


def names(first, count):
    """Ids in an order of their own."""
    return [f"id{(first + 7 * i) % NAMES}" for i in range(count)]


@pytest.mark.parametrize("kind", [ExactIndex, Watched], ids=["exact", "scann"])
def test_thousands_of_changes_against_a_dictionary(kind):
    tally = Tally()
    machine = partial(Changes, kind, tally)
    run_state_machine_as_test(machine, settings=RUNS)
    assert tally.changes > 4000 and tally.searches > 200
    if kind is Watched and find_spec("scann") is not None:
        assert tally.answered > 100 and tally.amid_changes > 50
        assert tally.missed < 0.02 * tally.wanted
