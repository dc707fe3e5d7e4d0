"""Modules to a checkpoint folder and back."""

import json
import shutil
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chorus_jax import checkpoints
from chorus_jax.checkpoints import Card, stored
from chorus_jax.devices.sharding import make_mesh, shardings
from chorus_jax.nets.layers import Linear, stack


@dataclass(frozen=True)
class Sizes:
    width: int = 8
    depth: int = 3
    patch: tuple[int, int] = (1, 2)
    dtype: str = "bfloat16"


class Net(nnx.Module):
    def __init__(self, config, *, rngs):
        self.config = config
        make = {"dtype": jnp.dtype(config.dtype)}
        width = config.width
        self.first = nnx.List([Linear(2, width, rngs=rngs, **make)])
        self.layers = stack(
            lambda rngs: Linear(width, width, axes=(None, "mlp"), rngs=rngs, **make),
            config.depth,
            rngs,
        )


class Other(Net):
    pass


@pytest.fixture
def net():
    return Net(Sizes(), rngs=nnx.Rngs(0))


@pytest.fixture
def saved(net, tmp_path):
    checkpoints.save(tmp_path / "m", {"net": net}, family="toy", scheduler={"shift": 3})
    return tmp_path / "m"


def equal(one, other):
    one, other = checkpoints.names(one), checkpoints.names(other)
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_array_equal(np.asarray(one[name]), np.asarray(other[name]))


def test_round_trip(net, saved):
    loaded = checkpoints.load(saved, "net", Net, Sizes)
    equal(loaded, net)
    assert loaded.config == Sizes()
    assert loaded.layers.kernel.get_metadata()["axes"] == (None, "mlp")
    assert jax.tree.structure(loaded) == jax.tree.structure(net)


def test_abstract_has_the_shapes_of_a_random_module(net):
    shapes = checkpoints.abstract(Net, Sizes())
    assert jax.tree.structure(shapes) == jax.tree.structure(net)
    told = [(x.shape, x.dtype) for x in jax.tree.leaves(shapes)]
    assert told == [(x.shape, x.dtype) for x in jax.tree.leaves(net)]


def test_card(net, saved):
    card = Card.read(saved)
    part = card.part("net")
    assert (card.family, part.model, part.dtype) == ("toy", "Net", "bfloat16")
    assert part.parameters == 2 * 8 + 8 + 3 * (64 + 8)
    assert part.config["patch"] == (1, 2)
    assert card.scheduler == {"shift": 3}
    assert json.loads((saved / "model.json").read_text())["fingerprint"]


def test_load_onto_a_mesh(net, saved):
    mesh = make_mesh(data=2, tensor=4)
    loaded = checkpoints.load(
        saved, "net", Net, Sizes, place=lambda module: shardings(module, mesh)
    )
    equal(loaded, net)
    assert tuple(loaded.layers.kernel[...].sharding.spec) == (None, None, "tensor")


def test_load_in_another_dtype(net, saved):
    loaded = checkpoints.load(saved, "net", Net, Sizes, dtype="float32")
    assert loaded.config.dtype == "float32"
    assert loaded.layers.kernel[...].dtype == jnp.float32
    expected = net.layers.kernel[...].astype(jnp.float32)
    np.testing.assert_array_equal(loaded.layers.kernel[...], expected)


def test_fingerprint_is_of_the_weights(net, saved, tmp_path):
    card = Card.read(saved)
    loaded = checkpoints.load(saved, "net", Net, Sizes)
    assert checkpoints.digested(loaded) == card.part("net").fingerprint
    again = checkpoints.save(tmp_path / "again", {"net": net}, family="toy")
    assert again.fingerprint == card.fingerprint
    net.layers.bias[...] = net.layers.bias[...].at[1, 2].set(0.5)
    other = checkpoints.save(tmp_path / "other", {"net": net}, family="toy")
    assert other.fingerprint != card.fingerprint


def test_a_compressed_folder_holds_the_same_weights(net, saved, tmp_path):
    compressor = {"id": "blosc", "cname": "zstd", "clevel": 9, "shuffle": 1}
    net.layers.kernel[...] = jnp.zeros_like(net.layers.kernel[...])
    cards = [
        checkpoints.save(tmp_path / name, {"net": net}, family="toy", compressor=each)
        for name, each in (("plain", None), ("small", compressor))
    ]
    assert cards[0].fingerprint == cards[1].fingerprint
    loaded = checkpoints.load(tmp_path / "small", "net", Net, Sizes)
    assert checkpoints.digested(loaded) == cards[0].part("net").fingerprint
    blocks = {
        name: sum(x.stat().st_size for x in (tmp_path / name).rglob("0*"))
        for name in ("plain", "small")
    }
    assert 0 < blocks["small"] < blocks["plain"]


def test_save_refuses_an_existing_folder(net, saved):
    with pytest.raises(ValueError, match="m exists: remove it"):
        checkpoints.save(saved, {"net": net}, family="toy")


def test_folder_without_a_card(tmp_path):
    with pytest.raises(
        ValueError, match="has no model.json.*its conversion did not end"
    ):
        checkpoints.load(tmp_path, "net", Net, Sizes)


def test_unknown_part(saved):
    with pytest.raises(ValueError, match=r"no part 'vae' .* it has \['net'\]"):
        checkpoints.load(saved, "vae", Net, Sizes)


