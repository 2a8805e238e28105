"""Tests mirror the package; helpers shared by rooms live beside them."""
