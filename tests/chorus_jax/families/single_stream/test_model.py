"""Loading a model's parts: what is refused before any is read."""

from dataclasses import replace
from pathlib import Path

import jax
import pytest

from chorus_jax.devices import sharding
from chorus_jax.families.outlines import made_card
from chorus_jax.families.protocols import LoadOptions
from chorus_jax.families.single_stream.model import load_parts
from chorus_jax.families.wan.parts import PARTS
from tests.chorus_jax.conftest import tiny_configs


def test_a_mesh_that_does_not_divide_a_later_part_is_refused_before_the_first():
    configs = tiny_configs()
    configs["text_encoder"] = replace(configs["text_encoder"], heads=3)
    parts = {name: (PARTS[name][0], config) for name, config in configs.items()}
    card = made_card("wan", parts, {})
    mesh = sharding.make_mesh(tensor=2, devices=jax.devices()[:2])
    folder, names = Path("there is none"), {name: name for name in PARTS}
    with pytest.raises(ValueError, match="bias.table .* over tensor=2"):
        load_parts(folder, card, PARTS, names, LoadOptions(mesh=mesh))
