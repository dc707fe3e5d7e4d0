"""The base of loaded models with one stream of video tokens."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh
from jaxtyping import Array, Float

from chorus_jax import checkpoints
from chorus_jax.checkpoints import Card
from chorus_jax.checkpoints.unchanged import WeightsFingerprint
from chorus_jax.devices import sharding
from chorus_jax.devices.memory import HOST_MEMORY
from chorus_jax.families.forward import TRANSFORMER, Latents
from chorus_jax.families.protocols import LoadOptions, RunStart
from chorus_jax.families.remembering import EncodedInputs
from chorus_jax.request import Request
from chorus_jax.schedulers.flow import add_noise
from chorus_jax.text.prompts import Conditioning, PromptEncoder, Tokenizer, Tokens

TEXT_ENCODER, VIDEO = "text_encoder", "video"


class ModelSizes(Protocol):
    """The configs of a model's parts."""

    def check_mesh(
        self, mesh: Mesh | AbstractMesh, request: Request, count: int
    ) -> None: ...


class SingleStreamModel:
    """Prompts, fingerprints and devices of a loaded model (see `protocols.VideoModel`);
    a family's model adds conditions, schedule and VAE.

    Args:
        parts: the modules by name, `text_encoder` among them.
        tokenizer: the text encoder's tokenizer.
        mesh: the devices that its weights are spread over; None for jax's choice.
        keep_text_encoder: False frees its memory once prompts are encoded.
        fingerprints: the fingerprint of each part; None to compute them from the
            arrays.

    Raises:
        ValueError: for a tokenizer of another text encoder.
    """

    sizes: ModelSizes
    vae: Any

    @property
    def transformers(self) -> Mapping[str, Any]:
        """The transformers by name."""
        raise NotImplementedError

    def __init__(
        self,
        parts: Mapping[str, Any],
        tokenizer: Tokenizer,
        mesh: Mesh | None,
        keep_text_encoder: bool,
        fingerprints: Mapping[str, str] | None,
    ):
        encoder = parts[TEXT_ENCODER]
        must_know(encoder.config.vocab, tokenizer)
        self.prompts = PromptEncoder(encoder, tokenizer)
        self.encoded = EncodedInputs()
        self.mesh, self.keep_text_encoder = mesh, keep_text_encoder
        known_prints = {} if fingerprints is None else fingerprints
        self._prints = {
            name: WeightsFingerprint(part, known_prints.get(name))
            for name, part in parts.items()
        }

    @property
    def parts(self) -> Mapping[str, Any]:
        """The modules by name as they are now; None for a text encoder that was
        freed."""
        others = {"vae": self.vae, **self.transformers}
        return {TEXT_ENCODER: self.prompts.encoder, **others}

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """Digests of the weights by part, from their folder or computed from the
        arrays."""
        parts = self.parts
        return {name: known(parts[name]) for name, known in self._prints.items()}

    @property
    def tokenizer_fingerprint(self) -> str:
        """The digest of the tokenizer's rules."""
        return self.prompts.tokenizer.fingerprint

    def check_mesh(self, request: Request, count: int) -> None:
        """Raises a ValueError unless the mesh divides a batch of `count` such
        requests."""
        if self.mesh is not None:
            self.sizes.check_mesh(self.mesh, request, count)

    def tokens(self, requests: Sequence[Request]) -> Tokens:
        """The tokens of all prompts and, with guidance, then of all negative
        prompts."""
        texts = [request.prompt for request in requests]
        if requests[0].guided:
            texts += [request.negative_prompt for request in requests]
        return self.prompts.tokenizer(texts)

    def begin(
        self, noise: Latents, requests: Sequence[Request], start: RunStart
    ) -> Latents:
        """The first latents of runs: noise, or noised initial latents."""
        streams = noise if isinstance(noise, dict) else {VIDEO: noise}
        over = {
            name: add_noise(latents, streams[name], start.level)
            for name, latents in start.initial_latents.items()
        }
        return {**noise, **over} if isinstance(noise, dict) else over.get(VIDEO, noise)

    def initial_latents(
        self, requests: Sequence[Request], tenant: str = ""
    ) -> dict[str, Array]:
        """An empty dictionary, because requests start from pure noise."""
        return {}

    def encode(
        self, requests: Sequence[Request], tenant: str, tokens: Tokens | None
    ) -> Conditioning:
        """The embeddings of all prompts and, with guidance, then of all negative
        prompts; they are remembered for this tenant."""
        if tokens is None:
            tokens = self.tokens(requests)
        text = self.prompts.encoded(tokens, tenant)
        if not self.keep_text_encoder:
            self.free_text_encoder()
        return text

    def encoded_input(
        self,
        part: str,
        what: Hashable,
        request: Request,
        tenant: str,
        encode: Callable[[], Array],
    ) -> np.ndarray | Array:
        """Encodes an input of a request, or takes the encoding from the cache.

        Args:
            part: the name of the model's part that encodes.
            what: tells this encoding from others that the part makes of the request.
            request: a request with inputs.
            tenant: its owner.
            encode: computes the encoding.
        """
        inputs, size = request.inputs, (request.height, request.width)
        assert inputs is not None
        made_by = (what, self.fingerprints[part])
        key = (*made_by, inputs.digest, request.frames, *size)
        return self.encoded(tenant, key, encode)

    def text_values(self, conditions: Mapping[str, Any]) -> Float[Array, "l m c"]:
        """The values of the first prompt's tokens in cross-attention."""
        return _of_first(conditions[TRANSFORMER].context.text.value)

    def forget_prompts(self, tenant: str | None = None) -> None:
        """Forgets what is remembered of a tenant's prompts and given frames (None: of
        all)."""
        self.prompts.forget(tenant)
        self.encoded.forget(tenant)

    def free_text_encoder(self) -> None:
        """Frees the text encoder's memory; prompts encoded before still work."""
        self.prompts.free()


