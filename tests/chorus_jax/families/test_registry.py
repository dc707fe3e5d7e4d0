"""The families that there are."""

import json

import pytest

from chorus_jax.families import registry
from chorus_jax.families.protocols import Family, LoadOptions, VideoModel


def test_all_that_are_listed_are_families():
    for name, family in registry.FAMILIES.items():
        assert isinstance(family, Family) and family.name == name


def test_a_folder_is_loaded_by_its_family(weights):
    assert registry.family_of(weights).name == "wan"
    model = registry.load(weights, LoadOptions())
    assert isinstance(model, VideoModel) and model.family == "wan"


def test_an_unknown_family_is_refused(weights, tmp_path):
    card = json.loads((weights / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**card, "family": "toy"}))
    for read in (registry.family_of, registry.load):
        with pytest.raises(ValueError, match="family 'toy', which .* it knows wan"):
            read(tmp_path)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no model.json"):
        registry.family_of(tmp_path)
