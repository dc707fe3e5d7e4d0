"""Opens folders of Wan's original releases: Wan 2.1 (also I2V) and Wan 2.2."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from convert import inferred
from convert.forms import open_part
from convert.source import ORIGINAL, Component, Source, listing, read_json, shards
from convert.tokenizer_files import open_tokenizer
from convert.weight_files import check_present, read_weights

VAES = ("Wan2.1_VAE.pth", "Wan2.2_VAE.pth")
TEXT = "models_t5_umt5-xxl-enc-bf16.pth"
IMAGE = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
TOKENIZER = "google/umt5-xxl"
EXPERTS = {"transformer": "high_noise_model", "transformer_2": "low_noise_model"}
MARKERS = (*VAES, TEXT, *EXPERTS.values())
# The noise level at which the experts switch, by whether they read images. No file of
# the release contains it; source: Wan-Video/Wan2.2, wan/configs.
BOUNDARIES = {False: 0.875, True: 0.9}
# Sizes that the config.json of a release lacks.
WIDTHS = ("text_dim", "image_dim", "image_positions")
# Latent channels of TI2V-5B, whose transformer has a timestep per token.
NEWER_CHANNELS = 48


def is_original(folder: Path) -> bool:
    """Whether a folder contains a file that only the original releases have."""
    return any((folder / name).exists() for name in MARKERS)


def open_original(folder: Path) -> Source:
    """Opens a folder of an original release; reads headers only.

    Raises:
        ValueError: if it is incomplete, damaged, or an unsupported Wan.
    """
    vaes = [folder / name for name in VAES if (folder / name).exists()]
    if not vaes:
        raise ValueError(
            f"{folder} is an original Wan without its VAE: looked for "
            f"{' and '.join(VAES)}, found {listing(folder)}"
        )
    parts = _transformers(folder)
    parts["vae"] = open_part("vae", vaes[0])
    check_present(folder / TEXT)
    parts["text_encoder"] = open_part("text_encoder", folder / TEXT)
    if parts["transformer"].config.get("image_dim") is not None:
        check_present(folder / IMAGE)
        parts["image_encoder"] = open_part("image_encoder", folder / IMAGE)
    tokenizer = open_tokenizer(folder / TOKENIZER)
    return Source(folder, parts, tokenizer, None, settings_of(parts))


def settings_of(parts: Mapping[str, Component]) -> dict[str, Any]:
    """The settings of a whole model (`Source.settings`), inferred from its parts."""
    sizes = parts["transformer"].config
    read = sizes.get("in_dim", sizes.get("in_channels"))
    made = sizes.get("out_dim", sizes.get("out_channels"))
    settings: dict[str, Any] = {}
    if "transformer_2" in parts:
        settings["boundary_ratio"] = BOUNDARIES[read != made]
    if made == NEWER_CHANNELS:
        settings["expand_timesteps"] = True
    return settings


def _transformers(folder: Path) -> dict[str, Component]:
    paired = [name for name in EXPERTS.values() if (folder / name).exists()]
    places = {name: folder / place for name, place in EXPERTS.items()}
    if not paired:
        places = {"transformer": folder}
    return {name: _transformer(place) for name, place in places.items()}


def _transformer(folder: Path) -> Component:
    check_present(folder)
    config = folder / "config.json"
    check_present(config)
    files = shards(folder)
    part = Component(read_weights(files), read_json(config), [config, *files], ORIGINAL)
    return replace(part, config={**_widths(part), **part.config})


def _widths(part: Component) -> dict[str, Any]:
    """Sizes that the config.json of an original release lacks, from the tensors."""
    try:
        settings_found = inferred.transformer(part.tensors)
    except (ValueError, IndexError):
        return {}  # The plan says what is missing.
    return {name: settings_found[name] for name in WIDTHS}
