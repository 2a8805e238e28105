"""Shapes in motion: the embedded data set and the oracle that reads it."""
