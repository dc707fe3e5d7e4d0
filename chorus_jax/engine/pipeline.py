"""The pipeline: requests to videos, with no serving policy.

Text encoder, denoising loop and decoder in a row. `stream` yields progress as it goes
and stops when its caller stops; calling the pipeline runs it through.
"""

import functools
import logging
import secrets
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float32, UInt8

from chorus_jax import checkpoints
from chorus_jax.checkpoints import Card
from chorus_jax.denoise import sampler
from chorus_jax.devices import sharding
from chorus_jax.devices.compilation import enable_cache
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.parts import PARTS, TRANSFORMER, Sizes, stored_names
from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.media.video import to_uint8
from chorus_jax.request import Request, same_program
from chorus_jax.text.prompts import PromptEncoder, Tokenizer

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Video:
    """What a request gave.

    `frames` are [f h w 3], 8 bits; `latents` the denoised latents [f h w c]; `request`
    is the request with the seed that was used; `cut` is the end of the prompt that was
    beyond the text limit; `seconds` are by part, of the whole batch.
    """

    frames: np.ndarray
    latents: np.ndarray
    request: Request
    cut: str
    seconds: dict[str, float]


@dataclass(frozen=True)
class Progress:
    """`done` of `total` of a stage (`encode`, `denoise`, `decode`).

    The last one of a run carries the videos.
    """

    stage: str
    done: int
    total: int
    videos: tuple[Video, ...] = ()


