"""VidTok (arXiv 2412.13061): causal video tokenizers with scalar levels."""
