"""The pipeline: makes videos of requests, without reusing earlier ones.

It runs the text encoder, the denoising loop and the decoder in turn. `stream` yields
progress and stops when its caller stops iterating; calling the pipeline runs to the
end.
"""

import dataclasses
import logging
import secrets
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from itertools import islice
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
from chorus_jax.engine.fair_lock import FairLock
from chorus_jax.families import registry
from chorus_jax.families.forward import TRANSFORMER, Conditions, Geometry, Latents
from chorus_jax.families.protocols import (
    DEVICES,
    Defaults,
    EnlargingModel,
    LoadOptions,
    OffloadingModel,
    RequestCheck,
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
R = TypeVar("R")

GENERAL = Defaults(Request(""), 16, "those of a Request: the model came without any")


class Pipeline:
    """Makes videos of requests with a loaded model.

    Attributes:
        model: the loaded model.
        defaults: the settings of requests that are made by `request`.
        device_lock: held by engines while the devices compute. Calls of the pipeline
            itself do not take it: one thread at a time may make them.
        checker: the check of requests before they are run, which knows the devices'
            memory; refuses nothing by default.
    """

    def __init__(
        self,
        model: VideoModel,
        defaults: Defaults = GENERAL,
        checker: RequestCheck = lambda request, batch=1, held_keys=False: None,
    ):
        self.model, self.defaults = model, defaults
        self.checker = checker
        self.device_lock = FairLock()

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
        idle_expert: str = DEVICES,
    ) -> "Pipeline":
        """Loads a converted checkpoint folder of any family.

        Turns jax's compilation cache on.

        Args:
            folder: the checkpoint.
            transformer: the part that is run as the transformer: a folder may hold
                several, such as a distilled one.
            dtype: `bfloat16` or `float32`; None for the dtype of the stored weights.
            mesh: the devices; every device reads its own share of the weights. None
                runs on jax's default device.
            keep_text_encoder: False frees the text encoder's memory once the first
                prompts are encoded.
            verify: True computes the digests of all weights again, even if the files
                have not changed since they were last computed.
            idle_expert: for models with two experts: `host` keeps both in the host's
                memory and copies the running one to the devices; `devices` keeps both
                on the devices.

        Raises:
            ValueError: for a folder that is no checkpoint, and for `idle_expert="host"`
                with a model of one transformer.
        """
        enable_cache()
        options = LoadOptions(
            transformer, dtype, mesh, keep_text_encoder, verify, idle_expert
        )
        family = registry.family_of(folder)
        folder = Path(folder)
        defaults = family.defaults(folder, transformer)
        check = family.checker(folder, options)
        return cls(family.load(folder, options), defaults, check)

    def check(self, request: Request, batch: int = 1) -> None:
        """Checks, before anything is run, that the devices can run a request.

        Args:
            request: the request.
            batch: the number of requests that run at once.

        Raises:
            ValueError: for a size that does not fit the model or divide over the mesh,
                and for one that needs more memory than there is.
        """
        self.model.geometry(request)
        self.model.check_mesh(request, batch)
        self.checker(request, batch)

    def has_room_for_keys(self, request: Request) -> bool:
        """Whether, by a lower bound, the devices can hold the keys and values of all
        tokens beside what the request needs anyway."""
        try:
            self.checker(request, held_keys=True)
        except ValueError:
            return False
        return True

    def request(self, prompt: str, **fields: Any) -> Request:
        """Makes a request with this model's defaults.

        For Wan models, a request with an image or video has the model's usual area at
        the aspect ratio of that image or video.

        Args:
            prompt: what the video shows.
            fields: other fields of `Request`, such as `seed=1` or `steps=20`.

        Raises:
            ValueError: for an unknown field, or an impossible value.
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
        """Makes the videos of requests of one size and schedule, as one batch.

        All denoising steps are one jitted call. Raises what `stream` raises.
        """
        *_, last = self.stream(*requests, every=None)
        return list(last.videos)

    def stream(self, *requests: Request, every: int | None = 1) -> Iterator[Progress]:
        """Runs a batch, yielding progress; a caller that stops iterating stops the run.

        Args:
            requests: requests of one size and schedule.
            every: denoising steps per call of the compiled loop; None for all.

        Raises:
            ValueError: for a size that does not fit the model or divide over the mesh,
                for requests that differ in size or schedule, and if the model gives
                numbers that are not finite.
        """
        same_program(requests)
        for request in requests:
            self.check(request, len(requests))
        run = self.steps([with_seed(request) for request in requests], every)
        while True:
            # The mesh is set while we compute, not while the caller does.
            with self.computing():
                progress = next(run, None)
            if progress is None:
                return
            yield progress

    def refine(self, video: Video, request: Request) -> Video:
        """Runs a second pass over a video, at the size that the model enlarges it to.

        Args:
            video: the video of a first pass.
            request: a request of the larger size, whose `steps` are a list of sigmas
                that begins below 1. The first sigma is the level of the noise that is
                added to the enlarged latents, and to the latents of a sound.

        Raises:
            ValueError: for a model without a second pass, if the request's size is not
                the enlarged video's, if the request has an input video, and what
                `stream` raises.
        """
        if not isinstance(self.model, EnlargingModel):
            raise ValueError("this model has no second pass")
        if request.inputs is not None and request.inputs.video is not None:
            raise ValueError(
                "a second pass begins from the first one's result: leave the video out "
                "of the inputs"
            )
        self.check(request)
        with self.computing():
            larger = self.model.enlarge(jax.tree.map(lambda x: x[None], video.latents))
            geometry = self.model.geometry(request)
            wanted, shapes = dict(geometry.streams), larger.items()
            made = {name: array.shape[1:] for name, array in shapes}
            expected = {name: wanted[name] for name in made}
            if made != expected:
                raise ValueError(
                    f"the enlarged video has latents of {made}, the request is of "
                    f"{expected}: ask for twice the height and width of the first, and "
                    "as many frames"
                )
            run = self.steps([with_seed(request)], None, larger)
            *_, last = run
        return last.videos[0]

    def computing(self) -> AbstractContextManager:
        """Context that sets this pipeline's mesh, if it has one."""
        mesh = self.model.mesh
        return nullcontext() if mesh is None else jax.set_mesh(mesh)

    def placed(self, x: np.ndarray, like: Any) -> Array:
        """Places an array on the devices that this pipeline computes on.

        The results of a step are placed there; a step whose inputs are placed
        differently would be compiled again.

        Args:
            x: the array.
            like: arrays that are on these devices already.
        """
        if self.model.mesh is not None:
            return jax.device_put(x, NamedSharding(self.model.mesh, PartitionSpec()))
        devices = jax.tree.leaves(like)[0].devices()
        # With several devices but no mesh, jax decides the placement.
        return jax.device_put(x, *devices) if len(devices) == 1 else jnp.asarray(x)

    def steps(
        self,
        requests: Sequence[Request],
        every: int | None,
        initial_latents: Mapping[str, Array] | None = None,
    ) -> Iterator[Progress]:
        """`stream` for requests that have seeds and are already checked.

        Args:
            requests: requests of one program.
            every: denoising steps per call of the compiled loop; None for all.
            initial_latents: latents to begin from, by stream (see `beginning`).
        """
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
        noise = self.beginning(
            requests, program, conditions, initial_latents=initial_latents
        )
        run = self.denoise(program, inputs, noise, every)
        state = yield from clocked(seconds, "denoise", run)
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
        """Encodes the requests' prompts and images.

        Args:
            requests: the requests of a batch.
            tenant: the namespace whose remembered prompts may be used.
            tokens: the result of the model's `tokens` for them; None to call it here.

        Returns:
            The conditions of the denoising loop by transformer, and for each prompt its
            end beyond the text limit, which is not read; usually "".
        """
        conditions, cut = self.model.condition(requests, tenant, tokens)
        for request, end in zip(requests, cut, strict=True):
            if end:  # no text of prompts in a log
                log.warning(
                    "a prompt of %d characters is cut at the text limit: its last %d "
                    "are not read (see Video.cut)",
                    len(request.prompt),
                    len(end),
                )
        return conditions, cut

    def program(self, request: Request, plan: StepPlan) -> Program:
        """The program that runs a plan for a request."""
        return Program(
            plan.with_experts(self.model.experts(request)),
            self.model.solver(request),
            self.model.geometry(request),
        )

    def inputs(self, conditions: Mapping[str, Conditions], **arrays: Any) -> Inputs:
        """The loop's input arrays; `arrays` are further fields of `Inputs`."""
        return Inputs(self.model.transformers, conditions, **arrays)

    def noise(
        self,
        requests: Sequence[Request],
        geometry: Geometry,
        conditions: Mapping[str, Conditions],
        tenant: str = "",
        initial_latents: Mapping[str, Array] | None = None,
        level: float = 1.0,
        drawn: Latents | None = None,
    ) -> Latents:
        """Noise drawn from the requests' seeds, with the given frames written into it.

        Args:
            requests: requests of one program.
            geometry: the shapes of their latents.
            conditions: the conditions of the run.
            tenant: the namespace of the requests.
            initial_latents: latents to begin from, by stream; None for none.
            level: the noise level at which `initial_latents` are mixed with noise.
            drawn: the result of `drawn` for these requests; None to call it here.
        """
        if drawn is None:
            drawn = self.drawn(self.seeds(requests, conditions), geometry)
        start = RunStart(conditions, initial_latents or {}, level, tenant)
        return self.model.begin(drawn, requests, start)

    def drawn(self, seeds: Array, geometry: Geometry) -> Latents:
        """Noise drawn from seeds, on their devices."""
        return loop.noise(seeds, geometry)

    def beginning(
        self,
        requests: Sequence[Request],
        program: Program,
        conditions: Mapping[str, Conditions],
        tenant: str = "",
        initial_latents: Mapping[str, Array] | None = None,
        drawn: Latents | None = None,
    ) -> Latents:
        """The latents before the first step.

        These are noise, or `initial_latents` mixed with noise at the first sigma.

        Args:
            requests: requests of one program.
            program: the program that is run.
            conditions: the conditions of the run.
            tenant: the namespace of the requests.
            initial_latents: latents to begin from, by stream; None for the latents of
                the requests' input videos, if there are any.
            drawn: the result of `drawn` for these requests; None to call it here.
        """
        if initial_latents is None:
            initial_latents = self.model.initial_latents(requests, tenant)
        level = program.solver.schedule.sigmas[0]
        geometry = program.geometry
        return self.noise(
            requests, geometry, conditions, tenant, initial_latents, level, drawn
        )

    def seeds(
        self, requests: Sequence[Request], conditions: Mapping[str, Conditions]
    ) -> Array:
        """The requests' seeds as an array, on the devices of the conditions."""
        seeds = np.array([request.seed for request in requests], np.uint32)
        return self.placed(seeds, conditions)

    def denoise(
        self, program: Program, inputs: Inputs, latents: Latents, every: int | None
    ) -> Generator[Progress, None, RunState]:
        """Runs a program to its end; the generator's return value is the last state,
        `RunState.finished`.

        Raises:
            NotFiniteError: if the model gives numbers that are not finite.
        """
        state, steps = loop.start(inputs, latents, program=program), program.plan.steps
        for done, state in self.advanced(program, inputs, state, every):
            yield Progress("denoise", done, steps)
        check_finite(state.latents)
        return state.finished()

    def advanced(
        self, program: Program, inputs: Inputs, state: RunState, every: int | None
    ) -> Iterator[tuple[int, RunState]]:
        """Runs a program from a state to its end (see `loop.in_pieces`), with each
        transformer on the devices while it runs."""
        model = self.model
        resident = model.resident if isinstance(model, OffloadingModel) else None
        return loop.in_pieces(inputs, state, program, every, resident=resident)

    def decode(
        self, latents: Latents, requests: Sequence[Request], seconds: dict[str, float]
    ) -> Generator[Progress, None, UInt8[np.ndarray, "b f y x 3"]]:
        """Decodes latents; the generator's return value is the frames, 8 bits.

        Raises:
            NotFiniteError: if the decoder gives numbers that are not finite.
        """
        made = yield from clocked(seconds, "decode", self.decoded(latents, requests))
        return np.concatenate(made, axis=1)

    def decoded(
        self, latents: Latents, requests: Sequence[Request]
    ) -> Generator[Progress, None, list[UInt8[np.ndarray, "b f y x 3"]]]:
        """Decodes latents; the generator's return value is the groups of frames."""
        made, total = list[np.ndarray](), groups(self.model.geometry(requests[0]))
        for group in one_ahead(self.model.decode(latents, requests)):
            videos = np.asarray(group)
            check_finite(videos, "frames")
            made.append(np.stack([to_uint8(video) for video in videos]))
            yield Progress("decode", len(made), total)
        return made

    def sound(
        self, latents: Latents, seconds: dict[str, float]
    ) -> list[Sound] | list[None]:
        """The sound of each request's latents; None for each if the model has none."""
        if not isinstance(self.model, SoundModel):
            return [None] * len(jax.tree.leaves(latents)[0])
        with timed(seconds, "sound"):
            samples = np.asarray(self.model.sound(latents), np.float32)
        check_finite(samples, "sound")
        return [Sound(row, self.model.sound_rate) for row in samples]


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yields items, each after the next one was asked for: the devices compute it while
    the host works on this one."""
    before = list(islice(items, 1))
    for item in items:
        yield from before
        before = [item]
    yield from before


def groups(geometry: Geometry) -> int:
    """The number of groups of frames that are decoded: one per latent frame."""
    return dict(geometry.streams)[geometry.video][0]


def unstacked(latents: Latents) -> list[Latents]:
    """Splits a batch's latents into one pytree per request, on the host."""
    leaves, tree = jax.tree.flatten(latents)
    host = [np.asarray(leaf) for leaf in leaves]
    return [jax.tree.unflatten(tree, row) for row in zip(*host, strict=True)]


