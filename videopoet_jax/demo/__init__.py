"""The whole chain on shapes in motion, written on the public API."""
