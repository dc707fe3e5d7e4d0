"""Tiny Wans with random weights under the names that published files have.

A state is a dictionary of numpy arrays by name, as it would stand in a file.
"""

from dataclasses import replace

import numpy as np

from chorus_jax.checkpoints import abstract, names
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.residual_vae_config import WanResidualVAEConfig
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.t5 import T5Config
from convert.family import RESIDUAL_VAE, WAN
from convert.plan import source_shape, sources
from convert.rules import Rule

TEXT_WIDTH = 16
WAN21 = WanConfig(
    heads=2,
    depth=2,
    mlp_width=256,
    text_width=TEXT_WIDTH,
    time_width=32,
    dtype="float32",
)
I2V22 = replace(WAN21, in_channels=36)
I2V21 = replace(I2V22, image_width=160)
TI2V = replace(WAN21, in_channels=48, out_channels=48)
OLD_VAE = replace(WanVAEConfig.wan21("float32"), width=4)
NEW_VAE = replace(WanResidualVAEConfig.wan22("float32"), width=4, decoder_width=4)


def text_config(vocab, umt5=True):
    """The text encoder of a Wan; with `umt5=False` of an LTX-Video."""
    return T5Config(
        width=TEXT_WIDTH,
        depth=2,
        heads=2,
        mlp_width=24,
        vocab=vocab,
        head_width=8,
        relative_bias_every_layer=umt5,
        dtype="float32",
    )


def kind_of(part, config):
    return RESIDUAL_VAE if isinstance(config, WanResidualVAEConfig) else WAN[part]


def state(part, layout, config, seed=0):
    """Random tensors of a part under the names of a layout.

    A seed gives the same parameters whatever the layout: they are drawn as ours.
    """
    kind = kind_of(part, config)
    return drawn(kind.model, kind.layouts[layout].rules(config), config, seed)


def drawn(model, rules, config, seed=0):
    """Random tensors of a model under the names that rules have for its parameters."""
    rng = np.random.default_rng(seed)
    table, made = [r for r in rules if isinstance(r, Rule)], {}
    for target, leaf in sorted(names(abstract(model, config)).items()):
        value = rng.standard_normal(leaf.shape, np.float32) * 0.05
        rule, theirs = next(
            (rule, found)
            for rule in table
            if (found := sources(rule, target, leaf.shape)) is not None
        )
        rows = value if len(theirs) > 1 or "{layer}" in rule.source else [value]
        if "{layer}" in rule.target:
            rows = [value]
        for name, row in zip(theirs, rows, strict=True):
            made[name] = np.array(rule.fix.back(row), order="C")
            assert made[name].shape == source_shape(rule, leaf.shape)
    return made


def prefixed(tensors, prefix):
    return {prefix + name: value for name, value in tensors.items()}


def words(vocab=48, pad="<pad>"):
    """The bytes of a `spiece.model` of so many pieces, written field by field."""
    kinds = {pad: 3, "</s>": 3, "<unk>": 2}
    pieces = [*kinds, *(f"<0x{i:02X}>" for i in range(8)), "\u2581a", "\u2581cat"]
    pieces += [f"w{i}" for i in range(vocab - len(pieces))]
    out = b""
    for i, text in enumerate(pieces):
        raw = text.encode()
        kind = kinds.get(text, 6 if text.startswith("<0x") else 1)
        score = np.float32(-i).tobytes()
        body = b"\x0a" + bytes([len(raw)]) + raw + b"\x15" + score
        body += b"\x18" + bytes([kind])
        out += b"\x0a" + bytes([len(body)]) + body
    # The trainer's model_type: unigram.
    return out + b"\x12\x02\x18\x01"


def gguf(tensors, kinds, metadata=()):
    """The bytes of a GGUF file.

    Args:
        tensors: name to (shape, bytes).
        kinds: name to the number of its format.
        metadata: pairs of a key and a list of whole numbers.
    """

    def number(value, size):
        return int(value).to_bytes(size, "little")

    def text(value):
        raw = value.encode()
        return number(len(raw), 8) + raw

    head = b"GGUF" + number(3, 4) + number(len(tensors), 8)
    head += number(len(metadata), 8)
    for key, values in metadata:
        head += text(key) + number(9, 4) + number(5, 4) + number(len(values), 8)
        head += b"".join(number(value, 4) for value in values)
    body = b""
    for name, (shape, data) in tensors.items():
        head += text(name) + number(len(shape), 4)
        head += b"".join(number(size, 8) for size in reversed(shape))
        head += number(kinds[name], 4) + number(len(body), 8)
        body += data + b"\0" * (-len(data) % 32)
    return head + b"\0" * (-len(head) % 32) + body
