"""The scheduler that is exported, with and without one in the checkpoint."""

from dataclasses import replace

import pytest

from chorus_jax.families.ltx.outlines import CARDS as LTX
from chorus_jax.families.registry import FAMILIES
from convert import ltx_source
from convert.families import WAN_SCHEDULER
from convert.scheduler_config import scheduler_config

SHIFTS = {
    "Wan 2.1 T2V-1.3B": 8.0,
    "Wan 2.1 T2V-14B": 5.0,
    "Wan 2.1 I2V-14B-480P": 3.0,
    "Wan 2.1 FLF2V-14B-720P": 16.0,
    "Wan 2.2 T2V-A14B": 12.0,
    "Wan 2.2 I2V-A14B": 5.0,
    "Wan 2.2 TI2V-5B": 5.0,
}


@pytest.mark.parametrize("name", SHIFTS)
def test_the_shift_is_the_published_one(name, tmp_path):
    card = FAMILIES["wan"].card(name)
    assert card.scheduler is None
    card.write(tmp_path)
    want = {**WAN_SCHEDULER, "flow_shift": SHIFTS[name]}
    assert scheduler_config(tmp_path, "transformer") == want


def test_another_model_has_the_shift_of_diffusers_converter(tmp_path):
    card = FAMILIES["wan"].card("Wan 2.1 T2V-14B")
    part = card.part("transformer")
    other = replace(part, config={**part.config, "depth": 39})
    replace(card, parts={**card.parts, "transformer": other}).write(tmp_path)
    assert scheduler_config(tmp_path, "transformer") == WAN_SCHEDULER


def test_the_scheduler_of_the_weights_stays(tmp_path):
    own = {**WAN_SCHEDULER, "flow_shift": 7.0}
    card = replace(FAMILIES["wan"].card("Wan 2.2 TI2V-5B"), scheduler=own)
    card.write(tmp_path)
    assert scheduler_config(tmp_path, "transformer") == own


def test_an_ltx_without_a_scheduler(tmp_path):
    LTX["LTX-Video 2B 0.9.1"]().write(tmp_path)
    assert scheduler_config(tmp_path, "transformer") == ltx_source.SCHEDULER
