"""`chorus_jax.load`: a pipeline by the name of shipped weights, or from a folder."""

from pathlib import Path
from typing import no_type_check

from jax.sharding import Mesh

from chorus_jax.checkpoints import shipped
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.forward import TRANSFORMER

DTYPES = ("bfloat16", "float32")


@no_type_check  # refuses wrong types itself
def load(
    model: str | Path = "shapes",
    *,
    transformer: str = TRANSFORMER,
    dtype: str | None = None,
    mesh: Mesh | None = None,
    keep_text_encoder: bool = True,
    verify: bool = False,
) -> Pipeline:
    """Loads a pipeline; turns jax's compilation cache on.

    Args:
        model: a converted checkpoint folder, or the name of shipped weights (a folder
            of that name is `./shapes`).
        transformer: the part of the folder that is run as the transformer, such as
            `transformer_4step` of the shipped weights.
        dtype: `bfloat16` or `float32`, in place of the stored one.
        mesh: with it every device reads its own share of the weights.
        keep_text_encoder: False gives its memory back once the first prompts are
            encoded.
        verify: True to take the digests of all weights, though they were taken before
            and the files are the same since.

    Raises:
        ValueError: for a folder that holds something else, or a value of another type.
    """
    if not isinstance(model, str | Path):
        raise ValueError(f"expected the path of a checkpoint folder, got {model!r}")
    if not isinstance(transformer, str):
        raise ValueError(f"transformer must be the name of a part, got {transformer!r}")
    if dtype not in (None, *DTYPES):
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    if not isinstance(mesh, Mesh | None):
        raise ValueError(f"mesh must be a jax.sharding.Mesh, got {mesh!r}")
    return Pipeline.load(
        shipped.locate(model),
        transformer=transformer,
        dtype=dtype,
        mesh=mesh,
        keep_text_encoder=keep_text_encoder,
        verify=verify,
    )
