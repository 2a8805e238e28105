"""Earlier names of functions in `videopoet_jax.media`."""

from videopoet_jax.media import pictures
from videopoet_jax.media import sound

read_image = pictures.read
read_audio = sound.read_start
