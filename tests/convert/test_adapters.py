"""LoRA files merged at conversion: every style of keys, several, what does not fit."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from convert.adapters import Adapter, merged
from convert.forms import open_part
from convert.lora import changes
from convert.source import DIFFUSERS, ORIGINAL, Source
from convert.tokenizer_files import TokenizerSource
from convert.wan import ROWS
from tests.convert import made

RNG = np.random.default_rng(0)
RANK = 4
WIDTH, INNER = made.WAN21.width, made.WAN21.mlp_width
QUERY, FFN = "blocks.1.self_attn.q", "blocks.0.ffn.0"
SHAPES = {QUERY: (WIDTH, WIDTH), FFN: (INNER, WIDTH)}
DOWN = {
    name: RNG.standard_normal((RANK, s[1]), np.float32) for name, s in SHAPES.items()
}
UP = {name: RNG.standard_normal((s[0], RANK), np.float32) for name, s in SHAPES.items()}
IN_DIFFUSERS = {QUERY: "blocks.1.attn1.to_q", FFN: "blocks.0.ffn.net.0.proj"}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A function: the source of a transformer under the names of a layout."""
    folder = tmp_path_factory.mktemp("base")

    def source(layout=ORIGINAL, parts=("transformer",)):
        components = {}
        for i, part in enumerate(parts):
            file = folder / f"{layout}{i}.safetensors"
            if not file.exists():
                save_file(made.state("transformer", layout, made.WAN21, i), file)
            components[part] = open_part(part, file)
        return Source(folder, components, TokenizerSource(folder), None)

    return source


def keys(down, up, prefix="diffusion_model.", names=lambda name: name, alpha=None):
    state = {}
    for name in SHAPES:
        module = prefix + names(name)
        state[module + down], state[module + up] = DOWN[name], UP[name]
        if alpha is not None:
            state[f"{module}.alpha"] = np.array(alpha, np.float32)
    return state


STYLES = {
    "lightx2v": (keys(".lora_down.weight", ".lora_up.weight"), 1),
    "with alpha": (keys(".lora_down.weight", ".lora_up.weight", alpha=2), 2 / RANK),
    "peft, original names": (keys(".lora_A.weight", ".lora_B.weight"), 1),
    "diffusers": (
        keys(".lora_A.weight", ".lora_B.weight", "transformer.", IN_DIFFUSERS.get),
        1,
    ),
    "saved by peft": (
        keys(".lora_A.default.weight", ".lora_B.default.weight", "base_model.model."),
        1,
    ),
    "underscores": (
        keys(
            ".lora_down.weight",
            ".lora_up.weight",
            "lora_unet_",
            lambda name: name.replace(".", "_"),
            alpha=4,
        ),
        1,
    ),
    "without a prefix": (keys(".lora_down.weight", ".lora_up.weight", ""), 1),
}


def change(source, name):
    """What was added to a tensor of the transformer."""
    tensor = source.components["transformer"].tensors[name]
    return tensor.read() - tensor.base.read()


@pytest.mark.parametrize("layout", [ORIGINAL, DIFFUSERS])
@pytest.mark.parametrize("style", STYLES)
def test_every_style_of_keys(style, layout, base, tmp_path):
    state, scale = STYLES[style]
    save_file(state, tmp_path / "x.safetensors")
    source = merged(base(layout), [Adapter(tmp_path / "x.safetensors", 0.5)])
    for name in SHAPES:
        here = name if layout == ORIGINAL else IN_DIFFUSERS[name]
        want = 0.5 * scale * UP[name] @ DOWN[name]
        np.testing.assert_allclose(change(source, f"{here}.weight"), want, atol=1e-5)
    part = source.components["transformer"].tensors
    assert sum(hasattr(tensor, "changes") for tensor in part.values()) == len(SHAPES)
    assert source.settings["adapters"] == ["transformer=x.safetensors:0.5"]
    assert tmp_path / "x.safetensors" in source.files()


def test_rows_are_those_of_the_whole(base, tmp_path):
    save_file(STYLES["lightx2v"][0], tmp_path / "x.safetensors")
    source = merged(base(), [Adapter(tmp_path / "x.safetensors")])
    tensor = source.components["transformer"].tensors[f"{FFN}.weight"]
    rows = tensor.read(slice(3, 9))
    np.testing.assert_allclose(rows, tensor.read()[3:9], rtol=1e-6, atol=1e-6)


