"""Targets from a user's own prompts: every other prompt is a source in the cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from chorus_jax.calibration.target import narrowed, nearest
from chorus_jax.calibration.time_limit import TimeLimit
from chorus_jax.engine import Cache, Engine, Pipeline, Reuse
from chorus_jax.engine.task import Task
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.request import Request

DISK = 2**40  # bytes; in effect no limit, since the folder holds only the sources
ALONE = Reuse(read=False)


@dataclass(frozen=True)
class PromptTarget:
    """A request, and the source that the matcher finds for it (see `RunTarget`).

    Attributes:
        number: identifies the target.
        request: the request, with a seed of its own.
        source: the id of the source's entry; None without a source.
        score: the score of the match; None without a source.
    """

    number: int
    request: Request
    source: str | None = None
    score: float | None = None

    def tier(self, policy: Policy) -> Tier | None:
        """The tier of a policy that this target reaches, None for a miss."""
        return None if self.score is None else policy.plan(self.score)


@dataclass(frozen=True, eq=False)
class FilledCache:
    """A cache with a full run of every source.

    Attributes:
        pipeline: the model's pipeline.
        cache: the cache, which keeps the sources in a folder, so none is made twice.
        sources: the ids of the sources' entries.
        look: the second look, which scores matches.
    """

    pipeline: Pipeline
    cache: Cache
    sources: frozenset[str]
    look: SecondLook

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        sources: Sequence[Request],
        base: Policy,
        folder: Path,
        deadline: TimeLimit,
    ) -> "FilledCache":
        """Makes the sources that the folder does not hold yet.

        Args:
            pipeline: the model's pipeline.
            sources: the requests to run, with seeds.
            base: a policy, whose second look is used.
            folder: the cache's folder.
            deadline: the time after which no source is begun.

        Raises:
            TimeOverError: if the time is over; completed runs are in the folder.
        """
        cache = narrowed(Cache.in_folder(folder, disk_bytes=DISK))
        ids = set[str]()
        alone = Policy(base.steps, (), look=base.look)
        engine = Engine(pipeline, cache, alone)
        for request in tqdm(sources, "sources", unit="video", disable=None):
            task = Task.of(request, ALONE, alone, pipeline.model, cache.store.secret)
            id = cache.store.find(task.exact, ALONE.namespace)
            if id is None:
                deadline.check()
                id = engine.generate(request, ALONE).entry
            if id is None:
                raise ValueError(f"{folder} has no room for another source")
            ids.add(id)
        return cls(pipeline, cache, frozenset(ids), base.look)

    def target(self, number: int, request: Request) -> PromptTarget:
        """A request as a target, with the source that the matcher finds for it."""
        match = nearest(self.pipeline, self.cache, request, self.look)
        if match is None or match.head.id not in self.sources:
            return PromptTarget(number, request)
        return PromptTarget(number, request, match.head.id, match.score)
