"""Runs the arms and the curve of one model, and makes their rows."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from benchmarks.reuse import arms as chorus_arms
from benchmarks.reuse.arms import ARMS, EQUAL, FEWER, FULL, WHOLE
from benchmarks.reuse.bench import Bench
from benchmarks.reuse.cases import Cases
from benchmarks.reuse.costs import even
from benchmarks.reuse.models import Loaded
from benchmarks.reuse.running import Arm, Equal, Fewer, Reusing
from benchmarks.reuse.scores import rows_of
from benchmarks.reuse.turns import in_turns
from chorus_jax.calibration.record import TargetRecord
from chorus_jax.calibration.tiers import effective
from chorus_jax.engine import Cache, Engine, Reuse
from chorus_jax.inter_request.policy.policy import Policy

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class ArmComparison:
    """Measures the arms and the curve of one model.

    Attributes:
        loaded: the model.
        base: the policy that the arms are derived from.
        origin: the origin of that policy, for the rows.
    """

    loaded: Loaded
    base: Policy
    origin: str

    def check_plain(self, cases: Cases) -> None:
        """Raises SystemExit if an engine without reuse differs from the pipeline."""
        pipeline, caption = self.loaded.pipeline, cases.targets[0].caption
        request = replace(self.loaded.request, prompt=caption, seed=0)
        plain = chorus_arms.policies(self.base)[FULL]
        engine = Engine(pipeline, Cache.in_memory(), plain)
        ours = engine.generate(request, Reuse(write=False)).video
        [video] = pipeline(request)
        for name in ("latents", "frames"):
            if not np.array_equal(getattr(ours, name), getattr(video, name)):
                raise SystemExit(
                    f"without reuse the engine's {name} are not the pipeline's: what "
                    "follows would compare two models; find out why first"
                )

    def filled(self, cases: Cases) -> Bench:
        """A bench with a cache that is filled with the sources of these cases."""
        pipeline, request = self.loaded.pipeline, self.loaded.request
        return Bench.filled(pipeline, request, cases, self.base.look)

    def stage_ends(self) -> list[int]:
        """The steps at which a stage of any arm or point of the curve ends."""
        policies = {**chorus_arms.policies(self.base), **chorus_arms.curve(self.base)}
        tiers = (tier for policy in policies.values() for tier in policy.tiers)
        return sorted({k for t in tiers for k in (t.reuse_until, t.region_until)})

    def arms(self, bench: Bench, names: Sequence[str]) -> Iterator[Row]:
        """Runs these arms; yields their rows. Arms that compute the same run once."""
        policies = chorus_arms.policies(self.base)
        alike = first_alike(policies)
        wanted = {FULL} | {alike.get(name, name) for name in names}
        reusing = {name: Reusing(bench, policy) for name, policy in policies.items()}
        arms: dict[str, Arm] = {k: x for k, x in reusing.items() if k in wanted}
        arms.update(self.as_costly(bench, reusing[alike[WHOLE]], wanted))
        records = in_turns(bench.targets, arms, FULL, f"{self.loaded.steps} steps")
        full = {record.number: record for record in records[FULL]}
        hits = {x.number for x in bench.targets if x.tier(policies[WHOLE])}
        for name in (name for name in ARMS if name in names):
            run = alike.get(name, name)
            extra: Row = {} if run == name else {"same_as": run}
            if name in policies:
                extra["policy"] = asdict(policies[name])
            own = hits if name in (FULL, FEWER, EQUAL) else hits_of(records[run])
            for row in rows_of(records[run], full, own):
                yield self.row(name, row | extra)

    def as_costly(
        self, bench: Bench, chorus: Reusing, wanted: Container[str]
    ) -> Iterator[tuple[str, Arm]]:
        """The wanted arms that cost as much as `chorus`; their misses run all steps."""
        steps, starts = self.loaded.steps, (0, *self.stage_ends())
        hits = [target for target in bench.targets if target.tier(chorus.policy)]
        counts = {target.number: steps for target in bench.targets}
        if FEWER in wanted:
            fewer = even(hits, chorus.computed, range(1, steps + 1))
            yield FEWER, Fewer(bench, counts | fewer)
        if EQUAL in wanted:
            remaining = even(hits, chorus.computed, [steps - k for k in starts])
            yield EQUAL, Equal(bench, self.base, counts | remaining)

    def curve(self, bench: Bench, targets: int) -> Iterator[Row]:
        """Measures the curve; yields a row per point.

        A row has means over the first `targets` targets that differ from their source
        and have a score above 0.
        """
        differing = (x for x in bench.targets if x.changed and (x.score or 0.0) > 0)
        hits = list(islice(differing, targets))
        name, policies = f"curve_{FULL}", chorus_arms.policies(self.base)
        arms: dict[str, Arm] = {name: Reusing(bench, policies[FULL])}
        points = chorus_arms.curve(self.base)
        for point, policy in points.items():
            arms[point] = Reusing(bench, policy)
        for point, count in chorus_arms.curve_steps(self.loaded.steps).items():
            arms[point] = Fewer(bench, {target.number: count for target in hits})
        records = in_turns(hits, arms, name, f"curve of {self.loaded.steps} steps")
        full = {record.number: record for record in records[name]}
        for point, made in records.items():
            tier = asdict(points[point].tiers[0]) if point in points else {}
            yield self.row(point, rows_of(made, full, full)[0] | tier)

    def row(self, name: str, figures: Row) -> Row:
        """A row with its name, steps and the model's facts."""
        what = {"row": name, "steps": self.loaded.steps}
        return {**what, **figures, "base": self.origin, **self.loaded.facts}


def first_alike(policies: Mapping[str, Policy]) -> dict[str, str]:
    """Maps each name to the first name whose policy computes the same."""
    first: dict[Policy, str] = {}
    return {
        name: first.setdefault(effective(policy), name)
        for name, policy in policies.items()
    }


def hits_of(records: Sequence[TargetRecord]) -> set[int]:
    """The numbers of the targets that reused a source."""
    return {record.number for record in records if record.ledger.kind == "semantic"}
