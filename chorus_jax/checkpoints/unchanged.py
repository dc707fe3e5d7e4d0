"""The fingerprint of weights in memory, which may have been changed after loading."""

import logging
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import call, is_
from typing import Any

import jax
from flax import nnx

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
        if not self._attributes.unchanged(module):
            self._compare(module)
        if self._known is None:
            self._known = digested(module)
        return self._known

    def _compare(self, module: Any) -> None:
        """Forgets the fingerprint if the module has other arrays."""
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
            self._known = None
        self._remember(module)

    def _remember(self, module: Any) -> None:
        # Weakly: weights that were replaced must not stay in memory.
        # Abstract arrays, which are used to plan memory, are not compared.
        self._arrays = [
            weakref.ref(array)
            for array in jax.tree.leaves(module)
            if isinstance(array, jax.Array)
        ]
        self._attributes = ModuleAttributes(module)


class ModuleAttributes:
    """A snapshot of the attributes of a module and of all its submodules.

    Comparing it with the module, which every request does, takes a fifth of the time of
    listing the module's arrays. It keeps no weights in memory.
    """

    def __init__(self, module: nnx.Module):
        nodes = [node for _, node in nnx.iter_graph(module)]
        self._root = weakref.ref(module)
        self._modules = [weakref.ref(x) for x in nodes if isinstance(x, nnx.Module)]
        values = attributes(self._modules)
        self._ids = list(map(id, values))
        self._variables = [
            at for at, value in enumerate(values) if isinstance(value, nnx.Variable)
        ]
        self._arrays = [reference(array) for array in self._content(values)]
        # These objects are kept alive, because ids are unique only among live objects.
        weights = nnx.Module | nnx.Variable
        self._others = [value for value in values if not isinstance(value, weights)]

    def unchanged(self, module: nnx.Module) -> bool:
        """Whether `module` is the same object, with the same objects as attributes."""
        if self._root() is not module or None in map(call, self._modules):
            return False
        values = attributes(self._modules)
        if list(map(id, values)) != self._ids:
            return False
        return all(map(is_, map(call, self._arrays), self._content(values)))

    def _content(self, values: Sequence[Any]) -> Iterator[Any]:
        """The arrays in the variables among the attributes `values`."""
        return (values[at].get_raw_value() for at in self._variables)


def attributes(modules: Iterable[Callable[[], Any]]) -> list[Any]:
    """All attributes of the modules, which are given as references and must still
    exist."""
    return [value for known in modules for value in vars(known()).values()]


def reference(value: Any) -> Callable[[], Any]:
    """A weak reference to a value, or a strong one if its type supports none."""
    try:
        return weakref.ref(value)
    except TypeError:
        return lambda: value
