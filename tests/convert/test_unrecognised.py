"""Folders in no layout that is read: the cause comes first."""

import json

import pytest

from convert.opening import open_source


def config(folder, **fields):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(fields))


def a_part(folder):
    config(folder / "transformer", _class_name="WanTransformer3DModel")
    (folder / "model_index.json").write_text("{}")
    return folder / "transformer"


def a_part_alone(folder):
    config(folder, architectures=["UMT5EncoderModel"])
    return folder


def another_model(folder):
    config(folder, architectures=["LlamaForCausalLM"])
    return folder


def another_pipeline(folder):
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    return folder


def a_lora(folder):
    (folder / "pytorch_lora_weights.safetensors").touch()
    return folder


def single_files(folder):
    (folder / "wan2.1_t2v_14B_fp8_e4m3fn.safetensors").touch()
    return folder


def several_models(folder):
    (folder / "Wan2.1-T2V-14B-Diffusers").mkdir()
    (folder / "Wan2.1-T2V-14B-Diffusers" / "model_index.json").touch()
    return folder


@pytest.mark.parametrize(
    "make, said",
    [
        (a_part, r"is one part of a model \(transformer, a WanTr.*: give "),
        (a_part_alone, r"is one part of a model \(text_encoder.* as --text-encoder"),
        (another_model, "is a LlamaForCausalLM, which is not converted here: Wan, LTX"),
        (another_pipeline, "another family, .* describes a FluxPipeline"),
        (a_lora, "holds a LoRA, which is no model: give it as --lora FILE"),
        (single_files, r"holds single files \(wan2.1_t2v.*: give the transformer's"),
        (several_models, "in folders of their own: give .*Wan2.1-T2V-14B-Diffusers"),
    ],
)
def test_the_cause_comes_first(make, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        open_source(make(tmp_path))


def test_an_empty_folder_and_none(tmp_path):
    with pytest.raises(ValueError, match="is no model of Wan.* found an empty folder"):
        open_source(tmp_path)
    with pytest.raises(ValueError, match="no such file or folder"):
        open_source(tmp_path / "nowhere")
