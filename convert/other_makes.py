"""Unsupported relatives of Wan, recognised by tensors that only they have."""

from collections.abc import Iterable

MAKES = {
    "to_gate_compress": "FastVideo's sparse attention (VSA), which is not run here: "
    "take a release with full attention, such as a FullAttn one",
    "vace_": "Wan VACE, whose stream of control videos is not run here",
    "face_adapter": "Wan Animate, which is not run here",
    "motion_encoder": "Wan Animate, which is not run here",
    "audio_injector": "Wan S2V, whose audio is not run here",
    "control_adapter": "Wan Fun with a camera's path, which is not run here",
}


def make_of(names: Iterable[str]) -> str:
    """The unsupported model that these tensor names belong to; "" if unknown.

    Args:
        names: names of tensors, or lines of text that contain such names.
    """
    for name in names:
        for marker, make in MAKES.items():
            if marker in name:
                return make
    return ""
