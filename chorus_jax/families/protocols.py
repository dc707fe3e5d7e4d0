"""The interfaces between model families and the rest of the library.

A family is a folder of this package: its transformer makes a `Forward` for each step
(`families.forward`), and its `VideoModel` turns requests into conditions, and latents
into frames. Nothing outside a family's folder, its conversion table and the registry
knows its types.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jax.sharding import Mesh
from jaxtyping import Array

from chorus_jax.families.forward import (
    TRANSFORMER,
    Conditions,
    Geometry,
    Latents,
    Transformer,
)
from chorus_jax.request import Request
from chorus_jax.schedulers import Solver
from chorus_jax.text.prompts import Tokens

# Where an idle expert's weights may be.
PLACES = DEVICES, HOST = "devices", "host"


@dataclass(frozen=True, eq=False)
class RunStart:
    """The inputs, besides noise, from which a run's first latents are made.

    Attributes:
        conditions: the conditions of each transformer, by name.
        initial_latents: latents to add noise to, by stream: of an input video, or of
            the source of a hit; empty to start from pure noise.
        level: the noise level of `initial_latents`, 0 to 1.
        tenant: the owner of the requests; encoded inputs are remembered per tenant.
    """

    conditions: Mapping[str, Conditions]
    initial_latents: Mapping[str, Array] = field(default_factory=dict)
    level: float = 1.0
    tenant: str = ""


@runtime_checkable
class VideoModel(Protocol):
    """A loaded model: turns requests into conditions, and latents into frames.

    Attributes:
        family: the family's name in the registry.
        mesh: the devices that the weights are spread over; None for jax's choice.
        transformers: the transformers by name; `experts` says which one runs each step.
        fingerprints: an identifier of each part's weights, by part.
        tokenizer_fingerprint: an identifier of the tokenizer's rules.
        numerics: the dtypes that the model computes in.
    """

    family: str
    mesh: Mesh | None

    @property
    def transformers(self) -> Mapping[str, Transformer]: ...

    @property
    def fingerprints(self) -> Mapping[str, str]: ...

    @property
    def tokenizer_fingerprint(self) -> str: ...

    @property
    def numerics(self) -> str: ...

    def geometry(self, request: Request) -> Geometry:
        """The shapes of a request's latents. Raises a ValueError for sizes that do not
        fit."""

    def check_mesh(self, request: Request, count: int) -> None:
        """Raises a ValueError unless the mesh divides a batch of `count` such
        requests."""

    def solver(self, request: Request) -> Solver:
        """The solver for a request, with its schedule."""

    def experts(self, request: Request) -> tuple[str, ...]:
        """The name of the transformer that runs each step of a request's schedule."""

    def fps(self, request: Request) -> float | None:
        """The frame rate that a request's positions are computed with; None if the
        model does not use one."""

    def tokens(self, requests: Sequence[Request]) -> Tokens:
        """The tokens of the requests' prompts and then of their negative prompts, if
        they are read, without encoding them."""

    def condition(
        self,
        requests: Sequence[Request],
        tenant: str = "",
        tokens: Tokens | None = None,
    ) -> tuple[Mapping[str, Conditions], tuple[str, ...]]:
        """Encodes the inputs of requests.

        Args:
            requests: the requests of a batch.
            tenant: their owner; encoded prompts are remembered per tenant.
            tokens: what `tokens` returned for these requests; None to call it here.

        Returns:
            The conditions of each transformer, by name, and for each prompt the text
            cut off at the text limit ("" if all of it fits).
        """

    def begin(
        self, noise: Latents, requests: Sequence[Request], start: "RunStart"
    ) -> Latents:
        """The first latents of a run: noise, or initial latents with noise, except
        where the requests give frames."""

    def initial_latents(
        self, requests: Sequence[Request], tenant: str = ""
    ) -> dict[str, Array]:
        """The encoded videos that the requests start from, by stream, to which noise is
        added for the first step; empty for requests that start from pure noise."""

    def forget_prompts(self, tenant: str | None = None) -> None:
        """Drops the remembered prompts of a tenant (None: of all tenants)."""

    def text_values(self, conditions: Mapping[str, Conditions]) -> Array:
        """The cross-attention values of the first prompt's text tokens in each layer,
        [l m c]."""

    def decode(self, latents: Latents, requests: Sequence[Request]) -> Iterator[Array]:
        """Decodes latents to frames in [-1, 1], one group [b f h w 3] per latent frame.

        Args:
            latents: the final latents of a batch.
            requests: the requests of these latents; a decoder that adds noise uses
                their seeds.
        """

    def free_text_encoder(self) -> None:
        """Frees the text encoder's memory; remembered prompts still work."""


