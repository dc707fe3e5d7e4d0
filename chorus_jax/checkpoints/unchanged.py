"""The fingerprint of weights in memory, which may have been changed after loading."""

import logging
import weakref
from typing import Any

import jax

from chorus_jax.checkpoints.models import digested

log = logging.getLogger(__name__)


class WeightsFingerprint:
    """The fingerprint of a module's weights.

    It stays the same while the module has the same array objects. If they were
    replaced, as by merging an adapter, it is computed anew from the arrays.
    """

    def __init__(self, module: Any, fingerprint: str | None = None):
        """`fingerprint` describes the module's present arrays; None computes it."""
        self._remember(module)
        self._known = fingerprint

    def __call__(self, module: Any) -> str:
        """The fingerprint of the module's present weights.

        Args:
            module: the module; None if it was freed, for its last fingerprint.

        Raises:
            ValueError: if it was freed before its fingerprint was computed.
        """
        if module is None:
            if self._known is None:
                raise ValueError(
                    "a part was freed, and it came without a fingerprint: give one, or "
                    "ask for it before"
                )
            return self._known
        arrays = jax.tree.leaves(module)
        same = len(arrays) == len(self._arrays) and all(
            known() is array for known, array in zip(self._arrays, arrays)
        )
        if not same:
            log.warning(
                "the weights of a %s were changed in memory: they have another "
                "fingerprint now, and earlier videos are none of theirs",
                type(module).__name__,
            )
            self._remember(module)
            self._known = None
        if self._known is None:
            self._known = digested(module)
        return self._known

    def _remember(self, module: Any) -> None:
        # Weakly: weights that were replaced must not stay in memory.
        # Shapes in place of arrays, as memory is planned with, are nothing to compare.
        self._arrays = [
            weakref.ref(array)
            for array in jax.tree.leaves(module)
            if isinstance(array, jax.Array)
        ]
