"""Names of before still read conditions as the room of media does."""

from videopoet_jax.inference import media
from videopoet_jax.media import pictures
from videopoet_jax.media import sound


def test_names_of_before_are_the_readers_of_today():
  assert media.read_image is pictures.read
  assert media.read_audio is sound.read_start
