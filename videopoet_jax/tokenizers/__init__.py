"""Tokenizers of pictures, sound and text."""