def must_know(words: int, tokenizer: Tokenizer) -> None:
    """Raises a ValueError if a tokenizer has more tokens than the `words` that a text
    encoder embeds."""
    if tokenizer.size > words:
        raise ValueError(
            f"the tokenizer has {tokenizer.size} tokens, but the text encoder knows "
            f"{words}: they are of different models"
        )


def load_parts(
    folder: Path,
    card: Card,
    classes: Mapping[str, tuple[Any, type]],
    stored: Mapping[str, str],
    options: LoadOptions,
    on_host: Collection[str] = (),
) -> dict[str, Any]:
    """The parts of a converted checkpoint folder as modules, by name.

    Args:
        folder: the checkpoint.
        card: the folder's card; weights with other digests are refused.
        classes: the module's and the config's class of each part.
        stored: the name of each part in the folder.
        options: the options of loading, of which the dtype and the mesh are used.
        on_host: the parts that are kept in the host's memory.

    Raises:
        ValueError: for a folder that holds something else (see `checkpoints.load`), and
            for a mesh that does not divide a part, before any part is read.
    """
    mesh = options.mesh
    if mesh is not None:
        for name, (kind, config) in classes.items():
            settings: Any = checkpoints.config_from(
                config, card.part(stored[name]).config
            )
            sharding.shardings(checkpoints.abstract(kind, settings), mesh)
    place = None if mesh is None else lambda module: sharding.shardings(module, mesh)
    there = sharding.unsharded if place is None else place
    beside = lambda module: sharding.in_memory(there(module), HOST_MEMORY)
    return {
        name: checkpoints.load(
            folder,
            stored[name],
            *kinds,
            dtype=options.dtype,
            place=beside if name in on_host else place,
            card=card,
            verify=options.verify,
        )
        for name, kinds in classes.items()
    }


@jax.jit
def _of_first(values: Float[Array, "l b m h e"]) -> Float[Array, "l m c"]:
    """The first row's values, with heads joined."""
    first = values[:, 0]
    return first.reshape(*first.shape[:2], -1)
