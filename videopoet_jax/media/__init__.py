"""The only reader and writer of video, pictures and sound."""
