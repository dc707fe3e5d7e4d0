"""The cache options of `chorus generate`: cache, permissions and policies."""

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

from chorus_jax.cli.given import MEASURED
from chorus_jax.cli.run_settings import run_of
from chorus_jax.engine import (
    Cache,
    Pipeline,
    Policies,
    Reuse,
    policies_for,
    policies_of_file,
)
from chorus_jax.inter_request.policy import policy_file
from chorus_jax.inter_request.policy.policies import default_policy
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.inter_request.policy.policy_file import Measured
from chorus_jax.intra_request import cache_file
from chorus_jax.request import Request

log = logging.getLogger(__name__)

GIB = 2**30
MOST_GIB = 2**30  # of --cache-size
NEED_CACHE = ("namespace", "least_score", "cache_mode", "policy", "other_images")


def check(options: argparse.Namespace) -> None:
    """Raises a ValueError for options that cannot be used.

    These are options that do not go together, a cache that is no folder, and a file
    that holds no policy.
    """
    if options.cache is None:
        for name in NEED_CACHE:
            if getattr(options, name) not in (None, False):
                raise ValueError(f"--{name.replace('_', '-')} needs --cache DIR")
    elif options.cache.exists() and not options.cache.is_dir():
        raise ValueError(f"--cache {options.cache} is a file: give a folder")
    if options.policy is not None:
        read_policy(options.policy)
    reuse_of(options)
    if not 0 < options.cache_size < MOST_GIB:
        raise ValueError(
            f"--cache-size must be above 0 and below {MOST_GIB} GiB, got "
            f"{options.cache_size:g}"
        )


def reuse_of(options: argparse.Namespace) -> Reuse:
    """The permissions of each request on the cache."""
    mode = "off" if options.cache is None else options.cache_mode or "both"
    return Reuse(
        read=mode in ("both", "read"),
        write=mode in ("both", "write"),
        least_score=options.least_score or 0.0,
        namespace=options.namespace or "default",
        other_inputs=bool(getattr(options, "other_images", False)),
    )


def open_cache(options: argparse.Namespace) -> Cache:
    """Opens the cache of `--cache`. Without the option, or if the cache is off, returns
    an empty cache that keeps nothing."""
    if options.cache is None or options.cache_mode == "off":
        return Cache.in_memory(0)
    return Cache.in_folder(options.cache, disk_bytes=int(options.cache_size * GIB))


def policies_of(options: argparse.Namespace, pipeline: Pipeline) -> Policies:
    """The requests' policies: the one in `--policy`, else the policies measured on the
    weights; without a cache the default ones."""
    if options.cache is None:
        return lambda request: default_policy(request.step_count)
    if options.policy is None:
        return policies_for(pipeline.fingerprints)
    measured = policy_file.read(options.policy)
    warn_foreign(options.policy, measured, pipeline)
    return policies_of_file(measured, f"--policy {options.policy}")


def check_measured(
    file: str | None, weights: Mapping[str, str], request: Request
) -> None:
    """Raises a ValueError if the step cache in a file was measured on other weights
    (their fingerprints by part) or settings."""
    if file is not None and file.endswith(MEASURED):
        cache_file.read(Path(file)).check(weights, run_of(request))


def warn_foreign(file: Path, measured: Measured, pipeline: Pipeline) -> None:
    """Warns of a policy in a file that was measured on other weights."""
    if measured.weights and measured.weights != pipeline.fingerprints:
        log.warning(
            "--policy %s was measured on other weights: how much of a source these may "
            "reuse is not known; measure it with `chorus calibrate`",
            file,
        )


def read_policy(file: Path) -> Policy:
    """The policy in a file. Raises a ValueError if it holds none."""
    return policy_file.read_policy(file)


def described(options: argparse.Namespace) -> str:
    """The cache of the options in words, for the lines before a run."""
    if options.cache is None:
        return "none"
    mode = {"both": "read and write"}.get(options.cache_mode or "both")
    words = f"{options.cache}, {mode or options.cache_mode}"
    if options.namespace:
        words += f", namespace {options.namespace}"
    return words