def test_other_class(saved):
    with pytest.raises(ValueError, match="'net' in .* is a Net, not a Other"):
        checkpoints.load(saved, "net", Other, Sizes)


def test_other_family(saved):
    with pytest.raises(ValueError, match="of the family 'toy', not 'wan'"):
        Card.read(saved).of_family("wan")


def test_newer_format(saved):
    edit(saved, lambda card: card.update(format=99, parts="unknown"))
    with pytest.raises(
        ValueError, match="has format 99, .* up to 1: update chorus_jax"
    ):
        Card.read(saved)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"parts": {"a": 1}}'])
def test_damaged_card(saved, text):
    (saved / "model.json").write_text(text)
    with pytest.raises(ValueError, match="is not a model card"):
        Card.read(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "1"},
        {"family": 3},
        {"scheduler": []},
        {"parts": []},
        {"parts": {"net": {}}},
    ],
)
def test_card_with_values_of_other_types(saved, change):
    edit(saved, lambda card: card.update(change))
    with pytest.raises(ValueError, match="model.json is not a model card"):
        Card.read(saved)


def test_part_with_another_dtype(saved):
    edit(saved, lambda card: card["parts"]["net"].update(dtype="float17"))
    with pytest.raises(ValueError, match="dtype is 'float17', needs one such as"):
        Card.read(saved)


@pytest.mark.parametrize(
    "change",
    [{"depth": "2"}, {"patch": 2}, {"dtype": "float17"}, {"width": True}],
)
def test_config_with_values_of_other_types(saved, change):
    edit(saved, lambda card: card["parts"]["net"]["config"].update(change))
    with pytest.raises(ValueError, match=f"config is not a Sizes: .*{[*change][0]} is"):
        checkpoints.load(saved, "net", Net, Sizes)


def test_load_in_an_unknown_dtype(saved):
    with pytest.raises(ValueError, match="dtype is 'float17', needs one such as"):
        checkpoints.load(saved, "net", Net, Sizes, dtype="float17")


def test_config_of_another_version(saved):
    edit(saved, lambda card: card["parts"]["net"]["config"].update(rows=1))
    with pytest.raises(ValueError, match="config is not a Sizes: .*'rows'"):
        checkpoints.load(saved, "net", Net, Sizes)


def test_weights_of_another_model(saved, tmp_path):
    edit(saved, lambda card: card["parts"]["net"]["config"].update(width=4))
    with pytest.raises(ValueError, match="another model") as caught:
        checkpoints.load(saved, "net", Net, Sizes)
    assert "layers.kernel is [3, 8, 8], needs [3, 4, 4]" in str(caught.value)


def test_weights_with_other_names(saved):
    (saved / "net" / "layers.bias").rename(saved / "net" / "layers.offset")
    with pytest.raises(ValueError, match="missing layers.bias; unknown layers.offset"):
        checkpoints.load(saved, "net", Net, Sizes)


def test_truncated_weights(saved):
    block = saved / "net" / "layers.kernel" / "0.0.0"
    block.write_bytes(block.read_bytes()[:-10])
    with pytest.raises(ValueError, match="kernel is damaged .* copy it again"):
        checkpoints.load(saved, "net", Net, Sizes)


@pytest.mark.parametrize("dtype", [None, "float32"])
def test_one_changed_bit(saved, dtype):
    block = saved / "net" / "layers.kernel" / "0.0.0"
    data = bytearray(block.read_bytes())
    data[7] ^= 1
    block.write_bytes(data)
    with pytest.raises(ValueError, match="'net' in .* is not what its card describes"):
        checkpoints.load(saved, "net", Net, Sizes, dtype=dtype)


def test_weights_of_another_folder(net, saved, tmp_path):
    other = Net(Sizes(), rngs=nnx.Rngs(1))
    checkpoints.save(tmp_path / "other", {"net": other}, family="toy")
    shutil.rmtree(saved / "net")
    shutil.copytree(tmp_path / "other" / "net", saved / "net")
    with pytest.raises(ValueError, match="not what its card describes"):
        checkpoints.load(saved, "net", Net, Sizes)


def test_edited_config(saved):
    edit(saved, lambda card: card["parts"]["net"]["config"].update(patch=[2, 2]))
    with pytest.raises(ValueError, match="their config were changed"):
        checkpoints.load(saved, "net", Net, Sizes)


def test_blocks_are_digested_in_order(net, saved, tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "BLOCK", 64)
    checkpoints.save(tmp_path / "small", {"net": net}, family="toy")
    assert Card.read(tmp_path / "small").fingerprint == Card.read(saved).fingerprint
    equal(checkpoints.load(tmp_path / "small", "net", Net, Sizes), net)


def test_space_is_counted_without_what_a_killed_save_left(net, tmp_path, monkeypatch):
    left = tmp_path / ".m.partial"
    left.mkdir()
    (left / "weights").write_text("")
    usage = shutil.disk_usage(tmp_path)

    def disk_usage(_):
        return usage._replace(free=0 if (left / "weights").exists() else 10**9)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    checkpoints.save(tmp_path / "m", {"net": net}, family="toy")
    equal(checkpoints.load(tmp_path / "m", "net", Net, Sizes), net)


def edit(folder, change):
    card = json.loads((folder / "model.json").read_text())
    change(card)
    (folder / "model.json").write_text(json.dumps(card))
