"""Digests of all that decides the bytes of a converted part: source, config, code."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from convert.plan import ConversionPlan

DigestOf = Callable[[Path], str]


def identity(plan: ConversionPlan, config: Any, digest_of: DigestOf) -> str:
    """A digest of the places, shapes and dtypes of all tensors that a plan reads, of
    the files that they lie in, of the config, and of the code of this package.

    Args:
        plan: of a part.
        config: the part's.
        digest_of: gives the digest of a source file.
    """
    fills = [
        [fill.target, list(fill.shape), fill.dtype.name, fill.rule.source]
        + [described(tensor, digest_of) for tensor in fill.tensors]
        for fill in plan.fills.values()
    ]
    return digested([code(), type(config).__name__, dataclasses.asdict(config), fills])


def described(value: Any, digest_of: DigestOf) -> Any:
    """A tensor, or what it is made of, as JSON; files by their digests.

    Functions are left out: `code` covers them.
    """
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value)]
        pairs = [[name, described(getattr(value, name), digest_of)] for name in fields]
        return [type(value).__name__, *pairs]
    if isinstance(value, Path):
        return digest_of(value)
    if isinstance(value, list | tuple):
        return [described(item, digest_of) for item in value]
    if isinstance(value, str | int | float | None):
        return value
    return "" if callable(value) else str(value)


def digested(content: Any) -> str:
    """SHA-256 of JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@functools.cache
def code() -> str:
    """A digest of this package's source: rules may change between versions."""
    sha = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        sha.update(file.read_bytes())
    return sha.hexdigest()
