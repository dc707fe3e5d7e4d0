"""Targets from a user's own prompts, each with another one of them as its source."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from chorus_jax.calibration.journal import digest_of
from chorus_jax.calibration.target import narrowed, nearest
from chorus_jax.calibration.time_limit import TimeLimit
from chorus_jax.engine import Cache, Engine, Pipeline, Reuse
from chorus_jax.engine.recipes import recipe_of
from chorus_jax.engine.task import Task
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.request import Request

DISK = 2**40  # bytes; in effect no limit, since the folder holds only the sources
SIDES = ("odd", "even")  # namespaces; the sources of a target are in the other one

Frames = UInt8[np.ndarray, "f y x 3"]


@dataclass(frozen=True)
class PromptTarget:
    """A request, and the source that the matcher finds for it (see `RunTarget`).

    Attributes:
        number: identifies the target.
        request: the request, with a seed of its own.
        namespace: the namespace of its sources.
        source: the id of the source's entry; None without a source.
        score: the score of the match; None without a source.
    """

    number: int
    request: Request
    namespace: str
    source: str | None = None
    score: float | None = None

    def tier(self, policy: Policy) -> Tier | None:
        """The tier of a policy that this target reaches, None for a miss."""
        return None if self.score is None else policy.plan(self.score)


@dataclass(frozen=True, eq=False)
class FilledCache:
    """A folder with a full run of every prompt: its video, and its entry in a cache.

    Prompts 1, 3, 5 and so on are in one namespace, the others in another, and each is a
    target whose source is in the other one.

    Attributes:
        pipeline: the model's pipeline.
        cache: the cache.
        folder: keeps the cache and the videos, so that no run is made twice.
        look: the second look, which scores matches.
        targets: the prompts with their sources.
    """

    pipeline: Pipeline
    cache: Cache
    folder: Path
    look: SecondLook
    targets: list[PromptTarget] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        requests: Sequence[Request],
        base: Policy,
        folder: Path,
        deadline: TimeLimit,
    ) -> "FilledCache":
        """Makes the full runs that the folder does not hold yet.

        Args:
            pipeline: the model's pipeline.
            requests: the requests to run, each with a seed of its own.
            base: a policy, whose second look is used.
            folder: the folder.
            deadline: the time after which no run is begun.

        Raises:
            TimeOverError: if the time is over; completed runs are in the folder.
        """
        cache = narrowed(Cache.in_folder(folder / "cache", disk_bytes=DISK))
        filled = cls(pipeline, cache, folder, base.look)
        numbered = [*enumerate(requests)]
        entries = {
            filled.run(request, SIDES[number % 2], deadline)
            for number, request in tqdm(
                numbered, "full runs", unit="video", disable=None
            )
        }
        filled.targets.extend(
            filled.target(number, request, SIDES[1 - number % 2], entries)
            for number, request in numbered
        )
        return filled

    def run(self, request: Request, namespace: str, deadline: TimeLimit) -> str:
        """The id of a request's entry; makes entry and video unless both exist."""
        alone = Policy(request.step_count, (), look=self.look)
        reuse = Reuse(read=False, namespace=namespace)
        store, model = self.cache.store, self.pipeline.model
        task = Task.of(request, reuse, alone, model, store.secret)
        id, path = store.find(task.exact, namespace), self.video(request)
        if id is None or not path.exists():
            deadline.check()
            result = Engine(self.pipeline, self.cache, alone).generate(request, reuse)
            save(path, result.video.frames)
            id = result.entry
        if id is None:
            raise ValueError(f"{self.folder} has no room for another source")
        return id

    def target(
        self, number: int, request: Request, namespace: str, entries: set[str]
    ) -> PromptTarget:
        """A request as a target, with the source that the matcher finds for it.

        Entries of other prompts, from an earlier calibration in this folder, are no
        sources.
        """
        match = nearest(self.pipeline, self.cache, request, self.look, namespace)
        if match is None or match.head.id not in entries:
            return PromptTarget(number, request, namespace)
        return PromptTarget(number, request, namespace, match.head.id, match.score)

    def video(self, request: Request) -> Path:
        """The file of a request's full run."""
        return self.folder / f"{digest_of(self.identity(request))[:32]}.npy"

    def identity(self, request: Request) -> tuple[str, str, int | None]:
        """Recipe, prompt and seed, which determine a full run."""
        full = Policy(request.step_count, ())
        recipe = recipe_of(request, self.pipeline.model, full)
        return recipe.digest, request.prompt, request.seed


def save(path: Path, frames: Frames) -> None:
    """Writes frames to a file, atomically."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, frames)
    part.replace(path)