class Pipeline:
    """The parts of one model, and how they make videos together."""

    def __init__(
        self,
        parts: dict[str, Any],
        tokenizer: Tokenizer,
        *,
        mesh: Mesh | None = None,
        keep_text_encoder: bool = True,
        fingerprints: Mapping[str, str] | None = None,
    ):
        self.sizes = Sizes(**{name: part.config for name, part in parts.items()})
        known, words = self.sizes.text_encoder.vocab, tokenizer.size
        if words > known:
            raise ValueError(
                f"the tokenizer has {words} tokens, but the text encoder knows {known}:"
                " they are of different models"
            )
        self.transformer: WanDiT = parts["transformer"]
        self.vae: WanVAE = parts["vae"]
        self.prompts = PromptEncoder(parts["text_encoder"], tokenizer)
        self.mesh, self.keep_text_encoder = mesh, keep_text_encoder
        self._fingerprints = fingerprints

    @functools.cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """What tells these weights from others, by part: those of the folder that they
        came from, or digests of the arrays."""
        if self._fingerprints is not None:
            return self._fingerprints
        text = self.prompts.encoder
        if text is None:
            raise ValueError(
                "the text encoder was freed, and these parts came without fingerprints:"
                " give them, or ask for them before"
            )
        parts = {"vae": self.vae, "text_encoder": text, TRANSFORMER: self.transformer}
        return {name: checkpoints.digested(part) for name, part in parts.items()}

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        transformer: str = TRANSFORMER,
        dtype: str | None = None,
        mesh: Mesh | None = None,
        keep_text_encoder: bool = True,
    ) -> "Pipeline":
        """The pipeline of a converted checkpoint folder.

        `transformer` is the part of the folder that is the transformer: a folder may
        hold several, such as a distilled one.
        `dtype` replaces the stored one; with a mesh every device reads its own share of
        the weights. Without `keep_text_encoder` its memory is given back once the first
        prompts are encoded. Turns jax's compilation cache on. ValueError for a folder
        that holds something else (see `checkpoints.load`).
        """
        enable_cache()
        limit = Sizes.read(folder, transformer).transformer.text_limit
        tokenizer = Tokenizer.load(Path(folder) / "tokenizer", limit)
        place = None if mesh is None else lambda m: sharding.shardings(m, mesh)
        stored = stored_names(transformer)
        parts = {
            name: checkpoints.load(
                folder, stored[name], *classes, dtype=dtype, place=place
            )
            for name, classes in PARTS.items()
        }
        card = Card.read(folder)
        return cls(
            parts,
            tokenizer,
            mesh=mesh,
            keep_text_encoder=keep_text_encoder,
            fingerprints={name: card.part(stored[name]).fingerprint for name in PARTS},
        )

    def free_text_encoder(self) -> None:
        """Gives the text encoder's memory back; prompts seen before still work."""
        self.prompts.free()

    def __call__(self, *requests: Request) -> list[Video]:
        """The videos of requests of one size and schedule, run as one batch.

        All steps are one jitted call. Raises as `stream` does.
        """
        *_, last = self.stream(*requests, every=None)
        return list(last.videos)

    def stream(self, *requests: Request, every: int | None = 1) -> Iterator[Progress]:
        """Runs a batch, yielding progress; a caller that stops iterating stops the run.

        `every` is the number of steps a call of the compiled loop (None: all). Raises
        ValueError for sizes that do not divide, over the mesh too, for requests that
        differ in size or schedule, and if the model gives numbers that are not finite.
        """
        same_program(requests)
        self.sizes.latent_shape(requests[0])
        if self.mesh is not None:
            self.sizes.check_mesh(self.mesh, requests[0], len(requests))
        run = self.steps([with_seed(request) for request in requests], every)
        while True:
            # The mesh is set while we compute, not while the caller does.
            with self.computing():
                progress = next(run, None)
            if progress is None:
                return
            yield progress

    def computing(self) -> AbstractContextManager:
        """The context of computing on this pipeline's mesh."""
        return nullcontext() if self.mesh is None else jax.set_mesh(self.mesh)

    def placed(self, x: np.ndarray, like: Array) -> Array:
        """An array bound to where this pipeline computes, which is where `like` is:
        what a step returns is, and steps that start from anything else are compiled
        once more."""
        if self.mesh is not None:
            return jax.device_put(x, NamedSharding(self.mesh, PartitionSpec()))
        devices = like.devices()
        # Parts that are spread without a mesh of ours are jax's to place.
        return jax.device_put(x, *devices) if len(devices) == 1 else jnp.asarray(x)

    def steps(
        self, requests: Sequence[Request], every: int | None
    ) -> Iterator[Progress]:
        """`stream` for requests that have seeds and agree."""
        seconds: dict[str, float] = {}
        yield Progress("encode", 0, 1)
        with timed(seconds, "encode"):
            conditions, cut = self.condition(requests)
        if not self.keep_text_encoder:
            self.free_text_encoder()
        yield Progress("encode", 1, 1)
        latents = yield from self.denoise(requests, conditions, seconds, every)
        frames = yield from self.decode(latents, seconds)
        rows = zip(frames, np.asarray(latents), requests, cut, strict=True)
        videos = tuple(Video(*row, seconds) for row in rows)
        yield Progress("decode", latents.shape[1], latents.shape[1], videos)

    def condition(
        self, requests: Sequence[Request]
    ) -> tuple[sampler.Conditions, list[str]]:
        """What the loop conditions on, and the cut end of each prompt."""
        first = requests[0]
        prompts = [request.prompt for request in requests]
        if first.guided:
            prompts += [request.negative_prompt for request in requests]
        text = self.prompts(prompts)
        for prompt, cut in zip(prompts, text.cut):
            if cut:
                log.warning("cut at %d tokens: %r loses %r", text.limit, prompt, cut)
        scales = jnp.array([request.guidance_scale for request in requests])
        conditions = sampler.prepare(
            self.transformer,
            text.embeddings,
            text.lengths,
            scales if first.guided else None,
            solver=first.make_solver(),
            grid=self.sizes.grid(first),
        )
        return conditions, list(text.cut[: len(requests)])

    def denoise(
        self,
        requests: Sequence[Request],
        conditions: sampler.Conditions,
        seconds: dict[str, float],
        every: int | None,
    ) -> Generator[Progress, None, Float32[Array, "b f h w c"]]:
        """Noise to latents [b f h w c] (the generator's return value), step by step."""
        solver, shape = requests[0].make_solver(), self.sizes.latent_shape(requests[0])
        drawn = np.array([request.seed for request in requests], np.uint32)
        seeds = self.placed(drawn, conditions.rotary)
        with timed(seconds, "denoise"):
            run = sampler.start(sampler.noise(seeds, shape), solver=solver)
            for done, run in sampler.stepwise(
                self.transformer, conditions, run, solver, every=every
            ):
                yield Progress("denoise", done, solver.schedule.steps)
        check_finite(run.latents)
        return run.latents

    def decode(
        self, latents: Float32[Array, "b f h w c"], seconds: dict[str, float]
    ) -> Generator[Progress, None, np.ndarray]:
        """Latents to frames [b f h w 3], 8 bits (the generator's return value)."""
        groups = []
        with timed(seconds, "decode"):
            for group in self.vae.decode_stream(latents):
                groups.append(
                    np.stack([to_uint8(video) for video in np.asarray(group)])
                )
                yield Progress("decode", len(groups), latents.shape[1])
        return np.concatenate(groups, axis=1)

    def decoded(
        self, latents: Float32[Array, "b f h w c"], seconds: dict[str, float]
    ) -> UInt8[np.ndarray, "b g y x 3"]:
        """The frames of latents, without progress."""
        return ended(self.decode(latents, seconds))


def ended(run: Generator[Any, None, T]) -> T:
    """What a generator returns at its end."""
    while True:
        try:
            next(run)
        except StopIteration as end:
            return end.value


def check_finite(latents: Float32[Array, "b f h w c"]) -> None:
    """ValueError if a model gave numbers that are not finite."""
    if not bool(jnp.isfinite(latents).all()):
        raise ValueError(
            "the model gave latents that are not finite: check the weights with "
            "`python -m convert wan SRC DST --verify`, or try dtype float32"
        )


class timed:
    """Adds the seconds that a block took to an entry of a dictionary."""

    def __init__(self, seconds: dict[str, float], name: str):
        self.seconds, self.name = seconds, name

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        took = time.perf_counter() - self.began
        self.seconds[self.name] = self.seconds.get(self.name, 0.0) + took


def with_seed(request: Request) -> Request:
    """The request with a seed: its own, or one drawn anew."""
    if request.seed is not None:
        return request
    return replace(request, seed=secrets.randbits(32))
