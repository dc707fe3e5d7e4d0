"""Recognises by tensor names which part of a Wan model a file holds.

Parts are often published in files of their own, with the original names or diffusers'
names, and often with a prefix from a larger model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert import clip_original, inferred
from convert.source import DIFFUSERS, ORIGINAL, Component
from convert.tensors import SourceTensor
from convert.tokenizer_files import BYTES
from convert.weight_files import read_weights

Tensors = Mapping[str, SourceTensor]
WRAPPED = "_fsdp_wrapped_module."
# Tensors in such files that the model does not use: a tokenizer, CLIP's other heads.
BESIDE = (BYTES, "visual_projection.weight", "embeddings.position_ids")
# Name endings that only adapters have.
ADAPTER = (".lora_down.weight", ".lora_up.weight", ".lora_A.weight", ".lora_B.weight")


@dataclass(frozen=True)
class Form:
    """A part of a model in one layout, as found in a single file.

    Attributes:
        part: the part of the model.
        layout: the layout that its tensor names follow.
        markers: names of tensors that only files of this form have.
        config: infers the part's config.json from its tensors.
        words: a description for messages.
    """

    part: str
    layout: str
    markers: tuple[str, ...]
    config: Callable[[Tensors], dict[str, Any]]
    words: str

    def prefix(self, names: Sequence[str]) -> str | None:
        """The prefix before the markers in these names; None if they are of another
        form."""
        first, *others = self.markers
        for name in names:
            if name.endswith(first):
                prefix = name.removesuffix(first)
                if all(prefix + other in names for other in others):
                    return prefix
        return None


FORMS = (
    Form(
        "transformer",
        ORIGINAL,
        ("head.modulation", "patch_embedding.weight"),
        inferred.transformer,
        "a Wan transformer under its original names",
    ),
    Form(
        "transformer",
        DIFFUSERS,
        ("condition_embedder.time_proj.weight", "patch_embedding.weight"),
        inferred.diffusers_transformer,
        "a Wan transformer under diffusers' names",
    ),
    Form(
        "vae",
        ORIGINAL,
        ("decoder.head.0.gamma", "encoder.conv1.weight"),
        inferred.vae,
        "a Wan VAE under its original names",
    ),
    Form(
        "text_encoder",
        ORIGINAL,
        ("token_embedding.weight", "blocks.0.pos_embedding.embedding.weight"),
        inferred.text_encoder,
        "umT5 under its original names",
    ),
    Form(
        "text_encoder",
        DIFFUSERS,
        ("encoder.final_layer_norm.weight", "shared.weight"),
        inferred.transformers_text_encoder,
        "a T5 under the names of transformers",
    ),
    Form(
        "image_encoder",
        DIFFUSERS,
        ("embeddings.class_embedding", "embeddings.patch_embedding.weight"),
        inferred.image_encoder,
        "a CLIP image tower under the names of transformers",
    ),
)


def open_part(part: str, path: Path, state: str | None = None) -> Component:
    """Opens one part from a file of its own.

    Args:
        part: the expected part; `transformer_2` has the forms of `transformer`.
        path: the file.
        state: the name of a state dict, for a torch file with several.

    Raises:
        ValueError: if the file holds something else, saying what.
    """
    tensors = read_weights([path], state)
    plain = {name.replace(WRAPPED, ""): tensor for name, tensor in tensors.items()}
    form, matches = recognised(path, part, plain)
    return Component(matches, _configured(path, form, matches), [path], form.layout)


def recognised(path: Path, part: str, tensors: Tensors) -> tuple[Form, Tensors]:
    """The form of a part in a file, and its tensors without their prefix.

    Raises:
        ValueError: if the file does not hold this part, saying what it seems to hold.
    """
    kind = part.removesuffix("_2")
    if clip_original.MARKER in tensors:
        tensors = clip_original.renamed(tensors)
    for form in FORMS:
        prefix = form.prefix(list(tensors)) if form.part == kind else None
        if prefix is not None:
            matches = {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix) and not name.endswith(BESIDE)
            }
            return form, matches
    raise ValueError(
        f"{path} is {described(tensors)}: expected the {part.replace('_', ' ')} of a "
        f"Wan; {_advice(part, tensors)}"
    )


def described(tensors: Tensors) -> str:
    """A description of a file of weights, for messages."""
    names = list(tensors)
    if any(name.endswith(ADAPTER) for name in names):
        return "a LoRA, which changes a model and is none"
    for form in FORMS:
        if form.prefix(names) is not None:
            return form.words
    some = ", ".join(names[:3]) or "no tensors"
    return f"a file of another model (it has {some})"


def _advice(part: str, tensors: Tensors) -> str:
    if any(name.endswith(ADAPTER) for name in tensors):
        return "give the model that it was made for, and this file as --lora FILE"
    for form in FORMS:
        if form.part != part and form.prefix(list(tensors)) is not None:
            return f"give this file as --{form.part.replace('_', '-')}"
    return "give the file of a Wan"


def _configured(path: Path, form: Form, tensors: Tensors) -> dict[str, Any]:
    try:
        return form.config(tensors)
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise ValueError(f"{path}: {error}") from error
