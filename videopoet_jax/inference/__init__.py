"""Generation: sampling, decoding loops and chains of tasks."""
