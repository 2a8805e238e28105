"""Models: the prefix LM and the text encoder."""
