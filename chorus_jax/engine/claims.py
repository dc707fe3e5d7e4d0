"""Claims: which request of this process may make a given video from a given source."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

Holder = int | object


@dataclass(eq=False)
class Claims:
    """Claims of this process's requests on the videos that they make from sources.

    A run that begins from a source takes its noise, so one source and one prompt give
    one video, whatever the seed. At most one seed may claim that video: two requests at
    once, or two that write nothing to the cache, must not get the same bytes under
    different seeds.

    Attributes:
        most: the number of claims that are remembered; the oldest are dropped first.
        holders: the holder of each video, by namespace and digest of the request.
        lock: guards `holders`.
    """

    most: int = 65_536
    holders: OrderedDict[tuple[str, str], Holder] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, namespace: str, made: str, holder: Holder) -> bool:
        """Claims a video for a holder; False if another holder has claimed it.

        Args:
            namespace: the request's namespace.
            made: the request's digest with the seed that stands for the source.
            holder: the request's seed, or an object of its own if it has no seed.
        """
        with self.lock:
            had = self.holders.setdefault((namespace, made), holder)
            while len(self.holders) > self.most:
                self.holders.popitem(last=False)
            return had == holder

    def forget(self, namespace: str) -> None:
        """Drops all claims of a namespace."""
        with self.lock:
            for key in [key for key in self.holders if key[0] == namespace]:
                del self.holders[key]

    def release(self, namespace: str, made: str, holder: Holder) -> None:
        """Drops a holder's claim on a video that was not made after all."""
        with self.lock:
            if self.holders.get((namespace, made)) == holder:
                del self.holders[namespace, made]
