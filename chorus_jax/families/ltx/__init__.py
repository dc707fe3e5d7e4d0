"""The LTX-Video family (0.9.x)."""
