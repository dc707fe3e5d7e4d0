"""`chorus calibrate`: measures a policy for a model on prompts, and writes it."""

import argparse
from dataclasses import replace
from pathlib import Path

from chorus_jax.calibration.fidelity import limits_of
from chorus_jax.calibration.fidelity_calibration import FidelityCalibration, check
from chorus_jax.calibration.time_limit import TimeLimit, TimeOverError
from chorus_jax.cli import cleanups, report
from chorus_jax.cli.choice import CommandSettings, choose
from chorus_jax.cli.given import given
from chorus_jax.cli.interruption import Interruption
from chorus_jax.cli.jobs import lines_of
from chorus_jax.cli.outputs import check_file
from chorus_jax.engine import Pipeline, sampler_of
from chorus_jax.families.protocols import LoadOptions
from chorus_jax.families.registry import family_of
from chorus_jax.inter_request.policy import policy_file
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.inter_request.policy.policy_file import Measured
from chorus_jax.request import Request


def calibrate(options: argparse.Namespace, interruption: Interruption) -> None:
    """Measures a policy, writes it to a file and prints its figures.

    Raises:
        ValueError: for options that cannot be measured, if no policy keeps the hits as
            near to full videos as the options ask, and if the time ends before a policy
            is confirmed.
        OSError: for a file that cannot be read or written.
    """
    deadline = TimeLimit(60 * positive("--minutes", options.minutes))
    limits = limits_of(options.least_psnr, options.least_ssim)
    choice = choose(options.weights, options.config, given(options))
    requests = requests_of(choice, options.prompts)
    check(requests)
    loading = LoadOptions(
        choice.transformer, options.dtype, idle_expert=options.idle_expert
    )
    family_of(choice.folder).checker(choice.folder, loading)(choice.request)
    work = work_folder(options)
    choice.warn()
    interruption.cleanups += [
        cleanups.half_written_programs,
        cleanups.half_written_records(work / "cache"),
    ]
    words = f"{work}, {len(requests)} prompts"
    for line in report.chosen(choice, words):
        print(line, flush=True)
    pipeline = Pipeline.load(choice.folder, **vars(loading))
    try:
        made = FidelityCalibration.of(pipeline, requests, limits, work, deadline)
        policy = made.policy(deadline)
    except TimeOverError:
        raise ValueError(
            f"{options.minutes:g} minutes ended before a policy was confirmed: run the "
            f"same command again, it goes on with what {work} holds"
        ) from None
    write(options.out, policy, pipeline, choice.request)
    print(summary(options.out, made, policy))


def requests_of(choice: CommandSettings, prompts: Path) -> list[Request]:
    """One request per different prompt of a file."""
    lines = dict.fromkeys(lines_of(prompts))
    return [replace(choice.request, prompt=line) for line in lines]


def work_folder(options: argparse.Namespace) -> Path:
    """The folder that keeps sources and full videos, created if it is missing.

    Raises:
        ValueError: if it is a file, or if the policy's file is a folder.
        OSError: if it or the policy's file cannot be written.
    """
    out: Path = options.out
    check_file(out, "policy.json")
    work: Path = options.work or out.with_name(f"{out.name}.work")
    if work.exists() and not work.is_dir():
        raise ValueError(f"--work {work} is a file: give a folder")
    work.mkdir(parents=True, exist_ok=True)
    return work


def write(out: Path, policy: Policy, pipeline: Pipeline, request: Request) -> None:
    """Writes a policy with the weights and sampler that it was measured on."""
    sampler = sampler_of(request)
    measured = Measured(policy, pipeline.fingerprints, sampler)
    policy_file.write(out, measured)


def summary(out: Path, made: FidelityCalibration, policy: Policy) -> str:
    """The policy's figures on prompts not used before, and the command that uses it."""
    figures = made.figures(policy)
    return (
        f"{out}: on {figures['targets']} fresh prompts {figures['hit_rate']:.0%} hits, "
        f"{figures['equivalents']:.2f} of {policy.steps} steps computed; hits have "
        f"{figures['psnr']:.1f} dB PSNR and {figures['ssim']:.2f} SSIM to full videos\n"
        f"use it with: chorus generate --cache DIR --policy {out} ..."
    )


def positive(name: str, value: float) -> float:
    """The value of an option. Raises a ValueError unless it is finite and above 0."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be above 0, got {value:g}")
    return value