def test_differences(base, tmp_path):
    part = base().components["transformer"].tensors
    modulation = part["blocks.1.modulation"].shape
    patch = part["patch_embedding.weight"].shape
    state = {
        "diffusion_model.blocks.0.self_attn.norm_q.diff": np.ones(WIDTH, "f4"),
        "diffusion_model.blocks.0.ffn.0.diff_b": np.ones(INNER, "f4"),
        "diffusion_model.blocks.1.diff_m": np.ones(modulation, "f4"),
        "diffusion_model.patch_embedding.diff": np.ones(patch, "f4"),
    }
    save_file(state, tmp_path / "x.safetensors")
    source = merged(base(), [Adapter(tmp_path / "x.safetensors", 2)])
    for name in (
        "blocks.0.self_attn.norm_q.weight",
        "blocks.0.ffn.0.bias",
        "blocks.1.modulation",
        "patch_embedding.weight",
    ):
        np.testing.assert_allclose(change(source, name), 2, atol=1e-6)


def test_a_convolution(base, tmp_path):
    down = RNG.standard_normal((RANK, 16, 1, 2, 2), np.float32)
    up = RNG.standard_normal((WIDTH, RANK, 1, 1, 1), np.float32)
    state = {
        "patch_embedding.lora_down.weight": down,
        "patch_embedding.lora_up.weight": up,
    }
    save_file(state, tmp_path / "x.safetensors")
    source = merged(base(), [Adapter(tmp_path / "x.safetensors")])
    want = np.einsum("or,rithw->oithw", up[:, :, 0, 0, 0], down)
    found = change(source, "patch_embedding.weight")
    np.testing.assert_allclose(found, want, atol=1e-5)


def test_several_add_up(base, tmp_path):
    for i, style in enumerate(("lightx2v", "diffusers")):
        save_file(STYLES[style][0], tmp_path / f"{i}.safetensors")
    files = [tmp_path / f"{i}.safetensors" for i in range(2)]
    source = merged(base(), [Adapter(files[0], 0.25), Adapter(files[1], -1)])
    want = -0.75 * UP[QUERY] @ DOWN[QUERY]
    np.testing.assert_allclose(change(source, f"{QUERY}.weight"), want, atol=1e-5)


def test_alpha_in_the_header_of_diffusers_files(base, tmp_path):
    import json

    text = json.dumps({"transformer.lora_alpha": 8, "transformer.r": RANK})
    state, metadata = STYLES["diffusers"][0], {"lora_adapter_metadata": text}
    save_file(state, tmp_path / "x.safetensors", metadata=metadata)
    source = merged(base(), [Adapter(tmp_path / "x.safetensors")])
    want = 2 * UP[QUERY] @ DOWN[QUERY]
    np.testing.assert_allclose(change(source, f"{QUERY}.weight"), want, atol=1e-5)


def test_alpha_beside_a_file_of_peft(base, tmp_path):
    import json

    state = {
        name.replace("diffusion_model.", "base_model.model."): value
        for name, value in keys(".lora_A.weight", ".lora_B.weight").items()
    }
    file = tmp_path / "adapter_model.safetensors"
    save_file(state, file)
    config = {"r": RANK, "lora_alpha": 8, "use_rslora": False, "rank_pattern": {}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    want = 2 * UP[QUERY] @ DOWN[QUERY]
    source = merged(base(), [Adapter(file)])
    np.testing.assert_allclose(change(source, f"{QUERY}.weight"), want, atol=1e-5)
    other = file.rename(tmp_path / "mine.safetensors")  # the config is not its own
    source = merged(base(), [Adapter(other)])
    np.testing.assert_allclose(change(source, f"{QUERY}.weight"), want / 2, atol=1e-5)
    other.rename(file)
    config["use_rslora"] = True
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="with use_rslora, which is not read"):
        changes(file, 1.0)


def test_one_for_each_expert(base, tmp_path):
    save_file(STYLES["lightx2v"][0], tmp_path / "x.safetensors")
    both = base(parts=("transformer", "transformer_2"))
    with pytest.raises(ValueError, match="the model has two transformers, and .* high"):
        merged(both, [Adapter(tmp_path / "x.safetensors")])
    source = merged(both, [Adapter.parse(f"low={tmp_path / 'x.safetensors'}:0.5")])
    name = f"{QUERY}.weight"
    assert source.components["transformer"].tensors[name].read().any()
    high, low = (both.components[n].tensors[name] for n in both.components)
    changed = source.components["transformer_2"].tensors[name]
    assert not np.array_equal(changed.read(), low.read())
    assert source.components["transformer"].tensors[name] is high


