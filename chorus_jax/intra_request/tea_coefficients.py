"""Published coefficients of TeaCache, and the runs that they are for.

Coefficients, forced steps and the thresholds named in `TeaCache.published` are from
LiewFeng/TeaCache, folders TeaCache4Wan2.1 and TeaCache4LTX-Video, except for TI2V-5B,
whose source is named beside it. TeaCache's authors name neither shift nor size: steps,
shifts and sizes here are the defaults of Wan's own generate.py, which is an assumption.
For T2V-1.3B, Wan's README advises shift 8, the default of `chorus_jax.load`; its runs
need shift 5, or `anywhere`.
"""

from dataclasses import dataclass
from typing import Any

from chorus_jax.intra_request.sizes import Size


@dataclass(frozen=True)
class PublishedTea:
    """Published settings of a model: the fields of `TeaCache` except the threshold.

    Attributes:
        coefficients: the polynomial's coefficients, highest power first.
        signal: the embedding that is watched.
        first: steps at the start that are always computed.
        last: steps at the end that are always computed.
        steps: the number of steps of the model's default run; 0 allows any.
        shift: the shift of that run's schedule; None allows any.
        size: height and width of that run's latents; None if several are usual.
    """

    coefficients: tuple[float, ...]
    signal: str = "embedding"
    first: int = 1
    last: int = 1
    steps: int = 50
    shift: float | None = 5.0
    size: Size | None = None


def by_retention(
    plain: tuple[float, ...], retained: tuple[float, ...], **run: Any
) -> dict[bool, PublishedTea]:
    """The settings of a model without and with retention; `run` has the fields that
    describe its default run."""
    return {
        False: PublishedTea(plain, **run),
        True: PublishedTea(retained, "modulation", first=5, last=0, **run),
    }


# By model, then by whether retention is on; coefficients have the highest power first.
PUBLISHED: dict[str, dict[bool, PublishedTea]] = {
    "wan21_t2v_1_3b": by_retention(
        (2.39676752e03, -1.31110545e03, 2.01331979e02, -8.29855975, 1.37887774e-01),
        (-5.21862437e04, 9.23041404e03, -5.28275948e02, 1.36987616e01, -4.99875664e-02),
        size=(60, 104),
    ),
    "wan21_t2v_14b": by_retention(
        (-5784.54975374, 5449.50911966, -1811.16591783, 256.27178429, -13.02252404),
        (-3.03318725e05, 4.90537029e04, -2.65530556e03, 5.87365115e01, -3.15583525e-01),
    ),
    "wan21_i2v_480p": by_retention(
        (-3.02331670e02, 2.23948934e02, -5.25463970e01, 5.87348440, -2.01973289e-01),
        (2.57151496e05, -3.54229917e04, 1.40286849e03, -1.35890334e01, 1.32517977e-01),
        steps=40,
        shift=3.0,
        size=(60, 104),
    ),
    "wan21_i2v_720p": by_retention(
        (-114.36346466, 65.26524496, -18.82220707, 4.91518089, -0.23412683),
        (8.10705460e03, 2.13393892e03, -3.72934672e02, 1.66203073e01, -4.17769401e-02),
        steps=40,
        size=(90, 160),
    ),
    # By ModelTC/LightX2V (29c8504), configs/caching/teacache/wan_ti2v_tea_720p.json,
    # with a threshold of .26: 50 steps of 1280 x 704 pixels at shift 5.
    "wan22_ti2v_5b": {
        False: PublishedTea(
            (157472.669, -115702.395, 31076.1669, -3831.16651, 221.608777, -4.81179567),
            size=(44, 80),
        )
    },
    # The signal is the input of the first layer, which depends on the latents.
    "ltx_091": {
        False: PublishedTea(
            (2.14700694e1, -1.28016453e1, 2.31279151, 7.92487521e-1, 9.69274326e-3),
            "modulation",
            steps=0,
            shift=None,  # the run that the authors measured on is unknown
        )
    },
}
