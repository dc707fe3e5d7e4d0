"""The dtype that each part is stored in."""

from collections.abc import Iterable

DTYPES = ("bfloat16", "float32")
# The VAE is small, and its rounding errors would be visible in every frame.
DEFAULT = "bfloat16,vae=float32"


def parse(text: str, parts: Iterable[str]) -> dict[str, str]:
    """Parses a list of dtypes into a dtype per part.

    Args:
        text: such as `transformer=bfloat16,vae=float32`. A dtype without a part applies
            to all parts that are not named; by default these have the dtypes of
            `DEFAULT`. The low-noise expert has the dtype of `transformer` unless it is
            named itself.
        parts: the names of the parts.

    Raises:
        ValueError: for an unsupported dtype or an unknown part.
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
    # Dtypes of single parts come last, so that they override the one for all.
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
