"""What gin binds: from a run's bindings to a trainable and its data."""

import os

# Read when TensorFlow is first imported: its notices are not the user's.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
