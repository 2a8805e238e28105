"""VideoPoet's backbone: a decoder-only prefix language model."""