@runtime_checkable
class SoundModel(Protocol):
    """A video model whose latents include sound.

    Attributes:
        sound_rate: samples per second.
    """

    @property
    def sound_rate(self) -> int: ...

    def sound(self, latents: Latents) -> Array:
        """Decodes the sound of latents: samples in [-1, 1], [b samples channels]."""


@runtime_checkable
class EnlargingModel(Protocol):
    """A model that can refine a video in a second run at a larger size."""

    def enlarge(self, latents: Latents) -> dict[str, Array]:
        """The latents that the second run starts from, by stream and without noise: the
        video's enlarged, any others unchanged. Raises a ValueError without an
        upsampler."""


@runtime_checkable
class OffloadingModel(Protocol):
    """A model that keeps its transformers in the host's memory, and one of them at a
    time on the devices."""

    def resident(self, name: str) -> Transformer:
        """The named transformer on the devices, in place of the one that was there."""


@dataclass(frozen=True)
class Defaults:
    """The default settings of a model's requests.

    Attributes:
        request: a request with the default settings and no prompt.
        fps: frames per second at which the videos are shown.
        source: where these values come from, in words.
        fit: sets a request's size from its image or video, except for the fields that
            the caller gave; None if the size does not depend on the inputs.
    """

    request: Request
    fps: int
    source: str
    fit: Callable[[Request, Collection[str]], Request] | None = None

    def changed(self, **fields: Any) -> Request:
        """A request with these fields; the others have their defaults."""
        return self.fitted(self.request.changed(**fields), fields)

    def fitted(self, request: Request, given: Collection[str]) -> Request:
        """The request with its size set from its inputs; `given` fields are kept."""
        return request if self.fit is None else self.fit(request, given)


@dataclass(frozen=True)
class LoadOptions:
    """Options of loading a checkpoint folder.

    Attributes:
        transformer: the name of the part to run as the transformer.
        dtype: the dtype to load; None for the stored one.
        mesh: the devices to spread the weights over; each reads its own share.
        keep_text_encoder: False frees the text encoder's memory once the first prompts
            are encoded.
        verify: whether to check the digests of all weights again, even if the files
            have not changed since the last check.
        idle_expert: where the weights of an expert that does not run are, one of
            `PLACES`.
    """

    transformer: str = TRANSFORMER
    dtype: str | None = None
    mesh: Mesh | None = None
    keep_text_encoder: bool = True
    verify: bool = False
    idle_expert: str = DEVICES

    def check_experts(self, count: int) -> None:
        """Raises a ValueError for an idle expert in the host's memory if the model has
        `count` transformers, not two."""
        if self.idle_expert == HOST and count < 2:
            raise ValueError(
                "idle_expert='host' is for models with two experts, and this one has "
                "one transformer: leave it out"
            )


@runtime_checkable
class RequestCheck(Protocol):
    """The check of a folder's requests, before anything is run."""

    def __call__(
        self, request: Request, batch: int = 1, held_keys: bool = False
    ) -> None:
        """Raises a ValueError if the model cannot run `batch` such requests at once, or
        not in the devices' memory.

        Args:
            request: the request.
            batch: the number of such requests.
            held_keys: whether the run also holds the keys and values of all tokens, as
                one with a region does; with token budgets it always does.
        """


@runtime_checkable
class Family(Protocol):
    """A model family, as the registry lists it.

    Attributes:
        name: the family's name in checkpoint cards.
        fps: the frames per second of the family's videos.
        published: the settings of the family's published models, by name.
    """

    name: str
    fps: int
    published: Mapping[str, Defaults]

    def load(self, folder: Path, options: LoadOptions) -> VideoModel:
        """Loads the model of a converted checkpoint folder.

        Raises a ValueError for a folder of another family, and for options that its
        model does not have; these are refused before any weights are read.
        """

    def checker(
        self, folder: Path, options: LoadOptions = LoadOptions()
    ) -> RequestCheck:
        """A check of requests: it raises a ValueError for a request that the folder's
        model cannot run, or not in this machine's memory.

        The folder's card is read once, and no weights.

        Raises:
            ValueError: for options that the model does not have.
        """

    def defaults(self, folder: Path, transformer: str = TRANSFORMER) -> Defaults:
        """A folder's default settings: the published ones if its model is known."""

    def fingerprints(self, folder: Path, transformer: str) -> Mapping[str, str]:
        """Fingerprints of the weights that a run reads, by part (see
        `VideoModel.fingerprints`), from a folder's card."""

    def distilled(self, folder: Path) -> tuple[str, ...]:
        """Names of the parts of a folder that can replace the default transformer."""

    def lines(self, folder: Path) -> Iterator[tuple[str, str]]:
        """Yields (name, text) lines that describe a folder's contents to a person."""
