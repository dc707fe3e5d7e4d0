"""The engine: serves requests one after another, reusing the results of earlier ones.

Threads may share one engine: a lock serialises work on the device, and look-ups in the
cache run outside it. A request's result is admitted to the cache only after the whole
request has succeeded.
"""

import logging
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from chorus_jax.denoise.state import RunState
from chorus_jax.engine.accounting import ledger_of
from chorus_jax.engine.cache import Cache
from chorus_jax.engine.events import Event, Observer, Video
from chorus_jax.engine.ledger import Ledger
from chorus_jax.engine.pipeline import (
    NotFiniteError,
    Pipeline,
    clocked,
    timed,
    unstacked,
)
from chorus_jax.engine.plans import batch_of_one
from chorus_jax.engine.policies import Policies, policies_for, requested, scaled
from chorus_jax.engine.prepared import PreparedRequest
from chorus_jax.engine.prompt import PromptReading, PromptText
from chorus_jax.engine.recipes import recipe_of
from chorus_jax.engine.reuse import Reuse, Watch, check_reuse
from chorus_jax.engine.running import Hit, Runner
from chorus_jax.engine.sources import Sources, forget
from chorus_jax.engine.task import Task
from chorus_jax.families.forward import Latents
from chorus_jax.inter_request.match.matching import Query, Rejection
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.media.sound import Sound
from chorus_jax.request import Request, check_request

log = logging.getLogger(__name__)

GONE = "the stored video was evicted or damaged meanwhile"
MISSHAPEN = "the stored video had latents of another shape and was deleted"
UNFIT = "a source that gave numbers which are not finite was forgotten"

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Result:
    """The result of a request.

    Attributes:
        video: the video.
        ledger: what was reused and computed.
        entry: the id of the entry that was stored in the cache; None if none was.
    """

    video: Video
    ledger: Ledger
    entry: str | None = None


