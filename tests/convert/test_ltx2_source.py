"""LTX-2 folders: which are refused, and which of their files are ignored."""

import json
from pathlib import Path

import pytest

from convert import gemma, ltx2_source
from convert.families import FAMILIES, family_of
from convert.ltx2_family import LTX2
from convert.parts_apart import PartsApart
from convert.source import Component


def folder(tmp_path, **index):
    index = {"_class_name": "LTX2Pipeline", **index}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    return tmp_path


def test_it_is_seen_before_ltx_video(tmp_path):
    assert family_of(folder(tmp_path)) is FAMILIES["ltx2"]
    assert family_of(folder(tmp_path, _class_name="LTXPipeline")) is FAMILIES["ltx"]
    assert family_of(tmp_path / "none") is FAMILIES["wan"]


@pytest.mark.parametrize(
    "index, message",
    [
        ({"_class_name": "LTX2DFRPipeline"}, "describes a LTX2DFRPipeline"),
        ({"duration_head": ["ltx2", "LTX2DurationHead"]}, "duration_head.*2.5 is not"),
        ({"prompt_enhancer": ["a", "b"]}, "not known: prompt_enhancer"),
    ],
)
def test_another_pipeline_is_refused(tmp_path, index, message):
    with pytest.raises(ValueError, match=message):
        ltx2_source.open_ltx2(folder(tmp_path, **index))


def test_a_folder_without_an_index_is_refused(tmp_path):
    with pytest.raises(ValueError, match="looked for model_index.json"):
        ltx2_source.open_ltx2(tmp_path)


def test_a_folder_of_a_hub_cache_is_seen_too(tmp_path):
    cache = tmp_path / "models--Lightricks--LTX-2"
    snapshot = cache / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    folder(snapshot)
    assert family_of(cache) is FAMILIES["ltx2"]
    with pytest.raises(ValueError, match="0123abc"):
        ltx2_source.open_ltx2(cache)


def test_parts_apart_are_refused(tmp_path):
    given = PartsApart(parts={"vae": Path("vae.safetensors")})
    with pytest.raises(ValueError, match="give the folder alone"):
        ltx2_source.open_ltx2(folder(tmp_path), given)


def test_of_gemma_only_the_words_are_read():
    names = ("model.language_model.norm.weight", "model.vision_tower.a", "lm_head.b")
    whole = Component(dict.fromkeys(names), {}, [])
    assert set(ltx2_source.without(whole, gemma.UNUSED).tensors) == {names[0]}


def test_export_is_refused():
    with pytest.raises(
        ValueError, match="LTX-2 is not exported: .*the whole of Gemma 3"
    ):
        LTX2["vae"].export(None)
