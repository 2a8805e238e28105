"""What the samples of one task are made from: a checkpoint or a tokenizer.

The runner treats both alike. A language model generates a sample for each
condition; a tokenizer's sample of a clip is the clip's reconstruction
(`reconstruction.py`).
"""

from collections.abc import Collection, Mapping
import dataclasses
import functools
from typing import Any, Protocol

import numpy as np

from videopoet_jax.core import layout as layout_lib
from videopoet_jax.evaluation import eval_datasets
from videopoet_jax.evaluation import generation
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.inference import conditions as conditions_lib
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.shapes import judges


@dataclasses.dataclass(frozen=True)
class Made:
  """The samples of one batch.

  Attributes:
    outputs: videos and sounds; empty if no metric needs them.
    arrays: further inputs of metrics by name, see `metrics.interface`.
  """

  outputs: judges.Outputs
  arrays: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


class Inputs(Protocol):
  """What the samples of one task are made from.

  Attributes:
    task: task of the protocol, as it applies to this subject and this set.
    conditions: set that samples are conditioned on.
    layout_name: name of the layout that is sampled.
    features: features that the samples are conditioned on.
    condition_frames: frames of the video that the samples continue.
    codebook_size: number of visual codes.
    frame_rate: frames a second of the samples.
    sampling_rate: samples of sound a second.
    detail: values of the subject that belong to every result.
  """

  @property
  def task(self) -> protocol_lib.EvaluationTask: ...

  @property
  def conditions(self) -> eval_datasets.Set: ...

  @property
  def layout_name(self) -> str: ...

  @property
  def features(self) -> tuple[str, ...]: ...

  @property
  def condition_frames(self) -> int: ...

  @property
  def codebook_size(self) -> int: ...

  @property
  def frame_rate(self) -> float: ...

  @property
  def sampling_rate(self) -> int: ...

  @property
  def detail(self) -> Mapping[str, Any]: ...

  def make(
    self,
    protocol: protocol_lib.Protocol,
    clips: Any,
    numbers: np.ndarray,
    needed: Collection[str],
    batch_size: int,
  ) -> Made:
    """Makes the samples of a batch.

    Args:
      protocol: protocol of the task.
      clips: conditions of the samples, in order.
      numbers: numbers of the samples; a sample depends on its number and its
        condition, not on the rest of the batch.
      needed: names of the inputs that metrics need.
      batch_size: number of samples of a full batch.
    """
    ...


def places(inputs: Inputs, numbers: np.ndarray) -> np.ndarray:
  """Returns the places in the set of the conditions of samples.

  Raises:
    DataError: the set is too small.
  """
  return eval_datasets.places(
    np.asarray(numbers) // inputs.task.per_condition,
    inputs.conditions.size,
    inputs.task.order_seed,
  )


def clips_of(inputs: Inputs, numbers: np.ndarray) -> Any:
  """Reads the conditions of samples, by the samples' numbers."""
  return inputs.conditions.read(places(inputs, numbers))


@dataclasses.dataclass(frozen=True)
class GeneratedInputs:
  """Samples that a language model generates; see `Inputs`.

  Attributes:
    task: task of the protocol.
    generator: the checkpoint, opened.
    conditions: set that samples are conditioned on.
  """

  task: protocol_lib.EvaluationTask
  generator: generator_lib.Generator
  conditions: eval_datasets.Set

  @functools.cached_property
  def layout(self) -> layout_lib.SequenceLayout:
    """Layout of the task; LayoutError if the model does not know it."""
    return self.generator.layout(self.task.layout)

  @property
  def layout_name(self) -> str:
    return self.layout.name

  @property
  def features(self) -> tuple[str, ...]:
    return conditions_lib.prefix_features(self.layout)

  @property
  def condition_frames(self) -> int:
    """Frames of the video that the samples continue; 0 if they do not."""
    return generation.condition_frames(self.layout, self.generator.space)

  @property
  def codebook_size(self) -> int:
    return self.generator.space.visual.codebook_size

  @property
  def frame_rate(self) -> float:
    return self.generator.space.visual.frame_rate

  @property
  def sampling_rate(self) -> int:
    return self.generator.space.audio.sampling_rate

  @property
  def detail(self) -> Mapping[str, Any]:
    return {}

  def make(
    self,
    protocol: protocol_lib.Protocol,
    clips: Any,
    numbers: np.ndarray,
    needed: Collection[str],
    batch_size: int,
  ) -> Made:
    """Generates, unless only the likelihood of true clips is needed."""
    given = generation.Conditions(self.generator, clips, self.task.text_suffix)
    outputs = judges.Outputs()
    if any(name.startswith('generated') for name in needed):
      outputs = generation.sample(
        self.generator,
        self.layout,
        given,
        numbers,
        config=protocol.sampling_of(self.task.name),
        batch_size=batch_size,
        seed=protocol.task_seed(self.task.name),
        negative_text=self.task.negative_text,
      )
    arrays: dict[str, np.ndarray] = {}
    if any(name.startswith('nll_') for name in needed):
      arrays = generation.likelihoods(self.generator, self.layout, given)
    return Made(outputs, arrays)
