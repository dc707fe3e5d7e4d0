"""`chorus calibrate-cache`: measures a step cache on prompts, and writes it."""

import argparse
from dataclasses import replace
from pathlib import Path

from chorus_jax.calibration.fidelity import limits_of
from chorus_jax.calibration.step_caches import CacheCalibration, check, check_method
from chorus_jax.cli import cleanups, report
from chorus_jax.cli.calibrate import requests_of
from chorus_jax.cli.choice import choose
from chorus_jax.cli.given import MEASURED, given
from chorus_jax.cli.interruption import Interruption
from chorus_jax.cli.outputs import check_file
from chorus_jax.cli.run_settings import run_of
from chorus_jax.engine import Pipeline
from chorus_jax.families.protocols import LoadOptions
from chorus_jax.families.registry import family_of
from chorus_jax.intra_request import cache_file
from chorus_jax.intra_request.cache_file import MeasuredCache


def calibrate_cache(options: argparse.Namespace, interruption: Interruption) -> None:
    """Measures a step cache, writes it to a file and prints its figures.

    Raises:
        ValueError: for options that cannot be measured, and if no setting of the cache
            gives videos near enough to full runs.
        OSError: for a file that cannot be read or written.
    """
    check_method(options.method)
    limits_of(options.least_psnr, options.least_ssim)
    choice = choose(options.weights, options.config, given(options))
    out = output_of(options, choice.folder)
    requests = [
        replace(request, seed=seed if request.seed is None else request.seed)
        for seed, request in enumerate(requests_of(choice, options.prompts))
    ]
    check(requests)
    loading = LoadOptions(
        choice.transformer, options.dtype, idle_expert=options.idle_expert
    )
    family_of(choice.folder).checker(choice.folder, loading)(choice.request)
    choice.warn()
    interruption.cleanups.append(cleanups.half_written_programs)
    for line in report.chosen(choice, f"{len(requests)} prompts, {options.method}"):
        print(line, flush=True)
    pipeline = Pipeline.load(choice.folder, **vars(loading))
    calibration = CacheCalibration(pipeline, requests)
    chosen = calibration.choose(options.method, options.least_psnr, options.least_ssim)
    figures = {name: round(value, 4) for name, value in chosen.figures.items()}
    run = run_of(requests[0])
    cache_file.write(
        out, MeasuredCache(chosen.cache, pipeline.fingerprints, run, figures)
    )
    print(
        f"{out}: computes {figures['computed']:.0%} of the steps; on "
        f"{figures['prompts']:.0f} prompts {figures['psnr']:.1f} dB PSNR and "
        f"{figures['ssim']:.3f} SSIM to full runs; fitted in "
        f"{figures['fit_seconds']:.0f} s\n"
        f"use it with: chorus generate --step-cache {out} ..."
    )


def output_of(options: argparse.Namespace, folder: Path) -> Path:
    """The file to write.

    Raises:
        ValueError: for a folder, or a name that `--step-cache` does not take for a
            file.
        OSError: for a folder that is missing or not writable.
    """
    out: Path = options.out or folder / f"step_cache_{options.method}{MEASURED}"
    check_file(out, "step_cache.json")
    if out.suffix != MEASURED:
        raise ValueError(
            f"--out {out} does not end in {MEASURED}, so --step-cache would take it "
            f"for the name of a step cache: give one such as step_cache{MEASURED}"
        )
    return out
