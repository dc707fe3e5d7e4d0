"""The seams between model families and the rest of the library.

A family is a folder of this package: its transformer gives a `Forward` for each step
(`families.forward`), and its `VideoModel` turns requests into conditions and latents
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


@dataclass(frozen=True, eq=False)
class RunStart:
    """The inputs of a run's first latents besides noise.

    Attributes:
        conditions: of each transformer.
        begun: latents that the noise lies over, of some streams; none for pure noise.
        level: how much of the noise lies over them, 0 to 1.
        tenant: whose requests they are; what is remembered of their inputs is the
            tenant's only.
    """

    conditions: Mapping[str, Conditions]
    begun: Mapping[str, Array] = field(default_factory=dict)
    level: float = 1.0
    tenant: str = ""


@runtime_checkable
class VideoModel(Protocol):
    """A loaded model with all its parts: requests to conditions, latents to frames.

    Attributes:
        family: its name in the registry.
        mesh: the devices that its weights are spread over; None for jax's choice.
        transformers: by name; `experts` says which of them runs a step.
        fingerprints: what tells the weights of each part from others.
        tokenizer_fingerprint: what tells the tokenizer's rules from others.
        numerics: the dtypes that it computes in.
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
        """The shapes of a request's latents. ValueError for sizes that do not fit."""

    def check_mesh(self, request: Request, count: int) -> None:
        """ValueError unless the mesh divides a batch of `count` such requests."""

    def solver(self, request: Request) -> Solver:
        """The solver over the schedule of a request."""

    def experts(self, request: Request) -> tuple[str, ...]:
        """The transformer of each step of a request's schedule."""

    def fps(self, request: Request) -> float | None:
        """The frames per second that a request's positions stand for; None if the model
        does not read them."""

    def tokens(self, prompts: Sequence[str]) -> Tokens:
        """The tokens of prompts, without encoding them."""

    def condition(
        self,
        requests: Sequence[Request],
        tenant: str = "",
        tokens: Tokens | None = None,
    ) -> tuple[Mapping[str, Conditions], tuple[str, ...]]:
        """The conditions of each transformer's steps, and the end of each prompt that
        is beyond the text limit, mostly "".

        What is remembered of the prompts is the tenant's only. `tokens` are those of
        the prompts, None to make them.
        """

    def begin(
        self, noise: Latents, requests: Sequence[Request], start: "RunStart"
    ) -> Latents:
        """The latents that runs begin with: the noise, but where frames are given."""

    def with_given(
        self, latents: Latents, requests: Sequence[Request], tenant: str = ""
    ) -> Latents:
        """Latents of an earlier run, with those given frames of these requests that no
        step moves in their places."""

    def begun(self, requests: Sequence[Request], tenant: str = "") -> dict[str, Array]:
        """The latents of the videos that requests begin from, by stream, which the
        noise of the first step lies over; none for requests that begin from noise."""

    def forget_prompts(self, tenant: str | None = None) -> None:
        """Forgets what it remembers of a tenant's prompts (None: of all)."""

    def text_values(self, conditions: Mapping[str, Conditions]) -> Array:
        """The values of the first prompt's text tokens in each layer of cross-
        attention, [l m c]."""

    def decode(self, latents: Latents, requests: Sequence[Request]) -> Iterator[Array]:
        """Frames of latents in [-1, 1], a group [b f h w 3] per latent frame.

        The requests are those that the latents were made for, with their seeds: a
        decoder may add noise of its own.
        """

    def free_text_encoder(self) -> None:
        """Gives the text encoder's memory back; remembered prompts still work."""


@runtime_checkable
class SoundModel(Protocol):
    """A video model whose latents hold a sound too.

    Attributes:
        sound_rate: samples per second.
    """

    @property
    def sound_rate(self) -> int: ...

    def sound(self, latents: Latents) -> Array:
        """The sound of latents in [-1, 1], [b samples channels]."""


@runtime_checkable
class EnlargingModel(Protocol):
    """A model whose videos have a second pass at a larger size."""

    def enlarge(self, latents: Latents) -> dict[str, Array]:
        """The streams that a second pass begins from, without noise: the video's
        latents at its size. ValueError if the model came without what enlarges
        them."""


@dataclass(frozen=True)
class Defaults:
    """The settings of a model where a request gives no others.

    Attributes:
        request: a request without its prompt.
        fps: frames per second at which its videos are shown.
        source: where these values come from, in words.
        fit: gives a request the size that follows from the image or video it is made
            of, but for the fields that its caller gave; None where none does.
    """

    request: Request
    fps: int
    source: str
    fit: Callable[[Request, Collection[str]], Request] | None = None

    def changed(self, **fields: Any) -> Request:
        """A request with these fields in place of the defaults."""
        return self.fitted(self.request.changed(**fields), fields)

    def fitted(self, request: Request, given: Collection[str]) -> Request:
        """A request at the size that follows from its inputs; `given` fields stay."""
        return request if self.fit is None else self.fit(request, given)


@runtime_checkable
class Family(Protocol):
    """A model family, as the registry lists it.

    Attributes:
        name: that of checkpoints' cards.
        fps: the frames per second of its videos.
        published: the settings of its published models, by name.
    """

    name: str
    fps: int
    published: Mapping[str, Defaults]

    def load(self, folder: Path, options: "LoadOptions") -> VideoModel:
        """The model of a converted checkpoint folder.

        ValueError for that of another family.
        """

    def check(
        self, folder: Path, transformer: str, request: Request, mesh: Mesh | None
    ) -> None:
        """ValueError for what cannot run together, or not in this machine's memory;
        reads no weights."""

    def defaults(self, folder: Path, transformer: str = TRANSFORMER) -> Defaults:
        """The settings of a folder's model, as published if it is recognised."""

    def distilled(self, folder: Path) -> tuple[str, ...]:
        """The parts of a folder that can be run in place of the usual transformer."""

    def lines(self, folder: Path) -> Iterator[tuple[str, str]]:
        """Names and values that tell a person what a folder holds."""


@dataclass(frozen=True)
class LoadOptions:
    """Options of loading a checkpoint folder.

    Attributes:
        transformer: the part that is run as the transformer.
        dtype: in place of the stored one.
        mesh: with it every device reads its own share of the weights.
        keep_text_encoder: False gives its memory back once the first prompts are
            encoded.
        verify: whether the digests of all weights are taken, though they were before
            and the files are the same since.
    """

    transformer: str = TRANSFORMER
    dtype: str | None = None
    mesh: Mesh | None = None
    keep_text_encoder: bool = True
    verify: bool = False
