"""Models: the R3D and ResNeXt-3D family, and weights on disk."""
