"""Scores and times of the arms' videos per target, and their means as rows."""

import math
import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import filterfalse
from typing import Any

from benchmarks.lib.judged import Scores, judge, lost, means, with_errors
from benchmarks.lib.timing import Timing
from benchmarks.reuse.bench import Target
from benchmarks.reuse.losses import RELIABLE, REPORTED
from benchmarks.reuse.running import ArmRun
from benchmarks.reuse.seams import seam
from chorus_jax.calibration.losses import losses
from chorus_jax.calibration.record import TargetRecord
from chorus_jax.engine import Ledger
from chorus_jax.media.metrics import psnr, ssim

HARM = ("harmful", "harmful_by_reuse")


def scored(target: Target, run: ArmRun, full: ArmRun) -> Scores:
    """The oracle's scores of a video, and its fidelity to the full run.

    For each attribute that differs from the source's, `changed_NAME` is 1 if it is
    right, else 0; `accuracy_changed` is 1 if all of them are right. `psnr` and `ssim`
    compare with the full run, which has the same noise; they are left out if the videos
    are equal. `seam` is included if a region was run.
    """
    scores = judge(target.prompt, run.frames)
    changed = {f"changed_{x}": scores[f"accuracy_{x}"] for x in target.changed}
    if changed:
        scores |= {**changed, "accuracy_changed": float(all(changed.values()))}
    ratio = psnr(run.frames, full.frames)
    if math.isfinite(ratio):
        scores |= {"psnr": ratio, "ssim": ssim(run.frames, full.frames)}
    border = None
    if run.region is not None:
        border = seam(run.frames, full.frames, run.region)
    return scores if border is None else {**scores, "seam": border}


def harm(target: Target, ours: Scores, full: Scores) -> Scores:
    """Whether anything is wrong in a video that is right in its full run, 1 or 0.

    `harmful` counts every attribute; `harmful_by_reuse` leaves out those that the
    source shares with the target and shows wrong in its own video.
    """
    wrong = lost(ours, full)
    by_reuse = [name for name in wrong if target.kept.get(name, 1.0)]
    return {"harmful": float(bool(wrong)), "harmful_by_reuse": float(bool(by_reuse))}


def of_reliable(scores: Scores, names: Collection[str]) -> Scores:
    """Adds two scores over the attributes that the model renders reliably, `names`.

    `accuracy_reliable` is 1 if all of them are right, else 0, and `changed_reliable` is
    1 if all of them that differ from the source are right, else 0. Other attributes are
    right or wrong by chance, with and without reuse, so that they only add noise.
    """
    judged = dict(scores)
    for name, kind in zip(RELIABLE, ("accuracy", "changed"), strict=True):
        right = [scores[f"{kind}_{x}"] for x in names if f"{kind}_{x}" in scores]
        if right:
            judged[name] = float(all(right))
    return judged


def rows_of(
    records: Sequence[TargetRecord],
    full: Mapping[int, TargetRecord],
    hits: Collection[int],
) -> list[dict[str, Any]]:
    """Rows over the hits, over kinds of hits, and over all targets.

    The kinds are hits that differ from their source in an attribute (`changed`), all
    of them and those of each tier (`changed from 15`: that begin at step 15), and hits
    whose source says the same in other words (`reworded`). Empty groups have no row.

    Args:
        records: the records of one arm.
        full: the same targets' full runs, by number.
        hits: numbers of the targets that count as hits.

    Raises:
        ValueError: for a replayed request, which is neither a hit nor a miss.
    """
    replayed = [record.number for record in records if record.ledger.kind == "exact"]
    if replayed:
        raise ValueError(
            f"the targets {replayed} were replayed: their requests are in the cache, "
            "make cases that are not"
        )
    own = [record for record in records if record.number in hits]
    differs = lambda record: "accuracy_changed" in record.scores
    semantic = sum(record.ledger.kind == "semantic" for record in records)
    common = {"hit_rate": semantic / len(records)}
    changed = list(filter(differs, own))
    tiers: dict[str, list[TargetRecord]] = defaultdict(list)
    for record in changed:
        if record.ledger.reuse_until:
            tiers[f"changed from {record.ledger.reuse_until}"].append(record)
    groups = {
        "hits": own,
        "changed": changed,
        "reworded": list(filterfalse(differs, own)),
        "all": list(records),
        **tiers,
    }
    return [
        {"over": over, "targets": len(group), **common, **figures(group, full)}
        for over, group in groups.items()
        if group
    ]


def figures(
    records: Sequence[TargetRecord], full: Mapping[int, TargetRecord]
) -> dict[str, Any]:
    """Means over these targets, and paired losses against their full runs.

    A speed-up is the mean over the targets, each relative to the same target's full run
    in the same turn; `speedup_denoise` includes look-up and load.
    `speedup_denoise_overall` is the time of all full runs over that of all these runs.
    `speedup_denoise_best` and `speedup_best` (of whole requests) are the highest
    medians over targets with the same `TargetRecord.way`. `seconds` is the time of a
    request, `seconds_NAME` of a part.
    """
    scores = [record.scores for record in records]
    reference = [full[record.number].scores for record in records]
    relative = losses(scores, reference, REPORTED)
    shares = [_speedups(record, full[record.number]) for record in records]
    ways = [record.way for record in records]
    totals = [
        sum(_denoising(record.ledger) for record in group)
        for group in ([full[record.number] for record in records], records)
    ]
    overall = totals[0] / totals[1]
    return {
        "equivalents": statistics.fmean(
            record.ledger.equivalents for record in records
        ),
        **means(shares),
        "speedup_denoise_overall": overall,
        "speedup_denoise_best": _best(ways, [x["speedup_denoise"] for x in shares]),
        "speedup_best": _best(ways, [x["speedup_total"] for x in shares]),
        **_seconds([record.ledger for record in records]),
        **means(scores),
        **with_errors([{k: x[k] for k in HARM if k in x} for x in scores]),
        **{f"{name}_loss": loss.mean for name, loss in relative.items()},
        **{f"{name}_loss_error": loss.error for name, loss in relative.items()},
    }


def _best(ways: Sequence[tuple[float, ...]], values: Sequence[float]) -> float:
    """The largest median over groups of targets with the same way."""
    groups = defaultdict(list)
    for way, value in zip(ways, values, strict=True):
        groups[way].append(value)
    return max(map(statistics.median, groups.values()))


def _speedups(ours: TargetRecord, full: TargetRecord) -> Scores:
    denoise = _denoising(full.ledger) / _denoising(ours.ledger)
    total = full.ledger.total / ours.ledger.total
    return {"speedup_denoise": denoise, "speedup_total": total}


def _denoising(ledger: Ledger) -> float:
    """The seconds of look-up, load and denoising, without the text encoder."""
    return sum(ledger.seconds.get(part, 0.0) for part in ("look_up", "load", "denoise"))


def _seconds(ledgers: Sequence[Ledger]) -> Scores:
    timing = Timing(tuple(ledger.total for ledger in ledgers))
    spread = {"spread": timing.spread} if len(ledgers) > 1 else {}
    parts = dict.fromkeys(name for ledger in ledgers for name in ledger.seconds)
    by_part = {
        f"seconds_{name}": statistics.median(x.seconds.get(name, 0.0) for x in ledgers)
        for name in parts
    }
    return {"seconds": timing.median, **spread, **by_part}
