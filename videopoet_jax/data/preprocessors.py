"""One-to-one steps between a data set's features and a task's.

Each takes and returns a `tf.data.Dataset` of single examples, as SeqIO's
preprocessors do, and yields one example for each input, in the same order, so
the order of the data stays a function of (seed, position). Random steps draw
from the example's own `seed`. To leave examples out, a task states a minimum or
a predicate (`registry.Task`), which is evaluated once.
"""

from collections.abc import Callable
import functools

import seqio
import tensorflow as tf

from videopoet_jax.core import errors
from videopoet_jax.data import source

Example = dict[str, tf.Tensor]
Preprocessor = Callable[[tf.data.Dataset], tf.data.Dataset]

BYTES = 'bytes'
EMBEDDINGS = 'embeddings'  # Instead of a text tokenizer: the data hold them.
TEXT_EMBEDDINGS = 'text_embeddings'
TEXT_USED = 'text_slots_used'


@functools.lru_cache(maxsize=8)
def text_vocabulary(name: str) -> seqio.Vocabulary:
  """The vocabulary of a text tokenizer.

  Args:
    name: `bytes`, the path of a SentencePiece model, or `embeddings`, whose ids
      only distinguish used slots (1) from unused ones (0).

  Returns:
    A vocabulary whose local id 0 is padding.

  Raises:
    DataError: the model cannot be read, or its id 0 is not padding.
  """
  if name == BYTES:
    return seqio.ByteVocabulary()
  if name == EMBEDDINGS:
    return seqio.PassThroughVocabulary(2)
  vocabulary = seqio.SentencePieceVocabulary(name)
  try:
    padding = vocabulary.tokenizer.pad_id()
  except Exception as error:
    raise errors.DataError(
      f'{name} is no readable SentencePiece model: {error}'
    ) from error
  if padding != 0:
    raise errors.DataError(
      f'{name}: its id {padding} is padding, expected 0. Train the '
      'SentencePiece model with pad_id=0, eos_id=1, unk_id=2.'
    )
  return vocabulary


def map_examples(
  function: Callable[[Example], Example],
) -> Preprocessor:
  """Makes a preprocessor from a function of one example.

  `position` and `seed` are carried along if the function leaves them out.
  """

  @functools.wraps(function)
  def preprocess(dataset: tf.data.Dataset) -> tf.data.Dataset:
    def carry(example: Example) -> Example:
      kept = {name: example[name] for name in (source.POSITION, source.SEED)}
      return {**kept, **function(example)}

    return dataset.map(carry, num_parallel_calls=2)

  return preprocess


def tokenize_text(
  vocabulary: seqio.Vocabulary, slots: int, *, feature: str = 'text'
) -> Preprocessor:
  """Maps text to the local ids of its slots, ended by the end-of-text id.

  A text that is too long loses its last pieces, never its end; the remaining
  slots hold 0. Generation encodes texts in the same way, without TensorFlow.

  Args:
    vocabulary: see `text_vocabulary`.
    slots: number of ids of the result.
    feature: the string feature that becomes int32 (slots,). One that holds
      ids already is left as it is.
  """

  def tokenize(example: Example) -> Example:
    text = example[feature]
    if text.dtype != tf.string:
      return example
    ids = tf.cast(vocabulary.encode_tf(text), tf.int32)[: slots - 1]
    end = tf.constant([vocabulary.eos_id], tf.int32)
    ids = tf.concat(
      [ids, end, tf.zeros([slots - 1 - tf.size(ids)], tf.int32)], 0
    )
    return {**example, feature: tf.ensure_shape(ids, (slots,))}

  def preprocess(dataset: tf.data.Dataset) -> tf.data.Dataset:
    if feature not in dataset.element_spec:
      return dataset
    return map_examples(tokenize)(dataset)

  return preprocess


def embedded_text(slots: int, *, feature: str = 'text') -> Preprocessor:
  """Reads stored text embeddings as float32, with ids for the used slots.

  Args:
    slots: positions of text.
    feature: name of the result, int32 (slots,), 1 for used slots, 0 otherwise.

  Raises:
    DataError: the data have no embeddings, or another number of slots.
  """

  def embed(example: Example) -> Example:
    used = tf.range(slots) < tf.cast(example[TEXT_USED], tf.int32)
    stored = tf.cast(example[TEXT_EMBEDDINGS], tf.float32)
    return {
      **example,
      TEXT_EMBEDDINGS: stored,
      feature: tf.cast(used, tf.int32),
    }

  def preprocess(dataset: tf.data.Dataset) -> tf.data.Dataset:
    if feature not in dataset.element_spec:
      return dataset
    for name in (TEXT_EMBEDDINGS, TEXT_USED):
      if name not in dataset.element_spec:
        hint = errors.near_names(name, dataset.element_spec)
        raise errors.DataError(f'the examples have no feature {name!r}{hint}.')
    shape = dataset.element_spec[TEXT_EMBEDDINGS].shape
    if shape[0] != slots:
      raise errors.DataError(
        f'the text embeddings have {shape[0]} slots, the run {slots}; bind '
        f'prefix_lm.text_slots = {shape[0]}.'
      )
    return map_examples(embed)(dataset)

  return preprocess


def rename(dataset: tf.data.Dataset, **names: str) -> tf.data.Dataset:
  """Copies features to other names: `rename.video_tokens = 'my_tokens'`.

  Args:
    dataset: examples.
    **names: new name = name in the data.

  Raises:
    DataError: the data lacks a name.
  """
  for old in names.values():
    if old not in dataset.element_spec:
      hint = errors.near_names(old, dataset.element_spec)
      raise errors.DataError(f'rename: the data has no feature {old!r}{hint}.')

  def copy(example: Example) -> Example:
    return {**example, **{new: example[old] for new, old in names.items()}}

  return map_examples(copy)(dataset)


def random_text(dataset: tf.data.Dataset) -> tf.data.Dataset:
  """Picks one of several captions where `text` is a list of strings.

  The choice depends on the example's seed, so another epoch may show another.
  """

  def pick(example: Example) -> Example:
    texts = example['text']
    if texts.shape.rank != 1 or texts.dtype != tf.string:
      return example
    count = tf.shape(texts)[0]
    index = tf.random.stateless_uniform(
      (), example[source.SEED], maxval=count, dtype=tf.int32
    )
    return {**example, 'text': texts[index]}

  return map_examples(pick)(dataset)


def spread_low_tokens(dataset: tf.data.Dataset) -> tf.data.Dataset:
  """Repeats each id of `low_tokens` over the cells of `video_tokens` it covers.

  It serves tasks whose layouts know one grid only.

  Args:
    dataset: examples with `video_tokens` (t, H, W) and `low_tokens` (t, H /
      scale, W / scale).
  """
  shapes = dataset.element_spec
  _, rows, columns = shapes['video_tokens'].shape
  _, low_rows, low_columns = shapes['low_tokens'].shape

  def spread(example: Example) -> Example:
    low = tf.repeat(example['low_tokens'], rows // low_rows, axis=1)
    low = tf.repeat(low, columns // low_columns, axis=2)
    return {**example, 'low_tokens': low}

  return map_examples(spread)(dataset)
