"""`chorus_jax.load`: a pipeline by the name of shipped weights, or from a folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import no_type_check

from jax.sharding import Mesh

from chorus_jax.checkpoints import shipped
from chorus_jax.devices.sharding import check_axes
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.engine.source_files import SourceFiles, folder_of
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
    adapters: Sequence[str | Path] = (),
    files: SourceFiles = SourceFiles(),
) -> Pipeline:
    """Loads a pipeline; turns jax's compilation cache on.

    A model that is not converted is converted once, into the user's cache folder, by
    the digests of its files: the next call finds it there.

    Args:
        model: a converted checkpoint folder, or the name of shipped weights (a folder
            of that name is `./shapes`), or a model as published: a single file, a
            folder in diffusers' or the original layout, or one of a hub cache.
        transformer: the part of the folder that is run as the transformer, such as
            `transformer_4step` of the shipped weights.
        dtype: `bfloat16` or `float32`, in place of the stored one.
        mesh: the devices, as `chorus_jax.make_mesh` lays them out: every device reads
            its own share of the weights, and computes its share of the video.
        keep_text_encoder: False gives its memory back once the first prompts are
            encoded.
        verify: True to take the digests of all weights, though they were taken before
            and the files are the same since.
        adapters: LoRA files that are merged into a model as published, such as
            `style.safetensors:0.8`.
        files: what else is given beside a model as published.

    Raises:
        ValueError: for a folder that holds something else, or a value of another type;
            for a model that cannot be converted, before anything is written.
    """
    if not isinstance(model, str | Path):
        raise ValueError(f"expected the path of a checkpoint folder, got {model!r}")
    if not isinstance(transformer, str):
        raise ValueError(f"transformer must be the name of a part, got {transformer!r}")
    if dtype not in (None, *DTYPES):
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    if not isinstance(mesh, Mesh | None):
        raise ValueError(f"mesh must be a jax.sharding.Mesh, got {mesh!r}")
    if mesh is not None:
        check_axes(mesh)
    if not isinstance(files, SourceFiles):
        raise ValueError(f"files must be SourceFiles, got {files!r:.80}")
    if isinstance(adapters, str | Path):
        adapters = [adapters]
    files = replace(files, adapters=(*files.adapters, *adapters))
    return Pipeline.load(
        folder_of(located(model), files, dtype),
        transformer=transformer,
        dtype=dtype,
        mesh=mesh,
        keep_text_encoder=keep_text_encoder,
        verify=verify,
    )


def located(model: str | Path) -> Path:
    """The path of a model: of shipped weights by their name, else as it is given.

    Raises:
        ValueError: if there is neither.
    """
    path = Path(model)
    if model in shipped.names() or not str(model) or not path.exists():
        return shipped.locate(model)
    return path
