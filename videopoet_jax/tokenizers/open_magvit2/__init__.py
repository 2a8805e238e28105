"""Open-MAGVIT2 (arXiv 2409.04410): tokenizers of images and of video."""
