"""Devices: meshes, logical axes and the compilation cache."""
