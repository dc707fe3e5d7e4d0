"""The ledgers of served requests as lines of a table."""

from collections.abc import Sequence
from statistics import mean

from chorus_jax.cli.demo.stream import Served
from chorus_jax.engine import Ledger

HEAD = (
    f"{'':3}{'':10}{'score':>6} {'reused to':>10} {'regions to':>11} {'computed':>9} "
    f"{'seconds':>8} {'seed':>5}  prompt"
)


def line(number: int, served: Served) -> str:
    """The row of a request: score, reuse, computation in full steps, time, prompt."""
    ledger = served.result.ledger
    score = "" if ledger.score is None else f"{ledger.score:.2f}"
    return (
        f"{number:2} {ledger.kind:10}{score:>6} {reused(ledger):>10} "
        f"{regions(ledger):>11} {ledger.equivalents:>9.1f} {ledger.total:8.2f} "
        f"{served.request.seed:>5}  {served.request.prompt}"
    )


def reused(ledger: Ledger) -> str:
    """The step up to which the source was reused; "" for none."""
    if ledger.kind == "exact":
        return "all"
    return f"step {ledger.reuse_until}" if ledger.reuse_until else ""


def regions(ledger: Ledger) -> str:
    """The step at which the region ends, and the region's share of the tokens.

    "" if all steps run all tokens.
    """
    if ledger.active == 1:
        return ""
    return f"{ledger.region_until} ({ledger.active:.0%})"


def summary(served: Sequence[Served]) -> list[str]:
    """A line for each kind of result: the number of requests and their mean seconds."""
    ledgers = [answer.result.ledger for answer in served]
    misses = [ledger.total for ledger in ledgers if ledger.kind == "miss"]
    lines = []
    for kind in ("miss", "semantic", "exact"):
        own = [ledger.total for ledger in ledgers if ledger.kind == kind]
        if not own:
            continue
        times = f"{len(own):2} {kind:10} {mean(own):.2f} s"
        if misses and kind != "miss":
            times += f", {mean(misses) / mean(own):.1f}x"
        lines.append(times)
    return lines
