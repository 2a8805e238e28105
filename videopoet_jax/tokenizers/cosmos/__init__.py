"""Cosmos Tokenizer (arXiv 2501.03575, section 4): discrete video."""
