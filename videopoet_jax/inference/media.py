"""Names of before for the reader of conditions; `videopoet_jax.media` is it."""

from videopoet_jax.media import pictures
from videopoet_jax.media import sound

read_image = pictures.read
read_audio = sound.read_start
