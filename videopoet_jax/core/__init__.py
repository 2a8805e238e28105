"""Vocabulary, layouts, paths, configuration and errors: no accelerator code."""
