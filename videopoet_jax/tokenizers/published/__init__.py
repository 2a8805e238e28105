"""Parts that tokenizers published by others share: files, keys, layers."""
