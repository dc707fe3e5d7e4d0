"""The parts that fit an LTX-Video."""

from dataclasses import replace

import pytest

from chorus_jax.families.ltx.config import LTXConfig
from chorus_jax.families.ltx.sizes import LTXSizes
from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from chorus_jax.nets.t5 import T5Config


def test_a_umt5_in_place_of_t5_is_refused():
    parts, umt5 = (LTXConfig.b2(), LTXVAEConfig.v091()), T5Config.umt5_xxl()
    assert LTXSizes(*parts, T5Config.t5_xxl()).text_encoder.vocab == 32128
    with pytest.raises(ValueError, match="it is a umT5 .* but LTX-Video reads T5-XXL"):
        LTXSizes(*parts, umt5)
    # With one layer there is no difference.
    assert LTXSizes(*parts, replace(umt5, depth=1)).text_encoder.depth == 1
