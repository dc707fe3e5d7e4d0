"""Measured properties of a model that step caches need before a run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.caches.thresholds import lowest
from chorus_jax.calibration.branch_fit import BranchSimilarity
from chorus_jax.calibration.full_runs import FullRuns
from chorus_jax.calibration.profiling_fit import LayerProfile
from chorus_jax.calibration.router import Scores
from chorus_jax.calibration.step_caches import CacheCalibration
from chorus_jax.calibration.step_plans import StepPlanner
from chorus_jax.calibration.token_plans import TokenPlanner
from chorus_jax.engine import Pipeline
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.intra_request.bac import BAC
from chorus_jax.intra_request.harmonica import HarmoniCa
from chorus_jax.intra_request.mag import MagCache
from chorus_jax.intra_request.profiling import ProfilingDiT
from chorus_jax.intra_request.tea import TeaCache
from chorus_jax.request import Request

Norms = tuple[tuple[float, ...], tuple[float, ...]]
NEAR = 0.08  # most difference of a setting's share of the work from the wanted one


@dataclass(frozen=True, eq=False)
class Foreseen:
    """Properties of a model's steps that are known before a run.

    Properties that none of the wanted methods needs are None or empty.

    Attributes:
        changes: the relative change of the timestep's embedding at each step from the
            second on.
        ratios: MagCache's magnitude ratios, one per step.
        planner: chooses the computed steps, fitted to the velocities of full runs.
        tokens: chooses the share of tokens of each step, fitted likewise.
        similarity: similarities of the outputs of branches, for BAC and ProfilingDiT.
        norms: SenCache's norms of the output's derivatives by latents and by time, one
            per step each.
        scores: the scores of HarmoniCa's router.
    """

    changes: np.ndarray
    ratios: tuple[float, ...] = ()
    planner: StepPlanner | None = None
    tokens: TokenPlanner | None = None
    similarity: BranchSimilarity | None = None
    norms: Norms | None = None
    scores: Scores | None = None

    def tea(self, steps: int) -> TeaCache:
        """The TeaCache that computes at most `steps` steps.

        No coefficients are published for these weights, so the polynomial is the
        identity.
        """
        threshold = lowest(self.by_tea, float(self.changes.sum()), steps)
        return TeaCache(threshold, (1.0, 0.0))

    def by_tea(self, threshold: float) -> int:
        """The number of steps that TeaCache computes with a threshold."""
        count, total = 2, 0.0  # the first and the last
        for value in self.changes[:-1]:
            total += value
            if total >= threshold:
                count, total = count + 1, 0.0
        return count

    def mag(self, steps: int) -> MagCache:
        """The MagCache that computes at most `steps` steps.

        It reuses at most 6 steps in a row.
        """
        make = lambda threshold: MagCache(threshold, self.ratios, 6, 0.1)
        by_mag = lambda threshold: sum(make(threshold).computes(len(self.ratios)))
        return make(lowest(by_mag, 4.0, steps))

    def bac(self, share: float) -> BAC:
        """The BAC whose share of computed branches is nearest to `share`.

        The share includes the updates that its bubbling union adds.
        """
        assert self.similarity is not None
        steps = self.similarity.cosines.shape[-1]

        def off(cache: BAC) -> float:
            counts = [len(branch) for layer in cache.updates for branch in layer]
            return abs(float(np.mean(counts)) / steps - share)

        return min(map(self.similarity.cache, range(1, steps)), key=off)

    def profiling(self, share: float) -> ProfilingDiT | None:
        """The ProfilingDiT whose share of computed branches is nearest to `share`; None
        if it is not near.

        It has one foreground layer or more.
        """
        assert self.similarity is not None
        profile = LayerProfile.of(self.similarity)
        off = lambda count: abs(profile.computed(count) - share)
        count = min(range(1, len(profile.order)), key=off)
        return profile.setting(count) if off(count) <= NEAR else None

    def harmonica(self, share: float) -> HarmoniCa:
        """The HarmoniCa that computes about this share of all branches."""
        assert self.scores is not None
        rows = np.round(self.scores, 4).astype(float)
        # All branches are computed in the first step.
        others = max(share * len(rows) - 1, 0.0) / (len(rows) - 1)
        threshold = float(np.quantile(rows[1:], 1 - others))
        tree = tuple(tuple(map(tuple, layer)) for layer in rows.tolist())
        return HarmoniCa(tree, threshold)


# By method of `chorus calibrate-cache`, the methods here that need its full runs.
FITS = {
    "mag": ("mag",),
    "planned": ("planned", "planned, held", "planned, scaled"),
    "planned-tokens": ("planned tokens",),
    "bac": ("bac", "profiling"),
    "sen": ("sen",),
    "harmonica": ("harmonica",),
}


def foreseen(
    pipeline: Pipeline, requests: Sequence[Request], wanted: Collection[str]
) -> Foreseen:
    """Measures the properties that the wanted methods need before a run.

    Args:
        pipeline: the model's pipeline.
        requests: requests of one size and schedule, with prompts that the comparison
            does not use.
        wanted: the names of the methods.
    """
    full: dict[str, FullRuns] = {
        fit: CacheCalibration(pipeline, requests).record(fit)
        for fit, methods in FITS.items()
        if not set(methods).isdisjoint(wanted)
    }
    of = lambda fit, measure: measure(full[fit]) if fit in full else None
    return Foreseen(
        embedding_changes(pipeline, requests[0]),
        of("mag", ratios) or (),
        of("planned", FullRuns.planner),
        of("planned-tokens", FullRuns.token_planner),
        of("bac", FullRuns.similarity),
        of("sen", norms),
        of("harmonica", FullRuns.routes),
    )


def ratios(full: FullRuns) -> tuple[float, ...]:
    """MagCache's magnitude ratio per step, the mean over the runs."""
    means = np.mean(full.records, axis=0)
    return tuple(round(float(x), 5) for x in means)


def norms(full: FullRuns) -> Norms:
    """SenCache's norms of the output's derivatives by latents and time at each step."""
    by_latents, by_time = full.norms().tolist()
    short = lambda row: tuple(float(f"{x:.4g}") for x in row)
    return short(by_latents), short(by_time)


def embedding_changes(pipeline: Pipeline, request: Request) -> np.ndarray:
    """The relative change of the timestep's embedding at each step but the first."""
    conditions, _ = pipeline.condition([request])
    signals = np.asarray(conditions[TRANSFORMER].times.head)
    return np.abs(np.diff(signals, axis=0)).mean(1) / np.abs(signals[:-1]).mean(1)
