"""Feature networks: published ones by path, and stand-ins from packages."""
