"""The version of an LTX-Video, from its properties and the names of its files."""

import pytest

from convert.ltx_versions import Signs, folds_pixels, version_of

EARLY = Signs("2B", causal=False, timestep=True)  # 0.9.1
LATER = Signs("2B", causal=True, timestep=True)


@pytest.mark.parametrize(
    "signs, names, version",
    [
        (EARLY, ["ltx-video"], "0.9.1"),
        (EARLY, ["ltx-video-2b-v0.9.1.safetensors"], "0.9.1"),
        (EARLY, ["ltxv-2b-0.9.6-dev.safetensors"], None),
        (EARLY, ["ltxv-2b-0.9.safetensors"], None),
        (EARLY, ["ltxv-2b-0.9.10.safetensors"], None),
        (EARLY, ["transformer", "ltxv-0.9.5", "0.9.1"], None),
        (EARLY, ["transformer", "ltxv-0.9.1", "0.9.5"], "0.9.1"),
        (LATER, ["ltxv-2b-0.9.6-dev-04-25.safetensors"], "0.9.6-dev"),
        (LATER, ["ltxv-2b-0.9.1.safetensors", "0.9.5"], None),
        (LATER, ["ltxv-2b-20.9.5"], None),
        # The only distilled one that lists its timesteps, named without its kind.
        (Signs("2B", True, True, True), ["ltxv-2b-0.9.8"], "0.9.8-distilled"),
        (Signs("2B", True, True, True), ["ltxv-2b-0.9.7"], None),
    ],
)
def test_a_name_with_another_number_is_not_overruled(signs, names, version):
    assert version_of(signs, names) == version


def test_a_vae_that_folds_pixels_is_seen_in_either_layout():
    assert folds_pixels({"encoder_blocks": [["compress_space_res", {}]]})
    assert folds_pixels({"down_block_types": ["LTXVideo095DownBlock3D"] * 4})
    assert not folds_pixels({"encoder_blocks": [["compress_all", 1]]})
    assert not folds_pixels({"down_block_types": ["LTXVideoDownBlock3D"] * 4})
    assert not folds_pixels({})
