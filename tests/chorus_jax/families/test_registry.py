"""The families that there are."""

import json
import shutil
from dataclasses import replace

import jax
import pytest

import chorus_jax
from chorus_jax.devices import memory
from chorus_jax.devices.sharding import make_mesh
from chorus_jax.families import registry
from chorus_jax.families.protocols import Family, LoadOptions, VideoModel
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.request import Request


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


# A model of one transformer of each family.
MODELS = {
    "wan": "Wan 2.1 T2V-1.3B",
    "ltx": "LTX-Video 2B 0.9.1",
    "ltx2": "LTX-2 19B dev",
}


@pytest.fixture(scope="module", params=MODELS)
def card_alone(request, tmp_path_factory):
    """A folder with the card of a published model, and no weights to be read."""
    folder = tmp_path_factory.mktemp(request.param)
    registry.FAMILIES[request.param].card(MODELS[request.param]).write(folder)
    return folder


def checked(folder, monkeypatch, gib=2**20, **changes):
    """The family's check of a small request with these changes."""
    monkeypatch.setattr(memory, "device_memory", lambda mesh: gib * 2**30)
    fields = {"frames": 9, "height": 64, "width": 64, "solver": "euler"}
    options = LoadOptions(idle_expert=changes.pop("idle_expert", "devices"))
    request = Request("", **fields | changes)
    registry.family_of(folder).checker(folder, options)(request)


def test_what_does_not_fit_in_memory_is_refused(card_alone, monkeypatch):
    checked(card_alone, monkeypatch)
    with pytest.raises(ValueError, match="121 frames of 70400x70400 pixels need at"):
        checked(card_alone, monkeypatch, 1024, frames=121, height=70400, width=70400)


def test_a_batch_is_checked_as_a_batch(card_alone, monkeypatch):
    """Both that a mesh divides it, and that it fits in memory."""
    size = {"frames": 9, "height": 64, "width": 64, "solver": "euler"}
    request, mesh = (
        Request("", guidance_scale=3.0, **size),
        make_mesh(data=4, devices=jax.devices()[:4]),
    )
    monkeypatch.setattr(memory, "device_memory", lambda mesh: 2**50)
    family = registry.family_of(card_alone)
    check = family.checker(card_alone, LoadOptions(mesh=mesh))
    with pytest.raises(ValueError, match="data=4, which does not divide 2"):
        check(request)
    check(request, 2)
    with pytest.raises(ValueError, match="10{12} videos at once, each of 9 frames"):
        check(request, 10**12)


def test_an_idle_expert_is_refused_before_weights_are_read(card_alone, monkeypatch):
    message = "is for models with two experts, and this one has one transformer"
    with pytest.raises(ValueError, match=message):
        chorus_jax.load(card_alone, idle_expert="host")
    with pytest.raises(ValueError, match=message):
        checked(card_alone, monkeypatch, idle_expert="host")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("profiling:background=(99,),of=0", "layers, got background layer 99"),
        ("planned:steps=(2,3),of=9", "measured on runs of 9 steps, this one has 20"),
    ],
)
def test_a_step_cache_that_does_not_fit_is_refused_before_weights_are_read(
    line, message, card_alone, monkeypatch
):
    with pytest.raises(ValueError, match=message):
        checked(card_alone, monkeypatch, step_cache=line, steps=20)
    checked(card_alone, monkeypatch, step_cache="pab", steps=20)


@pytest.mark.parametrize(
    ("name", "cache", "changes"),
    [
        ("Wan 2.1 T2V-14B", "mag:variant=wan21_t2v_14b,threshold=.12", {}),
        ("Wan 2.1 T2V-14B", "taylor:interval=2", {}),
        ("Wan 2.1 T2V-1.3B", "mag:variant=wan21_t2v_1_3b,threshold=.12", {"shift": 5}),
        (
            "Wan 2.1 T2V-1.3B",
            "mag:variant=wan21_t2v_1_3b,threshold=.12,anywhere=true",
            {},
        ),
        ("Wan 2.2 TI2V-5B", "tea:variant=wan22_ti2v_5b,threshold=.26", {}),
    ],
)
def test_the_examples_of_help_and_docs_are_taken(name, cache, changes, tmp_path):
    """With the model's own settings, which differ in shift and size."""
    family = registry.FAMILIES["wan"]
    family.card(name).write(tmp_path)
    request = family.defaults(tmp_path).request.changed(step_cache=cache, **changes)
    Sizes.read(tmp_path).check(request)


def test_the_check_of_requests_needs_the_folder_only_at_first(
    card_alone, tmp_path, monkeypatch
):
    """A loaded model serves on when its folder is moved away."""
    folder = tmp_path / "model"
    shutil.copytree(card_alone, folder)
    check = registry.family_of(folder).checker(folder)
    shutil.rmtree(folder)
    monkeypatch.setattr(memory, "device_memory", lambda mesh: 2**50)
    request = Request("", frames=9, height=64, width=64, solver="euler")
    check(request)
    with pytest.raises(ValueError):
        check(replace(request, height=63))
