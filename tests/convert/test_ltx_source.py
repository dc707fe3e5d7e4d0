"""The version and the positions read from the folders and files of LTX-Video."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from chorus_jax.families.ltx.schedule import LinearQuadratic, schedule_of
from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from convert import ltx_configs, ltx_versions
from convert.ltx_source import LATER_SCHEDULER, open_ltx
from convert.parts_apart import PartsApart
from tests.convert import made, made_ltx

POSITIONS = ltx_versions.POSITIONS
VAES = {"0.9.1": LTXVAEConfig.v091(), "0.9.5": LTXVAEConfig.v095()}


def part(folder, config):
    """A part in diffusers' layout, of one tensor: only its config is looked at."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"x": np.zeros(1, np.float32)}, folder / "model.safetensors")
    return folder


def vae_folder(folder, version):
    return part(folder / "vae", ltx_configs.vae(VAES[version]))


def model_folder(folder, pipeline, vae):
    """A folder in diffusers' layout of the published 2B sizes."""
    sizes = {"num_attention_heads": 32, "attention_head_dim": 64, "num_layers": 28}
    part(folder / "transformer", sizes)
    vae_folder(folder, vae)
    part(folder / "text_encoder", {})
    for name in ("tokenizer", "scheduler"):
        (folder / name).mkdir()
    (folder / "tokenizer" / "spiece.model").write_bytes(made.words())
    scheduler = folder / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(LATER_SCHEDULER))
    index = {"_class_name": pipeline}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize(
    "pipeline, vae, causal",
    [
        # As diffusers' converter writes 0.9.5.
        ("LTXPipeline", "0.9.5", True),
        ("LTXImageToVideoPipeline", "0.9.5", True),
        ("LTXConditionPipeline", "0.9.5", True),
        ("LTXPipeline", "0.9.1", False),
    ],
)
def test_the_vae_of_a_folder_shows_the_positions(pipeline, vae, causal, tmp_path):
    folder = model_folder(tmp_path / f"LTX-Video-{vae}", pipeline, vae)
    source = open_ltx(folder)
    assert source.components["transformer"].config[POSITIONS] == causal
    assert source.settings == {"version": vae}


def test_a_folder_of_another_scheduler_is_refused(tmp_path):
    folder = model_folder(tmp_path, "LTXPipeline", "0.9.5")
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({"_class_name": "UniPCMultistepScheduler"}))
    with pytest.raises(ValueError, match="says UniPCMultistepScheduler, which is not"):
        open_ltx(folder)


def parts_of(tmp_path, vae):
    text = part(tmp_path / "text_encoder", {})
    (tmp_path / "spiece.model").write_bytes(made.words())
    parts = {"text_encoder": text, "vae": vae_folder(tmp_path, vae)}
    return PartsApart(parts, tokenizer=tmp_path / "spiece.model")


def test_the_vae_s_folder_shows_the_positions_of_a_file(tmp_path, monkeypatch):
    """0.9.6 as a file without metadata, beside diffusers' VAE of 0.9.5."""
    monkeypatch.setattr(ltx_versions, "SIZES", {(32, 1, 2): "2B"})
    name = "ltxv-2b-0.9.6-dev-04-25.safetensors"
    tensors = made_ltx.state("0.9.6-dev")
    tensors = {x: y for x, y in tensors.items() if not x.startswith("vae.")}
    file = made_ltx.write(tmp_path, name, tensors, told=False)
    source = open_ltx(file, parts_of(tmp_path, "0.9.5"))
    assert source.components["transformer"].config[POSITIONS] is True
    assert isinstance(schedule_of(source.scheduler), LinearQuadratic)
    assert source.settings == {"version": "0.9.6-dev"}


def test_a_transformer_apart_tells_its_own_version(tmp_path, monkeypatch):
    """The metadata and the name of the file that it replaces are not the model's."""
    monkeypatch.setattr(ltx_versions, "SIZES", {(32, 1, 2): "2B"})
    old = made_ltx.write(tmp_path, "ltx-video-2b-v0.9.1.safetensors")
    new = "ltxv-2b-0.9.6-distilled-04-25.safetensors"
    given = parts_of(tmp_path, "0.9.5")
    given.parts["transformer"] = made_ltx.write(tmp_path, new, told=False)
    source = open_ltx(old, given)
    assert source.components["transformer"].config[POSITIONS] is True
    assert isinstance(schedule_of(source.scheduler), LinearQuadratic)
    assert source.settings == {"version": "0.9.6-distilled"}
