"""`chorus generate`: checks all options, loads the model, makes and writes videos."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from chorus_jax.cli import caching, cleanups, outputs, report
from chorus_jax.cli.cache_notes import note
from chorus_jax.cli.choice import (
    CommandSettings,
    choose,
    with_fps,
    with_prompt,
)
from chorus_jax.cli.given import given
from chorus_jax.cli.interruption import Interruption
from chorus_jax.cli.jobs import PromptWithSeed, jobs_of
from chorus_jax.cli.outputs import OutputFiles
from chorus_jax.cli.progress import Bars
from chorus_jax.engine import Engine, Pipeline
from chorus_jax.engine.loading import located
from chorus_jax.engine.source_files import SourceFiles, folder_of
from chorus_jax.families.protocols import LoadOptions
from chorus_jax.families.registry import family_of


@dataclass(frozen=True)
class GenerateRun:
    """A command's options, resolved and checked.

    Attributes:
        options: the parsed options of the command line.
        jobs: the prompt and the seed of each video.
        files: the files of each video.
        choice: the model and the settings of all videos.
        loading: the options that the model is loaded with.
    """

    options: argparse.Namespace
    jobs: list[PromptWithSeed]
    files: list[OutputFiles]
    choice: CommandSettings
    loading: LoadOptions

    @classmethod
    def of(cls, options: argparse.Namespace) -> "GenerateRun":
        """Resolves and checks options. Raises a ValueError or OSError if they cannot be
        run."""
        caching.check(options)
        jobs = jobs_of(options)
        files = outputs.outputs_of(options.out, jobs, options.json)
        choice = choose(weights_of(options), options.config, given(options))
        choice = with_fps(choice, options.fps)
        outputs.check(files, choice.fps)
        for job in jobs:
            with_prompt(choice, job.prompt, job.seed)
        # With a single prompt the text encoder's memory is freed once it is encoded.
        loading = LoadOptions(
            choice.transformer,
            options.dtype,
            make_mesh(options.mesh),
            keep_text_encoder=len({job.prompt for job in jobs}) > 1,
            idle_expert=options.idle_expert,
        )
        family = family_of(choice.folder)
        family.checker(choice.folder, loading)(choice.request)
        weights = family.fingerprints(choice.folder, choice.transformer)
        caching.check_measured(options.step_cache, weights, choice.request)
        return cls(options, jobs, files, choice, loading)

    def load(self) -> Pipeline:
        """Loads the pipeline."""
        return Pipeline.load(self.choice.folder, **vars(self.loading))

    def say(self, line: str) -> None:
        """Prints a line and flushes; prints nothing with `--quiet`."""
        if not self.options.quiet:
            print(line, flush=True)

    def make(self, engine: Engine, job: PromptWithSeed, files: OutputFiles) -> None:
        """Makes and writes one video."""
        bars = Bars(not self.options.quiet)
        request = with_prompt(self.choice, job.prompt, job.seed)
        reuse = caching.reuse_of(self.options)
        try:
            result = engine.generate(request, reuse, observer=bars)
        finally:
            bars.close()
        report.write(files.video, self.choice, result)
        if files.json is not None:
            report.write_json(files.json, self.choice, result)
        self.say(report.ledger_line(files.video, result, reuse.read))


def generate(options: argparse.Namespace, interruption: Interruption) -> None:
    """Makes the videos that the options ask for, one after another.

    Raises:
        ValueError: for what cannot be run.
        OSError: for a file that cannot be read or written.
    """
    run = GenerateRun.of(options)
    run.choice.warn()
    interruption.cleanups += cleanups_of(run)
    for line in report.chosen(run.choice, caching.described(options)):
        run.say(line)
    cache = caching.open_cache(options)
    try:
        pipeline = run.load()
        engine = Engine(pipeline, cache, caching.policies_of(options, pipeline))
        if caching.reuse_of(options).write:
            note(options.cache, run.choice, engine)
        for job, files in zip(run.jobs, run.files, strict=True):
            run.make(engine, job, files)
    finally:
        cache.close()


def weights_of(options: argparse.Namespace) -> str | Path | None:
    """The weights of `--model` as a converted folder, converting them if needed; None
    if none are given."""
    adapters, parts = options.lora, dict(options.part)
    skip = options.lora_skip_missing
    if skip and not adapters:
        raise ValueError("--lora-skip-missing goes with --lora FILE")
    files = SourceFiles(parts, adapters, skip, options.variant, options.state)
    if options.weights is None and not files.given:
        return None
    if options.weights is None:
        raise ValueError("--part, --lora, --variant and --state go with --model PATH")
    say: Callable[[str], object] = partial(print, flush=True)
    if options.quiet:
        say = lambda line: None
    return folder_of(located(options.weights), files, options.dtype, say)


def cleanups_of(run: GenerateRun) -> list[Callable[[], None]]:
    """The cleanups to call if the run is interrupted; the last is called first."""
    folders = {files.video.parent for files in run.files}
    cache = run.options.cache
    records = [] if cache is None else [cleanups.half_written_records(cache)]
    if cache is not None:
        folders.add(cache)
    videos = [cleanups.half_written_videos(folder) for folder in folders]
    return [cleanups.half_written_programs, *videos, *records]


def make_mesh(sizes: dict[str, Any] | None) -> Any:
    """The mesh of `--mesh` over all devices; None without the option."""
    from chorus_jax.devices import sharding

    return None if sizes is None else sharding.make_mesh(**sizes)