class Engine:
    """A pipeline with a cache. Any number of threads may share one.

    Attributes:
        pipeline: makes the videos.
        cache: the stored results of earlier requests.
        policies: gives each request its policy: how good a match must be, and what is
            reused of it. Given a single policy, the engine scales it to a request's
            number of steps (`Policy.for_steps`); given None, it takes the policies
            measured on the weights (`policies_for`).
        sources: finds and loads the sources of requests.
        device_lock: held while the device computes, by one request after the other in
            the order in which they came; engines of one pipeline share it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        cache: Cache,
        policies: Policies | Policy | None = None,
    ):
        check_parts(pipeline, cache, policies)
        if policies is None:
            policies = policies_for(pipeline.fingerprints)
        if isinstance(policies, Policy):
            policies = scaled(policies)
        self.policies = requested(policies)
        self.pipeline, self.cache = pipeline, cache
        self.sources = Sources(pipeline, cache)
        self.device_lock = pipeline.device_lock

    def generate(
        self,
        request: Request,
        reuse: Reuse = Reuse(),
        *,
        observer: Observer | None = None,
        stop: threading.Event | None = None,
        every: int | None = 1,
    ) -> Result:
        """Makes the video of a request.

        A request without a seed gets a random one, which the result reports
        (`Video.request`); the same request with this seed may get the stored video. An
        entry with the same prompt and another seed is never a source, because a caller
        who changes the seed wants a different video. A request that fails or is stopped
        leaves nothing in the cache.

        Args:
            request: the request.
            reuse: its permissions on the cache.
            observer: called with each event, such as the progress of a stage, in the
                calling thread. Other requests wait while it runs, so it should only
                hand the event on, for example to a `queue.Queue`. It must not call the
                engine.
            stop: once set, the request ends within two calls of the loop.
            every: denoising steps per call of the compiled loop; events are reported
                and `stop` is checked between calls. None runs all steps in one call, as
                does leaving out both `observer` and `stop`.

        Raises:
            StoppedError: if the request was stopped.
            ValueError: for what the pipeline refuses, and for a region that is not on
                the request's latent grid.
            RuntimeError: if an observer of a running request calls this method.
        """
        check_request(request)
        check_reuse(reuse)
        watch, turn = Watch(stop, observer, every), self.device_lock.ticket()
        self.check(request, reuse, watch)
        policy, model = self.policies(request), self.pipeline.model
        task = Task.of(request, reuse, policy, model, self.cache.store.secret)
        if task.seeded and reuse.read:
            replayed = self.replayed(task, watch, turn)
            if replayed is not None:
                return replayed
        # Before the lock, because megabytes of text take seconds to tokenize.
        text = self.text(request)
        self.foresee(task, text)
        with self.computing(watch, turn):  # may have waited long for the lock
            with timed(task.seconds, "embed"):
                prepared = PreparedRequest.of(self.pipeline, task, text)
        hit = self.sources(task, prepared.prompt)
        with self.computing(watch, turn):
            hit, state, frames, sound = self.made(task, prepared, hit, watch)
        watch.check()
        [latents] = unstacked(state.latents)
        cut = prepared.cut
        video = Video(frames[0], latents, task.request, cut, task.seconds, sound)
        entry = self.admit(task, prepared.prompt, state, hit)
        ledger = ledger_of(task, hit, state)
        return Result(video, replace(ledger, seconds=task.seconds), entry)

    @contextmanager
    def computing(self, watch: Watch, turn: int | None = None) -> Iterator[None]:
        """Context that holds the device's lock and sets the mesh.

        Args:
            watch: ends the wait for the lock with a StoppedError once it is stopped.
            turn: the request's ticket of the lock; None for a new one.
        """
        with self.device_lock.held(turn, watch.check):
            watch.check()
            with self.pipeline.computing():
                yield

    def check(self, request: Request, reuse: Reuse, watch: Watch) -> None:
        """Raises a ValueError for a request that cannot be run, and a StoppedError for
        one that was already stopped."""
        watch.check()
        geometry = self.pipeline.model.geometry(request)
        reuse.check_region(dict(geometry.streams)[geometry.video][:3])
        self.pipeline.check(request)

    def replayed(
        self, task: Task, watch: Watch, turn: int | None = None
    ) -> Result | None:
        """The stored result of the same request, decoded again.

        None if there is no entry that the request may use (see `Task.takes`), or if the
        entry was evicted or found damaged meanwhile. An entry whose latents have
        another shape, or whose frames are not finite, is removed from the cache.
        """
        store, seen_by = self.cache.store, task.reuse.namespace
        with timed(task.seconds, "look_up"):
            id = store.find(task.exact, seen_by, task.takes)
        if id is None:
            return None
        with timed(task.seconds, "load"):
            entry = store.get(id, seen_by)
        if entry is None:
            task.not_replayed = GONE
            return None
        if entry.latents.shape != task.geometry.packed_shape:
            forget(self.cache, entry, "has latents of another shape")
            task.not_replayed = MISSHAPEN
            return None
        latents = batch_of_one(entry.latents, task.geometry)
        cut = self.pipeline.model.tokens([task.request]).cut[0]
        try:
            with self.computing(watch, turn):
                frames = self.decoded(task, latents, watch)
                [sound] = self.pipeline.sound(latents, task.seconds)
        except NotFiniteError:
            forget(self.cache, entry, "gives numbers that are not finite")
            task.not_replayed = UNFIT
            return None
        watch.check()
        store.hit(entry.id, seen_by)
        [final] = unstacked(latents)
        video = Video(frames[0], final, task.request, cut, task.seconds, sound)
        steps, source = task.policy.steps, task.shown(entry)
        ledger = Ledger("exact", steps, 0.0, entry.score, source)
        return Result(video, replace(ledger, seconds=task.seconds))

    def text(self, request: Request) -> PromptText:
        """The tokens of a request's prompts, and its words."""
        tokens = self.pipeline.model.tokens([request])
        return PromptText.of(tokens, self.cache.store.secret.for_words)

    def foresee(self, task: Task, text: PromptText) -> None:
        """Starts reading the likely source from disk, while the text encoder runs."""
        if not task.reuse.read or not task.policy.tiers:
            return
        with timed(task.seconds, "look_up"):
            namespace = task.reuse.namespace
            self.cache.foresight.prefetch(task.recipe, namespace, text.keys)

    def query(self, request: Request, namespace: str = "default") -> Query:
        """The query by which `cache.matcher` looks for a source of a request."""
        policy = self.policies(request)
        digest = recipe_of(request, self.pipeline.model, policy).digest
        recipe = self.cache.store.secret.recipe(digest)
        text, pipeline = self.text(request), self.pipeline
        with self.computing(Watch()):
            conditions, _ = pipeline.condition([request], namespace, text.tokens)
            values = pipeline.model.text_values(conditions)
            prompt = PromptReading.of(text, values)
        return prompt.query(recipe, namespace)

    def made(
        self,
        task: Task,
        prepared: PreparedRequest,
        hit: Hit | Rejection,
        watch: Watch,
    ) -> tuple[Hit | Rejection, RunState, np.ndarray, Sound | None]:
        """Denoises from noise, or from the source's latents on a hit, and decodes.

        A source that leads to latents or frames which are not finite is removed from
        the cache, and the request runs again as a miss.

        Returns:
            The hit or the reason for the miss, the loop's last state, the frames and
            the sound.
        """
        try:
            return hit, *self.run(task, prepared, hit, watch)
        except NotFiniteError:
            if isinstance(hit, Rejection):
                raise
        # Not in the handler, whose traceback would keep the failed run's arrays.
        forget(self.cache, hit.entry, "gave numbers that are not finite")
        miss = Rejection(UNFIT, hit.match.score)
        return miss, *self.run(task, prepared, miss, watch)

    def run(
        self,
        task: Task,
        prepared: PreparedRequest,
        hit: Hit | Rejection,
        watch: Watch,
    ) -> tuple[RunState, np.ndarray, Sound | None]:
        """Denoises and decodes; returns the loop's last state, frames and sound.

        Raises:
            NotFiniteError: if latents or frames are not finite.
        """
        runner = Runner(self.pipeline, watch.steps)
        run = runner(task, prepared, hit)
        state = watched(clocked(task.seconds, "denoise", run), watch)
        watch.check()
        frames = self.decoded(task, state.latents, watch)
        [sound] = self.pipeline.sound(state.latents, task.seconds)
        return state, frames, sound

    def decoded(self, task: Task, latents: Latents, watch: Watch) -> np.ndarray:
        """The frames of latents, 8 bits, [b f h w 3]."""
        made = self.pipeline.decode(latents, [task.request], task.seconds)
        return watched(made, watch)

    def forget(self, namespace: str) -> int:
        """Removes everything of a namespace: its entries, shared ones too, and its
        remembered prompts. Returns the number of entries removed.

        Raises:
            OSError: if a record cannot be removed, or cannot be read and so may belong
                to this namespace.
        """
        with self.device_lock.held():
            self.pipeline.model.forget_prompts(namespace)
        return self.cache.store.delete_namespace(namespace)

    def admit(
        self,
        task: Task,
        prompt: PromptReading,
        state: RunState,
        hit: Hit | Rejection,
    ) -> str | None:
        """Stores the request's result, and notes the use of its source.

        Returns the new entry's id; None if nothing was stored.
        """
        store, match = self.cache.store, None
        if isinstance(hit, Hit):
            store.hit(hit.entry.id, task.reuse.namespace)
            match = hit.match
        if not task.reuse.write:
            return None
        try:
            entry = task.entry(prompt, state, match)
            if store.admit(entry):
                return entry.id
        except ValueError as error:  # such as a prompt that is too long to keep
            log.warning("a video was not kept: %s", error)
            return None
        log.warning("a video was not kept: memory and disk have no room for it")
        return None


def check_parts(pipeline: object, cache: object, policies: object) -> None:
    """Raises a ValueError unless these are of the types that `Engine` takes."""
    if not isinstance(pipeline, Pipeline):
        raise ValueError(
            f"pipeline must be a Pipeline, got {pipeline!r:.80}: load one with "
            "chorus_jax.load(FOLDER)"
        )
    if not isinstance(cache, Cache):
        raise ValueError(
            f"cache must be a Cache, got {cache!r:.80}: make one with "
            "Cache.in_folder(FOLDER, disk_bytes=...) or Cache.in_memory()"
        )
    if not (policies is None or isinstance(policies, Policy) or callable(policies)):
        raise ValueError(
            "policies must be a Policy, or a function from requests to policies, got "
            f"{policies!r:.80}"
        )


def watched(run: Generator[Event, None, T], watch: Watch) -> T:
    """Runs a generator to its end, shows its events to the observer, and returns its
    return value.

    Raises:
        StoppedError: once the request is stopped; the generator is not resumed.
    """
    with closing(run):  # frees its arrays, even while a caller keeps the error
        while True:
            try:
                event = next(run)
            except StopIteration as end:
                return end.value
            watch.see(event)
            watch.check()
