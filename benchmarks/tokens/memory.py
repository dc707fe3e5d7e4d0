"""Memory of denoising steps with token budgets and with step caches, on real TPUs.

    JAX_PLATFORMS=cpu python -m benchmarks.tokens.memory [--missing] [--rows WORD ...]

The steps are compiled ahead of time, like the plain steps in `benchmarks.speed.aot`.
Token budgets of several groups (hsa-75) hold the keys and values of all tokens in all
layers, those of one group (hsa-50, hsa-25) hold none; block-level caches hold the
outputs of all layers' branches; caches that forecast velocities hold a few arrays of
the size of the latents.
"""

from benchmarks.speed.aot import Placement, compile_rows

SMALL, LARGE = "Wan 2.1 T2V-1.3B", "Wan 2.2 T2V-A14B"
ON_SMALL, ON_LARGE = ("v6e:2x2", 4, 1), ("v5p:2x2x2", 2, 4)
CASES = (
    Placement(SMALL, *ON_SMALL),
    Placement(SMALL, *ON_SMALL, "tokens hsa-75"),
    Placement(SMALL, *ON_SMALL, "tokens hsa-50"),
    Placement(SMALL, *ON_SMALL, "tokens hsa-25"),
    Placement(SMALL, *ON_SMALL, "cache taylor"),
    Placement(SMALL, *ON_SMALL, "cache spectrum"),
    Placement(SMALL, *ON_SMALL, "cache taylor:grain=branches"),
    Placement(SMALL, *ON_SMALL, "cache first-block"),
    Placement(SMALL, *ON_SMALL, "cache pab"),
    Placement(SMALL, *ON_SMALL, "active 0.25"),
    Placement(LARGE, *ON_LARGE),
    Placement(LARGE, *ON_LARGE, "tokens hsa-75"),
    Placement(LARGE, *ON_LARGE, "tokens hsa-50"),
    Placement(LARGE, *ON_LARGE, "tokens hsa-25"),
    Placement(LARGE, *ON_LARGE, "cache taylor"),
    Placement(LARGE, *ON_LARGE, "cache spectrum"),
    Placement(LARGE, *ON_LARGE, "cache taylor:grain=branches"),
    Placement(LARGE, *ON_LARGE, "cache first-block"),
    Placement(LARGE, *ON_LARGE, "cache pab"),
)


if __name__ == "__main__":
    compile_rows("reuse_memory", CASES, __doc__)
