"""The pipeline: requests to videos, with no serving policy.

Text encoder, denoising loop and decoder in a row. `stream` yields progress as it goes
and stops when its caller stops; calling the pipeline runs it through.
"""

import dataclasses
import logging
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, UInt8

from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program
from chorus_jax.denoise.state import Inputs, RunState
from chorus_jax.devices.compilation import enable_cache
from chorus_jax.engine.events import Progress, Video
from chorus_jax.families import registry
from chorus_jax.families.forward import TRANSFORMER, Conditions, Geometry, Latents
from chorus_jax.families.protocols import (
    Defaults,
    EnlargingModel,
    LoadOptions,
    RunStart,
    SoundModel,
    VideoModel,
)
from chorus_jax.intra_request import EveryStep
from chorus_jax.media.sound import Sound
from chorus_jax.media.video import to_uint8
from chorus_jax.request import Request, same_program
from chorus_jax.text.prompts import Tokens

log = logging.getLogger(__name__)

T = TypeVar("T")

GENERAL = Defaults(Request(""), 16, "those of a Request: the model came without any")


class Pipeline:
    """A model that makes videos.

    Attributes:
        model: the loaded model.
        defaults: what it runs with where a request does not say (see `request`).
        check_memory: raises ValueError for a request that needs more memory than the
            devices have; refuses nothing by default.
    """

    def __init__(
        self,
        model: VideoModel,
        defaults: Defaults = GENERAL,
        check_memory: Callable[[Request], None] = lambda request: None,
    ):
        self.model, self.defaults = model, defaults
        self.check_memory = check_memory

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        transformer: str = TRANSFORMER,
        dtype: str | None = None,
        mesh: Mesh | None = None,
        keep_text_encoder: bool = True,
        verify: bool = False,
    ) -> "Pipeline":
        """The pipeline of a converted checkpoint folder of any family.

        Turns jax's compilation cache on.

        Args:
            folder: the checkpoint.
            transformer: the part that is run as the transformer: a folder may hold
                several, such as a distilled one.
            dtype: in place of the stored one.
            mesh: with it every device reads its own share of the weights.
            keep_text_encoder: False gives its memory back once the first prompts are
                encoded.
            verify: whether the digests of all weights are taken, though they were
                before and the files are the same since.

        Raises:
            ValueError: for a folder that holds something else.
        """
        enable_cache()
        options = LoadOptions(transformer, dtype, mesh, keep_text_encoder, verify)
        family = registry.family_of(folder)
        folder = Path(folder)
        defaults = family.defaults(folder, transformer)
        check = lambda request: family.check(folder, transformer, request, mesh)
        return cls(family.load(folder, options), defaults, check)

    def check(self, request: Request, batch: int = 1) -> None:
        """ValueError for a size that does not divide, over the mesh too, or for which
        there is too little memory; before anything is run.

        Args:
            request: is asked for.
            batch: requests that are run at once.
        """
        self.model.geometry(request)
        self.model.check_mesh(request, batch)
        self.check_memory(request)

    def request(self, prompt: str, **fields: Any) -> Request:
        """A request with this model's defaults.

        Of a Wan its size is the usual area at the aspect of its image or video.

        Args:
            prompt: what the video shows.
            fields: other fields of `Request`, such as `seed=1` or `steps=20`.

        Raises:
            ValueError: for a field that there is not, or an impossible value.
        """
        try:
            return self.defaults.changed(prompt=prompt, **fields)
        except TypeError as error:
            known = ", ".join(field.name for field in dataclasses.fields(Request))
            unknown = ", ".join(fields)
            raise ValueError(
                f"the fields of a request are {known}; got {unknown}"
            ) from error

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """Fingerprints of the weights, by part."""
        return self.model.fingerprints

    def __call__(self, *requests: Request) -> list[Video]:
        """The videos of requests of one size and schedule, run as one batch.

        All steps are one jitted call. Raises as `stream` does.
        """
        *_, last = self.stream(*requests, every=None)
        return list(last.videos)

    def stream(self, *requests: Request, every: int | None = 1) -> Iterator[Progress]:
        """Runs a batch, yielding progress; a caller that stops iterating stops the run.

        Args:
            requests: of one size and schedule.
            every: steps per call of the compiled loop (None: all).

        Raises:
            ValueError: for sizes that do not divide, over the mesh too, for requests
                that differ in size or schedule, and if the model gives numbers that are
                not finite.
        """
        same_program(requests)
        self.check(requests[0], len(requests))
        run = self.steps([with_seed(request) for request in requests], every)
        while True:
            # The mesh is set while we compute, not while the caller does.
            with self.computing():
                progress = next(run, None)
            if progress is None:
                return
            yield progress

    def refine(self, video: Video, request: Request) -> Video:
        """A second pass over a video at the size that the model enlarges it to.

        Args:
            video: of a first pass.
            request: of the larger size, with sigmas of its own (`steps`) from below 1
                on: as much noise as the first of them says is put over the latents,
                those of a sound too.

        Raises:
            ValueError: for a model without a second pass, another size than that of the
                enlarged video, and what `stream` raises.
        """
        if not isinstance(self.model, EnlargingModel):
            raise ValueError("this model has no second pass")
        self.check(request)
        with self.computing():
            larger = self.model.enlarge(jax.tree.map(lambda x: x[None], video.latents))
            geometry = self.model.geometry(request)
            wanted, shapes = dict(geometry.streams), larger.items()
            made = {name: array.shape[1:] for name, array in shapes}
            asked = {name: wanted[name] for name in made}
            if made != asked:
                raise ValueError(
                    f"the enlarged video has latents of {made}, the request is of "
                    f"{asked}: ask for twice the height and width of the first, and "
                    "as many frames"
                )
            run = self.steps([with_seed(request)], None, larger)
            *_, last = run
        return last.videos[0]

    def computing(self) -> AbstractContextManager:
        """The context of computing on this pipeline's mesh."""
        mesh = self.model.mesh
        return nullcontext() if mesh is None else jax.set_mesh(mesh)

    def placed(self, x: np.ndarray, like: Any) -> Array:
        """An array bound to where this pipeline computes, which is where the arrays of
        `like` are: what a step returns is, and steps that start from anything else are
        compiled once more."""
        if self.model.mesh is not None:
            return jax.device_put(x, NamedSharding(self.model.mesh, PartitionSpec()))
        devices = jax.tree.leaves(like)[0].devices()
        # Parts that are spread without a mesh of ours are jax's to place.
        return jax.device_put(x, *devices) if len(devices) == 1 else jnp.asarray(x)

    def steps(
        self,
        requests: Sequence[Request],
        every: int | None,
        begun: Mapping[str, Array] | None = None,
    ) -> Iterator[Progress]:
        """`stream` for requests that have seeds and agree; `begun` are streams to put
        the noise of the first step over."""
        seconds: dict[str, float] = {}
        yield Progress("encode", 0, 1)
        with timed(seconds, "encode"):
            conditions, cut = self.condition(requests)
        yield Progress("encode", 1, 1)
        plan = StepPlan.plain(
            len(self.model.experts(requests[0])),
            cache=requests[0].own_cache or EveryStep(),
            budgets=requests[0].token_budgets,
        )
        program = self.program(requests[0], plan)
        inputs = self.inputs(conditions, seeds=self.seeds(requests, conditions))
        noise = self.beginning(requests, program, conditions, begun=begun)
        with timed(seconds, "denoise"):
            state = yield from self.denoise(program, inputs, noise, every)
        frames = yield from self.decode(state.latents, requests, seconds)
        latents = unstacked(state.latents)
        sounds = self.sound(state.latents, seconds)
        rows = zip(frames, latents, requests, cut, strict=True)
        videos = tuple(
            Video(*row, seconds, sound) for row, sound in zip(rows, sounds, strict=True)
        )
        count = groups(program.geometry)
        yield Progress("decode", count, count, videos)

    def condition(
        self,
        requests: Sequence[Request],
        tenant: str = "",
        tokens: Tokens | None = None,
    ) -> tuple[Mapping[str, Conditions], tuple[str, ...]]:
        """The conditions of the loop, and the cut end of each prompt; `tokens` are
        those of the prompts, None to make them."""
        conditions, cut = self.model.condition(requests, tenant, tokens)
        for request, end in zip(requests, cut, strict=True):
            if end:  # in numbers only: a log is no place for prompts
                log.warning(
                    "a prompt of %d characters is cut at the text limit: its last %d "
                    "are not read (see Video.cut)",
                    len(request.prompt),
                    len(end),
                )
        return conditions, cut

    def program(self, request: Request, plan: StepPlan) -> Program:
        """The program of a plan for such a request."""
        return Program(
            plan.with_experts(self.model.experts(request)),
            self.model.solver(request),
            self.model.geometry(request),
        )

    def inputs(self, conditions: Mapping[str, Conditions], **arrays: Any) -> Inputs:
        """The arrays of a run; `arrays` are further fields of `Inputs`."""
        return Inputs(self.model.transformers, conditions, **arrays)

    def noise(
        self,
        requests: Sequence[Request],
        geometry: Geometry,
        conditions: Mapping[str, Conditions],
        tenant: str = "",
        begun: Mapping[str, Array] | None = None,
        level: float = 1.0,
    ) -> Latents:
        """The noise of the requests' seeds, with the frames that they give in their
        places; `level` says how much of it lies over the streams that are `begun`."""
        noise = loop.noise(self.seeds(requests, conditions), geometry)
        start = RunStart(conditions, begun or {}, level, tenant)
        return self.model.begin(noise, requests, start)

    def beginning(
        self,
        requests: Sequence[Request],
        program: Program,
        conditions: Mapping[str, Conditions],
        tenant: str = "",
        begun: Mapping[str, Array] | None = None,
    ) -> Latents:
        """The latents before the first step of a run: noise, or as much of it as the
        schedule says over latents to begin from.

        Args:
            requests: of one program.
            program: what is run.
            conditions: of the run.
            tenant: whose requests they are.
            begun: latents to begin from, by stream; None for those of the requests'
                videos.
        """
        begun = self.model.begun(requests, tenant) if begun is None else begun
        level = program.solver.schedule.sigmas[0]
        return self.noise(requests, program.geometry, conditions, tenant, begun, level)

    def seeds(
        self, requests: Sequence[Request], conditions: Mapping[str, Conditions]
    ) -> Array:
        """The requests' seeds, where the conditions are."""
        seeds = np.array([request.seed for request in requests], np.uint32)
        return self.placed(seeds, conditions)

    def denoise(
        self, program: Program, inputs: Inputs, latents: Latents, every: int | None
    ) -> Generator[Progress, None, RunState]:
        """Runs a program to its end (the generator's return value is the state).

        Raises:
            NotFiniteError: if the model gives numbers that are not finite.
        """
        state, steps = loop.start(inputs, latents, program=program), program.plan.steps
        for done, state in loop.in_pieces(inputs, state, program, every):
            yield Progress("denoise", done, steps)
        check_finite(state.latents)
        return state

    def decode(
        self, latents: Latents, requests: Sequence[Request], seconds: dict[str, float]
    ) -> Generator[Progress, None, UInt8[np.ndarray, "b f y x 3"]]:
        """Latents to frames, 8 bits (the generator's return value)."""
        made, total = [], groups(self.model.geometry(requests[0]))
        with timed(seconds, "decode"):
            for group in self.model.decode(latents, requests):
                made.append(np.stack([to_uint8(video) for video in np.asarray(group)]))
                yield Progress("decode", len(made), total)
        return np.concatenate(made, axis=1)

    def sound(
        self, latents: Latents, seconds: dict[str, float]
    ) -> list[Sound] | list[None]:
        """The sound of each request's latents; None of a model that makes none."""
        if not isinstance(self.model, SoundModel):
            return [None] * len(jax.tree.leaves(latents)[0])
        with timed(seconds, "sound"):
            samples = np.asarray(self.model.sound(latents), np.float32)
        return [Sound(row, self.model.sound_rate) for row in samples]


def groups(geometry: Geometry) -> int:
    """The groups of frames that a video is decoded in: one per latent frame."""
    return dict(geometry.streams)[geometry.video][0]


def unstacked(latents: Latents) -> list[Latents]:
    """The latents of each request of a batch, on the host."""
    leaves, tree = jax.tree.flatten(latents)
    host = [np.asarray(leaf) for leaf in leaves]
    return [jax.tree.unflatten(tree, row) for row in zip(*host, strict=True)]


class NotFiniteError(ValueError):
    """A model gave numbers that are not finite."""


def check_finite(latents: Latents) -> None:
    """NotFiniteError if a model gave numbers that are not finite."""
    if not all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(latents)):
        raise NotFiniteError(
            "the model gave latents that are not finite: check the weights with "
            "`chorus convert SRC DST --verify`, or try dtype float32"
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
