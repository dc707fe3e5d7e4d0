"""Text-to-video diffusion that reuses earlier requests, steps and tokens."""
