"""A trial of the first layers, where the memory does not hold all."""

import os

import pytest

from chorus_jax import checkpoints
from chorus_jax.checkpoints import Card
from chorus_jax.devices import memory
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.parts import PARTS
from chorus_jax.training.assemble import write_model
from convert import shortened
from convert.finished import FinishedParts
from convert.trial import SHORT, trial
from tests.chorus_jax.conftest import make_tokenizer, random_part, tiny_configs


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A checkpoint folder of a tiny Wan of two layers."""
    folder, configs = tmp_path_factory.mktemp("weights"), tiny_configs()
    make_tokenizer().save_pretrained(folder / "tokenizer")
    parts = {name: random_part(PARTS[name][0], configs[name]) for name in PARTS}
    write_model(folder / "tiny", parts, folder / "tokenizer")
    return folder / "tiny"


@pytest.fixture
def one_layer(monkeypatch):
    monkeypatch.setattr(shortened, "LAYERS", 1)


def test_the_first_layers_are_those_of_the_model(weights, tmp_path, one_layer):
    shortened.shorten(weights, tmp_path / "short")
    card = Card.read(tmp_path / "short")
    depths = [
        card.part(name).config["depth"] for name in ("transformer", "text_encoder")
    ]
    assert (
        depths == [1, 1] and Card.read(weights).part("transformer").config["depth"] == 2
    )
    assert card.part("vae") == Card.read(weights).part("vae")
    short, whole = (
        checkpoints.load(folder, "transformer", WanDiT, WanConfig)
        for folder in (tmp_path / "short", weights)
    )
    kernel, every = (x.layers.attn.q.kernel[...] for x in (short, whole))
    assert kernel.shape[0] == 1 and (kernel[0] == every[0]).all()


def test_what_does_not_fit_is_tried_in_part(weights, monkeypatch, one_layer):
    parts = Card.read(weights).parts.values()
    room = 4 * sum(part.parameters for part in parts)  # and nothing for what is run
    there = os.listdir(weights.parent)
    monkeypatch.setattr(memory, "device_memory", lambda mesh: room)
    said = trial(weights)
    assert "1 frame was made of 64x64 pixels in one step by the first 1 layers" in said
    assert "of memory, but there are" in said
    monkeypatch.setattr(memory, "device_memory", lambda mesh: 1)
    assert trial(weights).startswith("nothing was run: 1 frames of 64x64 pixels need")
    assert os.listdir(weights.parent) == there
    assert not (weights / SHORT).exists()


def test_what_a_killed_trial_left_is_cleared(weights, tmp_path, monkeypatch, one_layer):
    """By the next trial, and by the next conversion to the same target."""
    parts = Card.read(weights).parts.values()
    room = 4 * sum(part.parameters for part in parts)
    monkeypatch.setattr(memory, "device_memory", lambda mesh: room)
    (weights / SHORT / "transformer").mkdir(parents=True)
    assert "by the first 1 layers" in trial(weights)
    assert not (weights / SHORT).exists()
    for name in (SHORT, "vae"):
        (tmp_path / name).mkdir()
    FinishedParts(tmp_path).add("vae", "identity", {})
    FinishedParts(tmp_path).keep_only({"vae": None})
    assert not (tmp_path / SHORT).exists() and (tmp_path / "vae").is_dir()
