"""`chorus_jax.load`: loads a pipeline from shipped weights, a folder or a file."""

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
from chorus_jax.families.protocols import DEVICES, PLACES

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
    idle_expert: str = DEVICES,
    adapters: Sequence[str | Path] = (),
    files: SourceFiles = SourceFiles(),
) -> Pipeline:
    """Loads a pipeline; turns jax's compilation cache on.

    A published model is converted at its first use. The result is kept in the user's
    cache folder under the digests of the model's files, where later calls find it.

    Args:
        model: a converted checkpoint folder, the name of shipped weights (write
            `./shapes` for a folder of the same name), or a model as published: a single
            file, a folder in diffusers' or the original layout, or a hub cache folder.
        transformer: the part of the folder that is run as the transformer, such as
            `transformer_4step` of the shipped weights.
        dtype: `bfloat16` or `float32`; None for the dtype of the stored weights.
        mesh: the devices, as `chorus_jax.make_mesh` lays them out: every device reads
            its own share of the weights, and computes its share of the video.
        keep_text_encoder: False frees the text encoder's memory once the first prompts
            are encoded.
        verify: True computes the digests of all weights again, even if the files have
            not changed since they were last computed.
        idle_expert: for models with two experts (Wan 2.2 A14B): `host` keeps both in
            the host's memory and copies the running one to the devices, which then hold
            one instead of two; `devices` keeps both on the devices.
        adapters: LoRA files to merge into a published model, such as
            `style.safetensors:0.8`.
        files: further files and choices for converting a published model.

    Raises:
        ValueError: for a folder that is no model, or a value of a wrong type; for a
            model that cannot be converted, before anything is written.
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
    if idle_expert not in PLACES:
        raise ValueError(
            f"idle_expert must be one of {', '.join(PLACES)}, got {idle_expert!r}"
        )
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
        idle_expert=idle_expert,
    )


def located(model: str | Path) -> Path:
    """The path of a model: that of the shipped weights of this name, or the given path.

    Raises:
        ValueError: if there is neither.
    """
    path = Path(model)
    if model in shipped.names() or not str(model) or not path.exists():
        return shipped.locate(model)
    return path
