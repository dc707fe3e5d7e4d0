"""Whether a model fits a TPU topology, answered without one."""
