"""Data: sources, preprocessors, registry and the embedded data set."""
