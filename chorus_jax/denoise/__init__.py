"""The denoising loop: what is run in each step, and on which tokens."""
