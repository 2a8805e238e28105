"""VideoPoet in JAX: a language model that writes video and sound."""

__version__ = '0.1.0'
