"""The dtype that each part is stored in."""

from collections.abc import Iterable

DTYPES = ("bfloat16", "float32")
# The VAE is small, and its rounding is seen in every frame.
DEFAULT = "bfloat16,vae=float32"


def parse(text: str, parts: Iterable[str]) -> dict[str, str]:
    """The dtype of each part.

    Args:
        text: as `transformer=bfloat16,vae=float32`; one without a part is that of all
            others, by default those of `DEFAULT`. The low-noise expert has that of
            `transformer` unless it is named.
        parts: the names that there are.

    Raises:
        ValueError: for another dtype, or a part that no model has.
    """
    names = list(parts)
    chosen = _named(DEFAULT, names) | _named(text, names)
    if "transformer_2" not in _keys(text) and "transformer" in _keys(text):
        chosen["transformer_2"] = chosen["transformer"]
    return chosen


def _keys(text: str) -> list[str]:
    return [item.partition("=")[0].strip() for item in text.split(",") if "=" in item]


def _named(text: str, names: list[str]) -> dict[str, str]:
    chosen: dict[str, str] = {}
    # Those of single parts come after the one of all.
    for item in sorted(text.split(","), key=lambda item: "=" in item):
        part, _, dtype = item.rpartition("=")
        part, dtype = part.strip(), dtype.strip()
        if dtype not in DTYPES or (part and part not in names):
            raise ValueError(
                f"{item!r} is no dtype of a part: give {' or '.join(DTYPES)}, or "
                f"PART=DTYPE with a part of {', '.join(names)}, separated by commas"
            )
        chosen |= {part: dtype} if part else dict.fromkeys(names, dtype)
    return chosen
