"""A cache filled with sources, and targets with the source that each matches."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tqdm import tqdm

from benchmarks.lib.judged import judge
from benchmarks.reuse.cases import Cases, changed
from benchmarks.reuse.sources import ShownSource
from chorus_jax.calibration.prompts import SIDES
from chorus_jax.calibration.target import narrowed, nearest
from chorus_jax.engine import Cache, Engine, Pipeline, Result, Reuse
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.nets.tokens import Tiling
from chorus_jax.request import Request
from chorus_jax.training.world.examples import ScenePrompt

OWN_SEEDS = 1_000_000  # the first seed of targets; sources have lower ones


@dataclass(frozen=True)
class Target:
    """A target with the source that the matcher finds for it under any policy.

    Attributes:
        number: identifies the target.
        prompt: the caption and the attributes that it names.
        request: the request. A full run and a run with reuse draw the same noise from
            its seed, which no source has.
        rows: the number of text tokens; with the policy, it decides which compiled
            program runs.
        source: the id of the source's entry; None if there is none.
        score: the score of the match, 0 to 1; None without a source.
        changed: the attributes named by the target in which the source differs; empty
            without a source.
        kept: for each other attribute that the target names, 1 if the source's own
            video shows it right, else 0; empty without a source.
        namespace: the namespace of its sources.
    """

    number: int
    prompt: ScenePrompt
    request: Request
    rows: int
    source: str | None = None
    score: float | None = None
    changed: tuple[str, ...] = ()
    kept: Mapping[str, float] = field(default_factory=dict)
    namespace: str = "default"

    def tier(self, policy: Policy) -> Tier | None:
        """The tier of a policy that this target's score reaches; None for a miss."""
        return None if self.score is None else policy.plan(self.score)


@dataclass(frozen=True, eq=False)
class Bench:
    """The model, the filled cache and the targets that all arms share.

    Attributes:
        pipeline: the model.
        cache: the cache that holds the sources.
        targets: the targets to run.
        full: full runs of targets that are sources too, by the target's number.
    """

    pipeline: Pipeline
    cache: Cache
    targets: tuple[Target, ...]
    full: Mapping[int, Result] = field(default_factory=dict)

    @classmethod
    def filled(
        cls,
        pipeline: Pipeline,
        request: Request,
        cases: Cases,
        look: SecondLook,
    ) -> "Bench":
        """Fills a cache with full runs of all sources, and looks the targets up.

        Args:
            pipeline: the model.
            request: all settings but prompt and seed.
            cases: sources and targets.
            look: the second look, which scores matches.
        """
        cache = narrowed(Cache.in_memory())
        engine = Engine(pipeline, cache, Policy(request.step_count, ()))
        alone = Reuse(read=False, keep_prompt=True)
        sources = dict[str, ShownSource]()
        for seed, prompt in enumerate(tqdm(cases.sources, desc="sources")):
            seeded = replace(request, prompt=prompt.caption, seed=seed)
            video = engine.generate(seeded, alone).video
            sources[prompt.caption] = ShownSource(prompt, judge(prompt, video.frames))
        bench = cls(pipeline, cache, ())
        targets = tuple(
            bench.target(number, prompt, request, sources, look)
            for number, prompt in enumerate(cases.targets)
        )
        return replace(bench, targets=targets)

    @classmethod
    def crossed(
        cls,
        pipeline: Pipeline,
        request: Request,
        cases: Cases,
        look: SecondLook,
    ) -> "Bench":
        """Makes all prompts in full: each is a target, and a source of the other half.

        Args:
            pipeline: the model.
            request: all settings but prompt and seed.
            cases: the two halves: as many sources as targets.
            look: the second look, which scores matches.
        """
        cache = narrowed(Cache.in_memory())
        engine = Engine(pipeline, cache, Policy(request.step_count, ()))
        pairs = zip(cases.targets, cases.sources, strict=True)
        prompts = [prompt for pair in pairs for prompt in pair]
        full, shown = dict[int, Result](), dict[str, ShownSource]()
        for number, prompt in enumerate(tqdm(prompts, desc="full runs")):
            seeded = replace(request, prompt=prompt.caption, seed=OWN_SEEDS + number)
            alone = Reuse(read=False, keep_prompt=True, namespace=SIDES[number % 2])
            result = full[number] = engine.generate(seeded, alone)
            scores = judge(prompt, result.video.frames)
            shown[prompt.caption] = ShownSource(prompt, scores)
        bench = cls(pipeline, cache, (), full)
        targets = tuple(
            bench.target(number, prompt, request, shown, look, SIDES[1 - number % 2])
            for number, prompt in enumerate(prompts)
        )
        return replace(bench, targets=targets)

    def target(
        self,
        number: int,
        prompt: ScenePrompt,
        request: Request,
        sources: Mapping[str, ShownSource],
        look: SecondLook,
        namespace: str = "default",
    ) -> Target:
        """Makes a target, with its source looked up before anything is timed."""
        seeded = replace(request, prompt=prompt.caption, seed=OWN_SEEDS + number)
        rows = self.text_rows(seeded)
        match = nearest(self.pipeline, self.cache, seeded, look, namespace)
        if match is None:
            return Target(number, prompt, seeded, rows, namespace=namespace)
        source = sources[str(match.head.prompt)]
        return Target(
            number,
            prompt,
            seeded,
            rows,
            match.head.id,
            match.score,
            changed(prompt, source.prompt),
            source.kept(prompt),
            namespace,
        )

    def text_rows(self, request: Request) -> int:
        """The text tokens that the steps of a request read, padding included."""
        with self.pipeline.computing():
            conditions, _ = self.pipeline.condition([request])
            return self.pipeline.model.text_values(conditions).shape[1]

    def tiling(self, request: Request) -> Tiling:
        """The tiles of a request's video."""
        return self.pipeline.model.geometry(request).tiling

    def forget(self, request: Request) -> None:
        """Forgets the embeddings of all prompts but the negative one.

        Then every arm encodes the prompt itself, as a server does with a new prompt.
        """
        self.pipeline.model.forget_prompts()
        if request.guided:
            with self.pipeline.computing():
                self.pipeline.condition(
                    [replace(request, prompt=request.negative_prompt)]
                )
