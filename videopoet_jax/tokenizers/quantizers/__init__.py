"""Quantizers: vectors to ids and back."""
