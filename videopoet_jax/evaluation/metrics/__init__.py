"""Metrics of generated samples: what is measured, and how it is summed."""
