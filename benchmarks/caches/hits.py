"""Step caches inside hits: Chorus alone, and Chorus with each step cache.

    python -m benchmarks.caches.hits      # run nothing else on the machine: it times

Runs the shapes model at 50 steps on targets that differ from their source; the arms
take turns on each target. All hits begin at step 20 of 50 from the source's latents
and run the active share of the calibrated policy's middle tier, a quarter of the
tokens, up to step 45. `speedup_denoise` is the full run's denoising time divided by the
arm's, `psnr` compares with the full run's video of the same target, and
`accuracy_changed` is the accuracy of the attributes in which a target differs from its
source.
"""

import argparse
from dataclasses import replace
from itertools import islice

from benchmarks.lib import rows
from benchmarks.reuse import arms as chorus_arms
from benchmarks.reuse.cases import held_out
from benchmarks.reuse.comparison import ArmComparison
from benchmarks.reuse.models import add_options, base_policy, load_model
from benchmarks.reuse.running import Arm, Reusing
from benchmarks.reuse.scores import rows_of
from benchmarks.reuse.turns import in_turns
from chorus_jax.calibration.tiers import tier_at
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.intra_request import registry

STEPS = 50
FULL, ALONE = "full", "chorus"
CACHES = (
    *("taylor:interval=2", "taylor:interval=3", "hicache:interval=3"),
    *("dicache:threshold=.1,retention=0", "first-block:threshold=.06,first=1"),
    *("sea:threshold=.25,longest=4", "sen:threshold=.1,first=1,longest=4"),
    *("spectrum:growth=.1,first=2", "racer:growth=.1,first=2"),
)
FIGURES = ("equivalents", "speedup_denoise", "accuracy", "accuracy_changed", "psnr")


def policies_of(base: Policy) -> dict[str, Policy]:
    """The policies by arm.

    These are a full run, one tier for all scores, and that tier with each step cache.
    """
    like = base.tiers[len(base.tiers) // 2]
    tier = replace(tier_at(STEPS, 0.4, 0.9, like.active), key_gain=like.key_gain)
    alone = chorus_arms.with_only(base, tier)
    arms = {FULL: Policy(STEPS, ()), ALONE: alone}
    for line in CACHES:
        arms[line] = replace(alone, cache=registry.parse(line))
    return arms


def main() -> None:
    """Measures, prints the table, writes the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--targets", type=int, default=36)
    options = parser.parse_args()
    loaded = load_model(options, None, STEPS)
    base, name = base_policy(None, loaded)
    comparison = ArmComparison(loaded, base, name)
    cases = held_out().cases(options.targets, options.targets, seed=0)
    bench = comparison.filled(cases)
    differing = (x for x in bench.targets if x.changed and (x.score or 0.0) > 0)
    hits = list(islice(differing, options.targets))
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
