"""MAGVIT-v2, the visual tokenizer."""
