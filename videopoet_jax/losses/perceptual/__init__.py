"""Perceptual losses: networks of PyTorch's model zoos, run in JAX."""
