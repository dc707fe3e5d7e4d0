"""Published models without weights: sizes, and that they are what they are named."""

import math

import jax
import pytest

from chorus_jax.families.registry import FAMILIES

# Parameters of the transformers, in thousands of millions.
SIZES = {
    "Wan 2.1 T2V-1.3B": 1.42,
    "Wan 2.1 T2V-14B": 14.3,
    "Wan 2.1 I2V-14B-480P": 16.4,
    "Wan 2.2 I2V-A14B": 14.3,
    "Wan 2.2 TI2V-5B": 5.0,
    "LTX-Video 2B 0.9.1": 1.92,
    "LTX-Video 13B 0.9.8-dev": 13.0,
    "LTX-2 19B dev": 18.9,
}


def family_of(name):
    return next(family for family in FAMILIES.values() if name in family.published)


@pytest.mark.parametrize("name", SIZES)
def test_the_transformer_has_the_published_size(name):
    family = family_of(name)
    outline = family.outline(family.card(name))
    leaves = jax.tree.leaves(outline.parts["transformer"])
    assert all(isinstance(x, jax.ShapeDtypeStruct) for x in leaves)
    count = sum(math.prod(x.shape) for x in leaves) / 1e9
    assert count == pytest.approx(SIZES[name], rel=0.02)


def test_two_experts_and_an_image_tower_are_parts():
    wan = FAMILIES["wan"]
    assert "transformer_2" in wan.card("Wan 2.2 T2V-A14B").parts
    tower = wan.card("Wan 2.1 I2V-14B-480P")
    assert "image_encoder" in tower.parts and wan.outline(tower).reads_image


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_an_unknown_name_lists_the_known(family):
    with pytest.raises(ValueError, match="no published model is 'x': known are"):
        family.card("x")
