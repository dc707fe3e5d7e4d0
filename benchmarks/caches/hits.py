"""Step caches inside hits: Chorus alone, and Chorus with each step cache.

    python -m benchmarks.caches.hits      # run nothing else on the machine: it times
    python -m benchmarks.caches.hits --tier 20,45,0.5

Runs the shapes model at 50 steps on targets that differ from their source and that the
calibrated policy serves; the arms take turns on each target. With `--tier`, all hits
begin at one step and run one share of the tokens up to one other step, whatever their
score.

    full     all steps
    chorus   the policy without a step cache
    policy   the policy with its own step cache
    hsa-50   the policy with the token budgets of this preset in its regions (HSA)
    others   the policy with this step cache

`speedup_denoise` is the full run's denoising time divided by the arm's, `psnr` compares
with the full run's video of the same target, and `accuracy_changed` is the accuracy of
the attributes in which a target differs from its source; its `loss_error` is the
standard error of the difference from the full runs.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import islice

from benchmarks.lib import rows
from benchmarks.reuse.bench import Bench, Target
from benchmarks.reuse.cases import changed_only
from benchmarks.reuse.comparison import ArmComparison
from benchmarks.reuse.models import add_options, base_policy, load_model
from benchmarks.reuse.running import Arm, Reusing
from benchmarks.reuse.scores import rows_of
from benchmarks.reuse.turns import in_turns
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.intra_request import EveryStep, StepCache, registry
from chorus_jax.intra_request.planned_tokens import PlannedTokens
from chorus_jax.token_budgets import presets

STEPS = 50
FULL, ALONE, OWN = "full", "chorus", "policy"
CACHES = (
    *("taylor:interval=2", "taylor:interval=3", "taylor:interval=3,grain=residual"),
    *("taylor:interval=4,grain=residual", "hicache:interval=3"),
    *("dicache:threshold=.1,retention=0.0", "first-block:threshold=.06,first=1"),
    *("sea:threshold=.1,longest=4", "sea:threshold=.25,longest=4"),
    "sea:threshold=.5,longest=4",
    "sen:threshold=.1,first=1,longest=4",
    *("spectrum:growth=.1,first=2", "racer:growth=.1,first=2"),
)
BUDGETS = ("hsa-75", "hsa-50", "hsa-25")
TILES = 1000  # enough to tell the shares of the groups
FIGURES = (
    *("equivalents", "speedup_denoise", "accuracy", "accuracy_changed"),
    *("accuracy_changed_loss_error", "psnr"),
)


def step_cache(line: str) -> StepCache:
    """The step cache of an arm, such as `taylor:interval=2` or `hsa-50`.

    A policy has no token budgets, so those of a preset are given as the shares of a
    plan of tokens, in which tokens that are not run keep their last velocity.
    """
    if line not in BUDGETS:
        return registry.parse(line)
    budgets = presets.named(line, STEPS)
    sets = budgets.sets(0, STEPS, TILES, budgets.early)
    return PlannedTokens(tuple(len(ranks) / TILES for ranks in sets))


def policies_of(base: Policy, caches: Sequence[str]) -> dict[str, Policy]:
    """The policies by arm, with the tiers of the policy `base` (see the module).

    `caches` are the last arms (see `step_cache`); the policy's own step cache is not
    repeated.
    """
    alone = replace(base, cache=EveryStep())
    arms = {FULL: Policy(STEPS, ()), ALONE: alone, OWN: base}
    for line in caches:
        cache = step_cache(line)
        if cache != base.cache:
            arms[line] = replace(alone, cache=cache)
    return arms


def with_one_tier(
    policy: Policy, reuse_until: int, region_until: int, active: float
) -> Policy:
    """The policy with one tier from its lowest threshold on, instead of its own.

    Args:
        policy: the policy, with at least one tier.
        reuse_until: the first step that is run (K1).
        region_until: the step up to which only a region is run (K2).
        active: the share of tiles run in region steps.
    """
    least = min(tier.least for tier in policy.tiers)
    one = Tier(least, reuse_until, region_until, active)
    return replace(policy, tiers=(one,))


def served(bench: Bench, policy: Policy, count: int) -> list[Target]:
    """The first `count` targets that differ from their source and are hits."""
    hits = (x for x in bench.targets if x.changed and x.tier(policy))
    return list(islice(hits, count))


def stages(text: str) -> tuple[int, int, float]:
    """K1, K2 and the active share of a line such as `20,45,0.5`."""
    first, last, active = text.split(",")
    return int(first), int(last), float(active)


def main() -> None:
    """Measures, prints the table, writes the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--targets", type=int, default=100, help="that are hits")
    parser.add_argument("--cases", type=int, default=160, help="that are looked up")
    parser.add_argument(
        "--caches",
        nargs="+",
        default=(*CACHES, *BUDGETS),
        metavar="NAME:SETTINGS",
        help="step caches, and presets of token budgets",
    )
    parser.add_argument(
        "--tier",
        type=stages,
        metavar="K1,K2,SHARE",
        help="instead of the policy's tiers",
    )
    options = parser.parse_args()
    loaded = load_model(options, None, STEPS)
    base, name = base_policy(None, loaded)
    if options.tier is not None:
        base = with_one_tier(base, *options.tier)
        name = f"{name}, with one tier"
    comparison = ArmComparison(loaded, base, name)
    cases = changed_only().cases(options.cases, options.cases, seed=1)
    bench = comparison.filled(cases)
    hits = served(bench, base, options.targets)
    arms: dict[str, Arm] = {
        arm: Reusing(bench, policy)
        for arm, policy in policies_of(base, options.caches).items()
    }
    records = in_turns(hits, arms, FULL, "step caches in hits")
    full = {record.number: record for record in records[FULL]}
    tiers = [asdict(tier) for tier in base.tiers]
    measured = [
        comparison.row(arm, rows_of(made, full, full)[0] | {"tiers": tiers})
        for arm, made in records.items()
    ]
    rows.update("caches_hits", measured)
    print(rows.table(measured, ("row", *FIGURES, "detail")))


if __name__ == "__main__":
    main()
