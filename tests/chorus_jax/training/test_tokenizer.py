"""The tokenizer knows every word of the world and cuts nothing."""

import numpy as np
import pytest

from chorus_jax.training.tokenizer import make_tokenizer, vocabulary_size
from chorus_jax.training.world.captions import vocabulary
from chorus_jax.training.world.examples import training_pair
from chorus_jax.training.world.scene import World


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("t") / "words", vocabulary(), 32)


def test_texts_end_and_are_padded(tokenizer):
    tokens = tokenizer(["", "A red circle, still.", "zebra"])
    assert tokens.ids[0, :2].tolist() == [1, 0] and tokens.mask.sum(1)[0] == 1
    assert tokens.mask.sum(1)[1] == 5 and tokens.ids[1, 4] == 1
    assert tokens.ids[2, :2].tolist() == [2, 1]
    assert tokens.ids.shape == (3, 32)


def test_every_caption_is_known_and_fits(tokenizer):
    world = World(48, 48, 5)
    captions = [training_pair(seed, world).prompt.caption for seed in range(50)]
    tokens = tokenizer(captions)
    assert not any(tokens.cut)
    assert not (tokens.ids == 2).any()
    assert tokens.ids.max() < vocabulary_size(vocabulary())


def test_words_have_ids_of_their_own(tokenizer):
    words = list(vocabulary())
    tokens = tokenizer(words)
    assert len(np.unique(tokens.ids[:, 0])) == len(words)
