"""Reuse across requests: start from the latents of an earlier, similar one."""
