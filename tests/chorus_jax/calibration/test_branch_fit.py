"""BAC's fit: updates where outputs change, and the bubbling of volatile layers."""

import numpy as np
import pytest

from chorus_jax.calibration.branch_fit import BranchRecorder, BranchSimilarity, measured
from chorus_jax.denoise.state import RunState

NAMES, STEPS = ("self_attention", "mlp"), 8


def outputs_of(*phases):
    """An output [1 steps 1 k c] that is a new one at each of these steps."""
    rng, now = np.random.default_rng(0), np.zeros((2, 3))
    record = np.zeros((1, STEPS, 1, 2, 3))
    for i in range(STEPS):
        if i in (0, *phases):
            now = rng.normal(size=(2, 3))
        record[0, i, 0] = now
    return record


def runs(*records):
    """The figures of runs with one expert, by their records."""
    return [measured(ended((record,))) for record in records]


def ended(caches):
    """The last state of a run, of which only the records count here."""
    return RunState(*(None,) * len(RunState._fields))._replace(caches=caches)


def test_a_branch_is_updated_where_its_output_changes():
    record = (outputs_of(3, 5), outputs_of(1, 6))
    cache = BranchSimilarity.of(runs(record, record), NAMES).cache(3)
    assert cache.updates == (((0, 3, 5), (0, 1, 6)),) and cache.of == STEPS


def test_volatile_layers_are_updated_with_later_feed_forward_branches_too():
    """A stale early output would be as wrong as ever when a later one is updated."""
    still = outputs_of()
    wild = [outputs_of(1, 3), outputs_of(2, 4)]
    outputs = np.concatenate([*wild, *[still] * 6], axis=2)
    cache = BranchSimilarity.of(runs((outputs, outputs)), NAMES).cache(3)
    own, bubbled = zip(*cache.updates)
    assert own[:2] == ((0, 1, 3), (0, 2, 4))
    assert {0, 1, 2, 3, 4} <= set(bubbled[0])
    assert set(own[1]) | set(own[2]) <= set(bubbled[1])
    assert bubbled[-1] == own[-1]


def test_nothing_is_reused_across_a_second_expert():
    still = (outputs_of(), outputs_of())
    cache = BranchSimilarity.of(runs(still), NAMES, switch=5).cache(2)
    assert cache.updates == (((0, 5), (0, 5)),)


def test_records_of_two_experts_are_put_together():
    whole = outputs_of(3)
    first, second = whole.copy(), whole.copy()
    first[:, 5:], second[:, :5] = 0.0, 0.0
    halves = [measured(ended(((first, first), (second, second))))]
    together, apart = (
        BranchSimilarity.of(x, NAMES).cosines for x in (runs((whole, whole)), halves)
    )
    np.testing.assert_allclose(apart, together)


@pytest.mark.parametrize("tokens, kept", [(4, 4), (1000, 64)])
def test_tokens_are_sampled_from_end_to_end(tokens, kept):
    places = BranchRecorder(STEPS).places(np.zeros((1, 1, tokens, 1)))
    assert len(places) == kept and (places[0], places[-1]) == (0, tokens - 1)