class NotFiniteError(ValueError):
    """A model gave numbers that are not finite."""


def check_finite(arrays: Any, what: str = "latents") -> None:
    """Raises a NotFiniteError, which names `what`, if some numbers are not finite."""
    if not all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(arrays)):
        raise NotFiniteError(
            f"the model gave {what} that are not finite: check the weights with "
            "`chorus convert SRC DST --verify`, or try dtype float32"
        )


class timed:
    """Context that adds the seconds its block took to an entry of a dictionary."""

    def __init__(self, seconds: dict[str, float], name: str):
        self.seconds, self.name = seconds, name

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        took = time.perf_counter() - self.began
        self.seconds[self.name] = self.seconds.get(self.name, 0.0) + took


def clocked(
    seconds: dict[str, float], name: str, run: Generator[T, None, R]
) -> Generator[T, None, R]:
    """Yields and returns what a generator does, and adds its own time to an entry of a
    dictionary; the time of whoever reads it is left out."""
    with closing(run):
        while True:
            with timed(seconds, name):
                try:
                    event = next(run)
                except StopIteration as end:
                    return end.value
            yield event


def with_seed(request: Request) -> Request:
    """The request with a seed: its own, or a random one if it has none."""
    if request.seed is not None:
        return request
    return replace(request, seed=secrets.randbits(32))
