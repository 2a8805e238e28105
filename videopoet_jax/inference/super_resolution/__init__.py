"""Sampling of the super-resolution transformer: loop, tiles, cascade."""
