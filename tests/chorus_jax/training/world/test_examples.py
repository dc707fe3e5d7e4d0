"""Examples and prompts: held-out combinations are in evaluation only."""

import collections

import numpy as np

from chorus_jax.training.world.attributes import held_out_combinations, is_held_out
from chorus_jax.training.world.examples import (
    prompts,
    training_example,
    training_pair,
)
from chorus_jax.training.world.scene import World

SMALL = World(48, 48, 5)


def test_training_sees_nothing_that_is_held_out():
    examples = [training_example(seed, SMALL) for seed in range(300)]
    examples += [training_pair(seed, SMALL) for seed in range(60)]
    for example in examples:
        assert not any(map(is_held_out, example.prompt.attributes))
    assert any(example.prompt.attributes[0].size is None for example in examples[:300])


def test_examples_come_from_the_seed():
    ours, same, other = (training_example(seed, SMALL) for seed in (4, 4, 5))
    assert ours.prompt == same.prompt != other.prompt
    np.testing.assert_array_equal(ours.video, same.video)


def test_a_generator_streams_new_examples():
    rng = np.random.default_rng(0)
    captions = {training_example(rng, SMALL).prompt.caption for _ in range(50)}
    assert len(captions) > 45


def test_pairs_differ_in_colour_and_share_a_ground():
    for seed in range(30):
        first, second = training_pair(seed, SMALL).prompt.attributes
        assert first.colour != second.colour
        assert first.background == second.background


def test_prompts_spread_evenly_over_the_pool():
    pool = held_out_combinations()
    found = prompts(pool, 2 * len(pool), seed=0)
    counts = collections.Counter(p.attributes[0].unsized() for p in found)
    assert set(counts.values()) == {4}
    assert all(is_held_out(p.attributes[0]) for p in found)
    assert found == prompts(pool, 2 * len(pool), seed=0)
    assert len({p.caption for p in found}) > 0.9 * len(found)
