"""Published versions of LTX-Video by size."""

from collections.abc import Mapping

# Heads, head width and layers of the published transformers.
SIZES = {(32, 64, 28): "2B", (32, 128, 48): "13B"}
VERSIONS: Mapping[str, tuple[str, ...]] = {
    "2B": (
        *("0.9.0", "0.9.1", "0.9.5", "0.9.6-dev", "0.9.6-distilled"),
        "0.9.8-distilled",
    ),
    "13B": ("0.9.7-dev", "0.9.7-distilled", "0.9.8-dev", "0.9.8-distilled"),
}
