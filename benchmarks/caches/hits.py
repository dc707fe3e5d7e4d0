"""Step caches inside hits: Chorus alone, and Chorus with each step cache.

    python -m benchmarks.caches.hits      # run nothing else on the machine: it times

Runs the shapes model at 50 steps on targets that differ from their source and that the
calibrated policy serves; the arms take turns on each target.

    full     all steps
    chorus   the policy without a step cache
    policy   the policy with its own step cache
    others   the policy with this step cache

`speedup_denoise` is the full run's denoising time divided by the arm's, `psnr` compares
with the full run's video of the same target, and `accuracy_changed` is the accuracy of
the attributes in which a target differs from its source; its `loss_error` is the
standard error of the difference from the full runs.
"""

import argparse
from dataclasses import replace
from itertools import islice

from benchmarks.lib import rows
from benchmarks.reuse.bench import Bench, Target
from benchmarks.reuse.cases import changed_only
from benchmarks.reuse.comparison import ArmComparison
from benchmarks.reuse.models import add_options, base_policy, load_model
from benchmarks.reuse.running import Arm, Reusing
from benchmarks.reuse.scores import rows_of
from benchmarks.reuse.turns import in_turns
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.intra_request import EveryStep, registry

STEPS = 50
FULL, ALONE, OWN = "full", "chorus", "policy"
CACHES = (
    *("taylor:interval=2", "taylor:interval=3", "hicache:interval=3"),
    *("dicache:threshold=.1,retention=0.0", "first-block:threshold=.06,first=1"),
    *("sea:threshold=.25,longest=4", "sen:threshold=.1,first=1,longest=4"),
    *("spectrum:growth=.1,first=2", "racer:growth=.1,first=2"),
)
FIGURES = (
    *("equivalents", "speedup_denoise", "accuracy", "accuracy_changed"),
    *("accuracy_changed_loss_error", "psnr"),
)


def policies_of(base: Policy) -> dict[str, Policy]:
    """The policies by arm, with the tiers of the policy `base` (see the module)."""
    alone = replace(base, cache=EveryStep())
    arms = {FULL: Policy(STEPS, ()), ALONE: alone, OWN: base}
    for line in CACHES:
        arms[line] = replace(alone, cache=registry.parse(line))
    return arms


def served(bench: Bench, policy: Policy, count: int) -> list[Target]:
    """The first `count` targets that differ from their source and are hits."""
    hits = (x for x in bench.targets if x.changed and x.tier(policy))
    return list(islice(hits, count))


def main() -> None:
    """Measures, prints the table, writes the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--targets", type=int, default=100, help="that are hits")
    parser.add_argument("--cases", type=int, default=160, help="that are looked up")
    options = parser.parse_args()
    loaded = load_model(options, None, STEPS)
    base, name = base_policy(None, loaded)
    comparison = ArmComparison(loaded, base, name)
    cases = changed_only().cases(options.cases, options.cases, seed=0)
    bench = comparison.filled(cases)
    hits = served(bench, base, options.targets)
    arms: dict[str, Arm] = {
        arm: Reusing(bench, policy) for arm, policy in policies_of(base).items()
    }
    records = in_turns(hits, arms, FULL, "step caches in hits")
    full = {record.number: record for record in records[FULL]}
    measured = [
        comparison.row(arm, rows_of(made, full, full)[0])
        for arm, made in records.items()
    ]
    rows.update("caches_hits", measured)
    print(rows.table(measured, ("row", *FIGURES, "detail")))


if __name__ == "__main__":
    main()