def test_keys_that_the_model_lacks(base, tmp_path):
    state = dict(STYLES["lightx2v"][0])
    for i in range(2):
        module = f"diffusion_model.blocks.{i}.cross_attn.k_img"
        state[f"{module}.lora_down.weight"] = DOWN[QUERY]
        state[f"{module}.lora_up.weight"] = UP[QUERY]
    save_file(state, tmp_path / "x.safetensors")
    adapters = [Adapter(tmp_path / "x.safetensors")]
    with pytest.raises(ValueError, match="changes 2 of 4 modules that this") as caught:
        merged(base(), adapters)
    assert "blocks.1.cross_attn.k_img (weight)" in str(caught.value)
    assert "give --lora-skip-missing" in str(caught.value)
    source = merged(base(), adapters, skip_missing=True)
    assert np.abs(change(source, f"{QUERY}.weight")).max() > 0


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (made.state("transformer", ORIGINAL, made.WAN21), "is no LoRA: none of its"),
        ({"net.1.lora_A.weight": DOWN[QUERY], "net.1.lora_B.weight": UP[QUERY]}, None),
        ({f"{QUERY}.lora_A.weight": DOWN[QUERY]}, "has not both halves of a LoRA"),
        (
            STYLES["lightx2v"][0] | {"blocks.0.dora_scale": np.ones(3, "f4")},
            "adapter of another kind than LoRA: 1 keys are not read, such as blocks.0",
        ),
        (
            {
                f"{QUERY}.lora_A.weight": DOWN[QUERY][:, :9].copy(),
                f"{QUERY}.lora_B.weight": UP[QUERY],
            },
            "is a LoRA of a model of other sizes",
        ),
    ],
)
def test_what_is_no_lora_of_this_model(base, tmp_path, state, message):
    save_file(state, tmp_path / "x.safetensors")
    message = message or "is a LoRA of another model: none of its 1 modules"
    with pytest.raises(ValueError, match=message):
        merged(base(), [Adapter(tmp_path / "x.safetensors")])


@pytest.mark.parametrize(
    ("text", "part", "file", "strength"),
    [
        ("a.safetensors", None, "a.safetensors", 1),
        ("a.safetensors:0.8", None, "a.safetensors", 0.8),
        ("high=a/b.safetensors:-1", "transformer", "a/b.safetensors", -1),
        ("transformer_2=b.pt", "transformer_2", "b.pt", 1),
        ("c:drive.safetensors", None, "c:drive.safetensors", 1),
    ],
)
def test_how_they_are_named(text, part, file, strength):
    adapter = Adapter.parse(text)
    assert (adapter.part, str(adapter.file)) == (part, file)
    assert adapter.strength == strength


def test_a_strength_that_is_none():
    with pytest.raises(ValueError, match="the strength of 'a:inf' must be finite"):
        Adapter.parse("a:inf")


def test_no_name_is_in_both_layouts_for_two_tensors():
    """Wan swaps norm2 and norm3, so an affine norm has one name of its own only."""
    affine = [row for row in ROWS if row.target.startswith("layers.cross_norm")]
    assert {row.diffusers.rpartition(".")[0] for row in affine} == {
        "blocks.{layer}.norm2"
    }
    mine = {row.diffusers for row in ROWS} & {row.original for row in ROWS}
    same = {row.diffusers for row in ROWS if row.diffusers == row.original}
    assert mine == same


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("[1]", "its LoRA metadata are damaged"),
        ("{", "its LoRA metadata are damaged"),
        ("[" * 10**5, "its LoRA metadata are damaged"),
        ('{"r": 0, "lora_alpha": 4}', "its LoRA metadata are damaged"),
        ('{"r": "a", "lora_alpha": 4}', "its LoRA metadata are damaged"),
        ('{"r": null}', "its LoRA metadata are damaged"),
        ('{"r": 4, "lora_alpha": NaN}', "the scale of .* is nan"),
        ('{"r": 4, "lora_alpha": 1e999}', "the scale of .* is inf"),
    ],
)
def test_crafted_metadata_are_refused(tmp_path, metadata, message):
    state = keys(".lora_A.weight", ".lora_B.weight")
    file = tmp_path / "x.safetensors"
    save_file(state, file, {"lora_adapter_metadata": metadata})
    with pytest.raises(ValueError, match=message):
        changes(file, 1.0)


LORA_A = f"damaged: diffusion_model.{QUERY}.lora_A.weight holds [0-9]+ values that are"


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ({".alpha": np.zeros(0, np.float32)}, "has the alpha .0. and the rank 4"),
        ({".alpha": np.array(np.nan, np.float32)}, "alpha holds 1 values that are"),
        ({".alpha": np.array(0, np.float32)}, "alpha of .* is 0, so that it changes"),
        ({".lora_A.weight": np.where(DOWN[QUERY] > 2, np.nan, DOWN[QUERY])}, LORA_A),
        ({".diff_b": np.array([1, np.inf, -np.inf], np.float32)}, f"{QUERY}.diff_b h"),
        ({".lora_down.weight": DOWN[QUERY]}, "are the same"),
        ({".lora.up.weight": UP[QUERY]}, "are the same"),
    ],
)
def test_a_module_has_each_tensor_once_and_finite(tmp_path, added, message):
    state = keys(".lora_A.weight", ".lora_B.weight")
    # In place of the tensor of this name, or else beside those that there are.
    for end, array in added.items():
        own = f"diffusion_model.{QUERY}{end}"
        state[own if own in state else f"transformer.{QUERY}{end}"] = array
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=message):
        changes(tmp_path / "x.safetensors", 1.0)
