"""Batches are functions of the seed and their number."""

import numpy as np
import pytest

from chorus_jax.training.data import Clips, Crops, Encoded, reworded
from chorus_jax.training.world.attributes import Attributes
from chorus_jax.training.world.scene import World

CLIPS = Clips(World(48, 48, 5), pairs=0.5, seed=3)


def test_clips_come_again():
    assert (CLIPS(7).video == CLIPS(7).video).all()
    assert not (CLIPS(7).video == CLIPS(8).video).all()
    objects = [len(CLIPS(i).prompt.attributes) for i in range(20)]
    assert 3 < objects.count(2) < 17


def test_crops_are_parts_of_their_clips():
    crops = Crops(CLIPS, batch=2, frames=5, side=16)
    batch = crops(4)
    assert batch.shape == (2, 5, 16, 16, 3) and batch.dtype == np.uint8
    assert (batch == crops(4)).all()
    whole = Crops(CLIPS, batch=1, frames=5, side=48)
    assert (whole(9)[0] == CLIPS(9).video).all()


def test_encoded_clips_are_complete_or_refused(tmp_path):
    encoded, one = Encoded(tmp_path), Attributes("red", "star", None, "up", "gray")
    latents = encoded.create("latents", 2, (1, 2, 2, 3))
    encoded.create("structure", 2, (1, 2, 2, 12))[:] = 2.0
    latents[0] = 1.0
    encoded.add([(one,)])
    with pytest.raises(ValueError, match="encode"):
        encoded.latents()
    again = encoded.create("latents", 2, (1, 2, 2, 3))
    assert (again[0] == 1.0).all()
    encoded.add([(one, one)])
    assert encoded.latents().shape == (2, 1, 2, 2, 3)
    assert (encoded.structure() == 2).all()
    with pytest.raises(ValueError, match="encode"):
        encoded.chances()
    # Else it would be taken for written, and be zero.
    with pytest.raises(ValueError, match="no chances.npy"):
        encoded.create("chances", 2, (11,))
    assert encoded.attributes() == [(one,), (one, one)]


def test_captions_are_worded_anew():
    asked = (Attributes("red", "star", None, "up", "gray"),)
    words = {reworded(asked, np.random.default_rng(seed)) for seed in range(20)}
    assert len(words) > 15
