"""Digests of everything that determines a converted part: source, config and code."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from convert.plan import ConversionPlan
from convert.syntax import code_of

DigestOf = Callable[[Path], str]


def identity(plan: ConversionPlan, config: Any, digest_of: DigestOf) -> str:
    """A digest of everything that determines the bytes of a converted part.

    It covers the position, shape and dtype of every tensor that the plan reads, the
    files with these tensors, the config, and the code of this package.

    Args:
        plan: the plan of the part.
        config: the config of the part.
        digest_of: returns the digest of a source file.
    """
    fills = [
        [fill.target, list(fill.shape), fill.dtype.name, fill.rule.source]
        + [described(tensor, digest_of) for tensor in fill.tensors]
        for fill in plan.fills.values()
    ]
    return digested([code(), type(config).__name__, dataclasses.asdict(config), fills])


def described(value: Any, digest_of: DigestOf) -> Any:
    """A tensor, or a field of one, as JSON, with digests in place of files.

    Functions are left out, because `code` covers them.
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
    """The SHA-256 of a value's JSON, in hex."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@functools.cache
def code() -> str:
    """A digest of this package's code, since rules change between versions.

    Comments and docstrings are left out, so that conversions stay valid if these
    change.
    """
    sha = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        sha.update(f"{file.name}\n{code_of(file.read_text('utf-8'))}\n".encode())
    return sha.hexdigest()
