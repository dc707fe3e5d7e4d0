"""Calibration: searches how much a model may reuse at which score."""
