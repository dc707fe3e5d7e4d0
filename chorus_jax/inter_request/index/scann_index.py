"""The index for many entries: ScaNN over most of them, exact search over the rest.

A ScaNN searcher never changes once it is built. Vectors added later are searched
exactly beside it; vectors removed or replaced later are dropped from its answers. When
too many have changed, a thread builds a new searcher while the old one serves.
"""

import logging
import threading
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from chorus_jax.inter_request.index.searcher import REORDER, Searcher
from chorus_jax.inter_request.index.table import (
    MARGIN,
    Neighbor,
    VectorTable,
    unit_vector,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rebuilds:
    """When an index builds its first searcher, and when it builds a new one.

    Measured by benchmarks/index on 2 cores: exact search is as fast as ScaNN up to 6500
    entries of width 1536, and up to 44 000 of width 96. Between 6500 and 44 000 entries
    the choice costs less than half a millisecond per search.

    Attributes:
        least: with fewer entries than this every search is exact.
        growth: a new searcher is built when the number of changed entries exceeds this
            share of the entries in the old one.
    """

    least: int = 10_000
    growth: float = 0.1


@dataclass(eq=False)
class Built:
    """A searcher and what has changed since it was built.

    Attributes:
        searcher: the ScaNN searcher; it never changes.
        ids: the id of each row of the searcher.
        fresh: vectors added or replaced since, searched exactly.
        changed: ids added, replaced or removed since; the searcher's rows with these
            ids are ignored.
    """

    searcher: Searcher
    ids: list[str]
    fresh: VectorTable
    changed: set[str]


class ScannIndex:
    """Approximate index: faster than `ExactIndex` for many entries.

    It may miss some of the nearest vectors; the cosines it returns are exact.
    """

    def __init__(self, width: int, rebuilds: Rebuilds = Rebuilds()):
        self.rebuilds = rebuilds
        self._table = VectorTable(width)
        self._built: Built | None = None
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._meanwhile: set[str] = set()
        self._broken = False

    def __len__(self) -> int:
        with self._lock:
            return len(self._table.ids)

    def __contains__(self, id: str) -> bool:
        with self._lock:
            return id in self._table.rows

    def add(self, id: str, vector: Float[np.ndarray, " d"]) -> None:
        """Adds a vector, or replaces the vector of the same id."""
        unit = unit_vector(vector, self._table.width)
        with self._lock:
            self._table.put(id, unit)
            if self._built is not None:
                self._built.fresh.put(id, unit)
            self._changed(id)

    def remove(self, id: str) -> bool:
        """Removes a vector; False if the index has none of this id."""
        with self._lock:
            known = self._table.remove(id)
            if known:
                if self._built is not None:
                    self._built.fresh.remove(id)
                self._changed(id)
            return known

    def search(
        self, vector: Float[np.ndarray, " d"], count: int, least: float = -1.0
    ) -> list[Neighbor]:
        """The nearest vectors by cosine (see `Index.search`), approximately.

        Some of the nearest may be missing; the returned cosines are exact.
        """
        unit = unit_vector(vector, self._table.width)
        with self._lock:
            ids = None if self._built is None else self._near(unit, count, least)
            if ids is None:
                return self._table.nearest(unit, count, least)
            return self._table.scored(ids, unit)[:count]

    def wait(self) -> None:
        """Blocks until no searcher is being built."""
        while (thread := self._thread) is not None and thread.is_alive():
            thread.join()

    def close(self) -> None:
        """Waits for the thread that builds a searcher, and starts no other."""
        with self._lock:
            self._broken = True
        self.wait()

    def _near(
        self, unit: Float32[np.ndarray, " d"], count: int, least: float
    ) -> list[str] | None:
        """Ids of the nearest vectors, from the searcher and from `Built.fresh`.

        None if exact search is needed, because too many of the searcher's answers are
        out of date.
        """
        built = self._built
        assert built is not None
        wanted = count + len(built.changed)
        if wanted > REORDER and len(built.ids) > REORDER:
            wanted = REORDER
        rows, products = built.searcher.rows(unit, wanted)
        limit = min(least, products[0]) - MARGIN
        near_count = sum(product >= limit for product in products)
        ids = [built.ids[row] for row in rows[:near_count]]
        valid = [id for id in ids if id not in built.changed]
        # The nearest vector is always needed, further ones only if near enough.
        missing = len(valid) < (1 if near_count < len(rows) else count)
        if missing and near_count < len(built.ids):  # further rows may be valid
            return None
        return [*valid, *built.fresh.candidates(unit, count, least)]

    @property
    def _building(self) -> bool:
        thread = self._thread
        # When the building thread itself asks, its searcher is already in place.
        return (
            thread is not None
            and thread.is_alive()
            and thread is not threading.current_thread()
        )

    def _changed(self, id: str) -> None:
        # Filled only during a build: ids never repeat, so it would grow without end.
        if self._building:
            self._meanwhile.add(id)
        if self._built is not None:
            self._built.changed.add(id)
        self._rebuild_if_due()

    def _rebuild_if_due(self) -> None:
        with self._lock:
            built = self._built
            if self._building:
                return
            if built is not None:
                if len(built.changed) <= self.rebuilds.growth * len(built.ids):
                    return
            if self._broken or len(self._table.ids) < self.rebuilds.least:
                self._built = None
                return
            self._meanwhile = set()
            ids, vectors = list(self._table.ids), self._table.vectors.copy()
            # Not a daemon: Python aborts if it ends while ScaNN is at work.
            self._thread = threading.Thread(target=self._build, args=(ids, vectors))
            self._thread.start()

    def _build(self, ids: list[str], vectors: Float32[np.ndarray, "n d"]) -> None:
        try:
            searcher = Searcher(vectors)
        except Exception:
            log.warning("no searcher was built: search stays exact", exc_info=True)
            with self._lock:
                self._broken, self._meanwhile = True, set()
            return
        with self._lock:
            fresh = VectorTable(self._table.width)
            for id in self._meanwhile & self._table.rows.keys():
                fresh.put(id, self._table.vectors[self._table.rows[id]])
            self._built = Built(searcher, ids, fresh, self._meanwhile)
            self._meanwhile = set()
            # Much may have changed during the build, and no later change may come.
            self._rebuild_if_due()
