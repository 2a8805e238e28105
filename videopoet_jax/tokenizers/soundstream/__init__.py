"""SoundStream, the audio tokenizer."""
