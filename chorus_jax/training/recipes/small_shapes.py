"""The recipe of the weights that are shipped: objects of a sixth of the frame.

Videos of 17 frames and 64x64 pixels; latents 5x16x16x8; 256 tokens, each of one latent
position in all frames. The shipped weights were trained in parts, each from the
averaged parameters of the one before, 504 000 clips in all, with seed 0 on 2 cores of
an Intel Xeon with AMX, all but vae and encode with `--products bfloat16`, flow and
distill on two devices: vae 1450 steps in 20 minutes, then flow:

    5 layers, 8000 clips of shapes up to a sixth smaller, batches of 16, no places in
    `structure`: 5568 steps (of 6500, rate 2e-2, warm-up 50, average 0.998, no `naming`)
    in 83 minutes, 1500 (rate 1e-2, decay 0.9, average 0.995) in 30, 4700 in 71
    unpack, encode 9000 clips in 9 minutes, then batches of 32 at a rate of 1.5e-2,
    levels of noise as the sampler's: 418 steps in 10 minutes without places, 3450 in 95
    unpack, the same clips, then the plan below: 4500 steps in 78 minutes
    unpack, the same clips, from here on with noise coupled to them (`coupling.py`):
    the plan below with --steps 1500, in 64 minutes

then teach in 2 minutes and distill in 3. `unpack` began each part but the first. They
know colours, motions, backgrounds and sizes, but only some shapes: see the README.
"""

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.t5 import T5Config
from chorus_jax.training.plan import TrainingPlan
from chorus_jax.training.recipe import (
    DistillTraining,
    FlowTraining,
    TrainingRecipe,
    VaeTraining,
)
from chorus_jax.training.world.scene import World

CHANNELS = 8
SHIFT = 3.0
GUIDANCE = 3.0


def small_shapes() -> TrainingRecipe:
    """A transformer of 7 layers and width 160."""
    return TrainingRecipe(
        world=World(height=64, width=64, frames=17),
        vae=WanVAEConfig(
            width=16,
            multipliers=(1, 2, 4),
            depth=1,
            halve_time=(True, True),
            latents_mean=(0.0,) * CHANNELS,
            latents_std=(1.0,) * CHANNELS,
        ),
        text_encoder=T5Config(
            width=96, depth=2, heads=3, head_width=32, mlp_width=192, vocab=0
        ),
        transformer=WanConfig(
            heads=5,
            depth=7,
            mlp_width=512,
            head_width=32,
            in_channels=CHANNELS,
            out_channels=CHANNELS,
            text_width=96,
            text_limit=32,
            # A token is a position in all frames: so it sees the motion there.
            patch=(5, 1, 1),
            tile=(1, 2, 2),
        ),
        # All frames of a clip: the VAE is wrong beyond the number it was trained on.
        train_vae=VaeTraining(
            TrainingPlan(steps=1450, batch=3, learning_rate=1e-2), frames=17, side=32
        ),
        train_flow=FlowTraining(
            TrainingPlan(
                steps=4500,
                batch=32,
                learning_rate=1e-2,
                warmup=50,
                decay=0.97,
                average=0.998,
            ),
            clips=9000,
            # Larger than the sampler's, as shapes go wrong at high noise levels: runs
            # that begin with less noise get most of them right.
            shift=2 * SHIFT,
        ),
        distill=DistillTraining(
            TrainingPlan(
                steps=250, batch=16, learning_rate=5e-3, warmup=20, average=0.98
            ),
            trajectories=256,
            guidance_scale=GUIDANCE,
            shift=SHIFT,
        ),
    )
