"""The denoising loop, and the plans that say what it runs in each step."""
