"""The shipped weights: their records, their parts and their size."""

import shutil
from dataclasses import asdict

import pytest

from chorus_jax.checkpoints import Card, digested, load, shipped
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.wan.parts import PARTS
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.text.cleaning import clean
from chorus_jax.text.prompts import Tokenizer
from chorus_jax.training.recipes import RECIPES
from chorus_jax.training.tokenizer import vocabulary_size
from chorus_jax.training.world.captions import vocabulary
from configs import shapes, shapes_4step

MEGABYTE = 10**6
# What training sets, and what a folder is stored in.
MEASURED = {
    "vae": {"latents_mean", "latents_std", "dtype"},
    "text_encoder": {"vocab", "dtype"},
    "transformer": {"dtype"},
}


@pytest.fixture(scope="module")
def folder():
    return shipped.folder(shapes.WEIGHTS)


@pytest.fixture(scope="module")
def card(folder):
    return Card.read(folder)


def test_the_recorded_fingerprint_is_that_of_the_card_and_of_the_files(folder, card):
    assert card.fingerprint == shapes.FINGERPRINT
    for name, part in card.parts.items():
        kind = PARTS.get(name, PARTS[TRANSFORMER])
        assert digested(load(folder, name, *kind)) == part.fingerprint


def test_there_are_both_transformers_and_nothing_unknown(card):
    parts = {"transformer", "transformer_4step", "text_encoder", "vae"}
    assert set(card.parts) == parts
    both = [card.part(name) for name in (TRANSFORMER, shapes_4step.TRANSFORMER)]
    assert both[0].config == both[1].config
    assert both[0].fingerprint != both[1].fingerprint


@pytest.mark.parametrize("transformer", [TRANSFORMER, shapes_4step.TRANSFORMER])
def test_the_sizes_are_those_of_the_recipe(folder, transformer):
    sizes, recipe = Sizes.read(folder, transformer), RECIPES["shapes"]()
    for part, measured in MEASURED.items():
        ours, theirs = (asdict(getattr(x, part)) for x in (sizes, recipe))
        assert {k for k in ours if ours[k] != theirs[k]} <= measured
    assert sizes.text_encoder.vocab == vocabulary_size(vocabulary())
    assert set(sizes.vae.latents_std) != {1.0}
    request = shapes.get_config()
    assert sizes.latent_shape(request) == sizes.latent_shape(shapes_4step.get_config())
    assert (request.frames, request.height, request.width) == (
        recipe.world.frames,
        recipe.world.height,
        recipe.world.width,
    )


def test_every_word_of_the_world_is_known(folder):
    limit = RECIPES["shapes"]().transformer.text_limit
    tokenizer = Tokenizer.load(folder / "tokenizer", limit, clean=clean)
    first = tokenizer(["xyzzy", *vocabulary()]).ids[:, 0]
    assert first[0] not in first[1:]
    assert len(set(first)) == len(vocabulary()) + 1


def test_it_is_small_enough_for_everyone_who_clones(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 30 * MEGABYTE
    assert all(".orbax" not in path.name for path in files)


@pytest.mark.parametrize("part", ["transformer", "transformer_4step", "vae"])
def test_one_changed_byte_is_noticed(folder, part, tmp_path):
    copy = tmp_path / "shapes"
    shutil.copytree(folder, copy)
    blocks = [path for path in (copy / part).glob("*/*") if path.name[0] != "."]
    largest = max(blocks, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    transformer = part if part != "vae" else TRANSFORMER
    with pytest.raises(ValueError, match="changed or damaged"):
        Pipeline.load(copy, transformer=transformer)


def test_an_installation_without_weights_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "ROOT", tmp_path)
    assert shipped.names() == []
    with pytest.raises(ValueError, match="whole checkout, or give --weights DIR"):
        shipped.folder()
    (tmp_path / "mine").mkdir()
    assert shipped.names() == ["mine"] and shipped.folder("mine") == tmp_path / "mine"
    with pytest.raises(ValueError, match="no weights 'shapes' came"):
        shipped.folder()


def test_a_model_is_located_by_name_and_by_path(folder, tmp_path):
    assert shipped.locate("shapes") == folder
    assert shipped.locate(str(tmp_path)) == shipped.locate(tmp_path) == tmp_path
    with pytest.raises(
        ValueError, match=r"'shape' is neither a file, a folder .*\(shapes\)"
    ):
        shipped.locate("shape")
    with pytest.raises(ValueError, match="'' is neither"):
        shipped.locate("")
