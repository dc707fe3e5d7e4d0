"""Claims of requests on the videos that sources give, while and after they are made."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

Holder = int | object


@dataclass(eq=False)
class Claims:
    """Who makes, or made, the video of some words from a source, in this process.

    From one source the same words give one video, whatever the seed. So at most one
    request may take it over: two at once, or two that leave nothing in the cache, must
    not get the same bytes under different seeds.

    Attributes:
        most: how many are remembered; the oldest go first.
        holders: who has each video, by namespace and digest of the request.
        lock: guards `holders`.
    """

    most: int = 65_536
    holders: OrderedDict[tuple[str, str], Holder] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, namespace: str, made: str, holder: Holder) -> bool:
        """Takes the video for a holder; False if another one has it.

        Args:
            namespace: the request's.
            made: the request's digest with the seed that stands for the source.
            holder: the request's seed, or an object of its own for one without.
        """
        with self.lock:
            had = self.holders.setdefault((namespace, made), holder)
            while len(self.holders) > self.most:
                self.holders.popitem(last=False)
            return had == holder

    def forget(self, namespace: str) -> None:
        """Forgets all of a namespace."""
        with self.lock:
            for key in [key for key in self.holders if key[0] == namespace]:
                del self.holders[key]

    def release(self, namespace: str, made: str, holder: Holder) -> None:
        """Gives a video back that was not made after all."""
        with self.lock:
            if self.holders.get((namespace, made)) == holder:
                del self.holders[namespace, made]
