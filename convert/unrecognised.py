"""Explains why a folder cannot be converted."""

from collections.abc import Iterator
from pathlib import Path

from convert.original_folder import MARKERS
from convert.source import listing, read_json

SUPPORTED = "Wan, LTX-Video and LTX-2"
INDEX = "model_index.json"
# Classes of single parts in their config.json, and the option that gives each part.
PARTS = {
    "WanTransformer3DModel": "transformer",
    "WanModel": "transformer",
    "AutoencoderKLWan": "vae",
    "UMT5EncoderModel": "text_encoder",
    "CLIPVisionModel": "image_encoder",
    "CLIPVisionModelWithProjection": "image_encoder",
}
WEIGHTS = (".safetensors", ".gguf", ".pt", ".pth", ".ckpt")
LORA = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")


def refusal(folder: Path) -> str:
    """The error message for a folder in no supported layout."""
    if not folder.exists():
        return f"{folder} is not there: no such file or folder"
    cause = next(causes(folder), None)
    if cause is not None:
        return f"{folder} {cause}"
    return (
        f"{folder} is no model of {SUPPORTED}: looked for {INDEX} (diffusers' layout) "
        f"and for {', '.join(MARKERS)} (Wan's original releases), found "
        f"{listing(folder)}"
    )


def causes(folder: Path) -> Iterator[str]:
    """Possible explanations of what a folder is, the likeliest first."""
    names = sorted(path.name for path in folder.iterdir())
    if (folder / "config.json").is_file():
        config = read_json(folder / "config.json")
        made = config.get("_class_name") or (config.get("architectures") or [None])[0]
        yield from of_class(folder, str(made))
    if any((folder / name).is_file() for name in LORA):
        yield "holds a LoRA, which is no model: give it as --lora FILE beside its model"
    below = [name for name in names if (folder / name / INDEX).is_file()]
    if below:
        yield f"holds models in folders of their own: give {folder / below[0]}"
    files = [name for name in names if name.endswith(WEIGHTS)]
    if files:
        yield (
            f"holds single files ({', '.join(files[:4])}), as ComfyUI has them: give "
            "the transformer's file, and the others by --vae FILE --text-encoder FILE "
            "--tokenizer PATH"
        )


def of_class(folder: Path, name: str) -> Iterator[str]:
    """Explanations based on the class that the folder's config.json names."""
    if name in PARTS:
        above = folder.parent
        in_model = (above / INDEX).is_file()
        part = PARTS[name].replace("_", "-")
        how = f"give {above}" if in_model else f"give it as --{part} beside the others"
        yield f"is one part of a model ({PARTS[name]}, a {name}): {how}"
    elif name != "None":
        yield f"is a {name}, which is not converted here: {SUPPORTED} are"
