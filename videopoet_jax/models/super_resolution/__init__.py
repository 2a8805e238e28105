"""VideoPoet's super-resolution: a masked transformer over windows of tokens."""
