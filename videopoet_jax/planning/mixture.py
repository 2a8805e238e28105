"""The plan of a whole mixture: the average over all steps of a run.

A run trains one layout a step, in the shares of its mixture. Layouts of one
length take nearly the same time, so one layout of each length is compiled, the
one with the most work, and the others are scaled by their work; or nothing is
compiled and every step is estimated from its work:

  step = matrix FLOPs / (MATRIX_EFFICIENCY x peak)
       + attention kernels' FLOPs / (KERNEL_EFFICIENCY x peak)

with recomputation by the remat policy. docs/planning.md compares the two.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

from videopoet_jax.core import kernel_blocks
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.models.prefix_lm import config as prefix_lm_config
from videopoet_jax.planning import planner as planner_lib
from videopoet_jax.planning import schedule
from videopoet_jax.planning import specification

# Share of the peak that matrix products reach, exposed collectives included, as
# in compiled plans of the 8B on v5p (docs/planning.md).
MATRIX_EFFICIENCY = 0.8
# Matrix products of a fused kernel over a block: forward, and both programs of
# the backward pass.
_KERNEL_FORWARD, _KERNEL_BACKWARD = 2, 7


@dataclasses.dataclass(frozen=True)
class Member:
  """A layout of the mixture.

  Attributes:
    layout: its positions and mask.
    share: share of the run's steps that train it.
    batch: number of sequences in a global batch.
  """

  layout: layout_lib.SequenceLayout
  share: float
  batch: int

  @property
  def tokens(self) -> int:
    """Positions of a batch, as counted by the training loop."""
    return self.batch * self.layout.length


@dataclasses.dataclass(frozen=True)
class Step:
  """Cost of a member's step.

  Attributes:
    member: the layout.
    seconds: seconds of a step, None if it does not fit.
    model_flops: FLOPs of the model's work, all chips.
    compiled: name of the layout that was compiled for it, '' for an estimate
      from work alone.
    fits: whether the memory suffices, None if nothing was compiled.
    peak_bytes: peak of memory on a chip, None if nothing was compiled.
  """

  member: Member
  seconds: float | None
  model_flops: float
  compiled: str = ''
  fits: bool | None = None
  peak_bytes: int | None = None


def members(
  layouts: Sequence[layout_lib.SequenceLayout],
  shares: Sequence[float],
  tokens_per_batch: int,
  multiple: int,
) -> tuple[Member, ...]:
  """Returns the layouts that a run draws, with their batches.

  Args:
    layouts: layouts of the run.
    shares: shares of its steps, in the same order.
    tokens_per_batch: positions of a global batch.
    multiple: number that every batch is a multiple of, such as the chips.
  """
  total = float(sum(shares))
  return tuple(
    Member(
      layout,
      share / total,
      layout_lib.examples_per_batch(layout, tokens_per_batch, multiple),
    )
    for layout, share in zip(layouts, shares, strict=True)
    if share
  )


def kernel_padding(mixture: Sequence[Member]) -> float:
  """Share of padding among the positions that attention kernels compute.

  It counts queries or keys, whichever are padded more, over all steps of a run;
  see `SequenceLayout.kernel_padding`.
  """
  inputs = sum(m.share * m.batch * m.layout.input_length for m in mixture)
  padding = sum(m.share * m.batch * m.layout.kernel_padding for m in mixture)
  return padding / (inputs + padding)


def specify(
  plan: specification.Specification, member: Member
) -> specification.Specification:
  """The plan of a member's step."""
  return dataclasses.replace(
    plan,
    layout=member.layout.name,
    batch_per_chip=member.batch / plan.topology.num_chips,
  )


def rough_seconds(plan: specification.Specification) -> float:
  """Estimates the time of a step from its work, without compiling."""
  subject, config = plan.subject, plan.config
  assert isinstance(config, prefix_lm_config.PrefixLMConfig)
  work = subject.work()
  again = subject.recomputation()
  products = _KERNEL_FORWARD + _KERNEL_BACKWARD
  attention_again = 0.0
  if config.remat == 'full':
    # Recomputed attention also runs in the kernel.
    products += _KERNEL_FORWARD
    attention_again = work.attention
  elif config.remat != 'none':
    attention_again = work.attention
  matrices = work.train - 3 * work.attention + again - attention_again
  heads = config.num_heads * config.num_layers
  pairs = subject.kernel_pairs(plan.mesh_sizes()['sequence'])
  kernel = 2.0 * products * pairs * config.head_dim * heads
  peak = plan.topology.num_chips * plan.topology.chip.peak_flops
  return plan.batch * (
    matrices / (MATRIX_EFFICIENCY * peak)
    + kernel / (schedule.KERNEL_EFFICIENCY * peak)
  )


def estimate(
  plan: specification.Specification, mixture: Sequence[Member]
) -> list[Step]:
  """Estimates every step from its work alone."""
  steps = []
  for member in mixture:
    each = specify(plan, member)
    each.mesh_sizes()
    flops = each.batch * each.subject.work().train
    steps.append(Step(member, rough_seconds(each), flops))
  return steps


def compile_groups(
  planner: planner_lib.Planner,
  plan: specification.Specification,
  mixture: Sequence[Member],
) -> list[Step]:
  """Estimates every step from a compiled step of the same length.

  Args:
    planner: planner, which compiles and keeps compiled programs.
    plan: plan of the run; each member replaces layout and batch.
    mixture: the members.
  """
  by_length: dict[int, list[Member]] = {}
  for member in mixture:
    by_length.setdefault(member.layout.length, []).append(member)
  steps: dict[str, Step] = {}
  for index, (_, group) in enumerate(sorted(by_length.items())):
    plans = {m.layout.name: specify(plan, m) for m in group}
    rough = {name: rough_seconds(each) for name, each in plans.items()}
    chosen = max(rough, key=rough.__getitem__)
    found = planner.plan(plans[chosen], left=len(by_length) - index - 1)
    for member in group:
      name = member.layout.name
      seconds = found.seconds
      if seconds is not None:
        seconds *= rough[name] / rough[chosen]
      steps[name] = Step(
        member,
        seconds,
        plans[name].batch * plans[name].subject.work().train,
        chosen,
        found.fits,
        found.memory['peak_bytes'],
      )
  return [steps[member.layout.name] for member in mixture]


def summary(
  plan: specification.Specification,
  steps: Sequence[Step],
  total_steps: int,
) -> dict[str, Any]:
  """Returns the averages over a run, as JSON values.

  Args:
    plan: plan with topology and mesh.
    steps: steps, one a member.
    total_steps: number of steps of the run.

  Returns:
    `average_step_seconds` and others, weighted by the members' shares; null if
    a layout does not fit. `layouts` holds the values of each member.
  """
  mixture = [step.member for step in steps]
  tokens = sum(m.share * m.tokens for m in mixture)
  seconds = None
  if all(step.seconds is not None for step in steps):
    seconds = sum(s.member.share * (s.seconds or 0.0) for s in steps)
  flops = sum(s.member.share * s.model_flops for s in steps)
  chips = plan.topology.num_chips
  peak = chips * plan.topology.chip.peak_flops
  return {
    'fits': all(step.fits is not False for step in steps),
    'compiled': any(step.compiled for step in steps),
    'topology': plan.topology.name,
    'slices': plan.topology.slices,
    'chips': chips,
    'mesh': plan.mesh_sizes(),
    'steps': total_steps,
    'average_step_seconds': seconds,
    'average_tokens_a_step': tokens,
    'tokens_per_second': tokens / seconds if seconds else None,
    'mfu': flops / (seconds * peak) if seconds else None,
    'run_hours': seconds * total_steps / 3600 if seconds else None,
    'kernel_padding': kernel_padding(mixture),
    'layouts': {step.member.layout.name: _row(step) for step in steps},
  }


def _row(step: Step) -> dict[str, Any]:
  layout = step.member.layout
  blocks = None
  if layout.input_length >= kernel_blocks.SHORTEST:
    shape = layout.input_length, layout.prefix_length
    blocks = list(kernel_blocks.choose(*shape))
  return {
    'share': step.member.share,
    'length': layout.length,
    'batch': step.member.batch,
    'kernel_blocks': blocks,
    'kernel_padding': kernel_padding([step.member]),
    'estimated_step_seconds': step.seconds,
    'compiled': step.compiled,
    'fits': step.fits,
    'peak_bytes': step.peak_bytes,
  }


def table(shown: Mapping[str, Any]) -> str:
  """Formats the result of `summary`: a row a length, then the averages."""
  groups: dict[int, list[tuple[str, Mapping[str, Any]]]] = {}
  for name, row in shown['layouts'].items():
    groups.setdefault(row['length'], []).append((name, row))
  lines = [
    f'{"length":>7}{"share":>8}{"batch":>7}{"blocks":>12}{"padding":>9}'
    f'{"step s":>9}{"peak GB":>9}  layouts'
  ]
  for length, rows in sorted(groups.items()):
    share = sum(row['share'] for _, row in rows)
    first = max((row for _, row in rows), key=lambda row: row['share'])
    seconds = [row['estimated_step_seconds'] for _, row in rows]
    mean = 'no fit'
    if None not in seconds:
      weighted = [
        row['share'] * row['estimated_step_seconds'] for _, row in rows
      ]
      mean = f'{sum(weighted) / share:.3f}'
    blocks = first['kernel_blocks']
    size = 'x'.join(map(str, blocks)) if blocks else '-'
    peak = first['peak_bytes']
    named = rows[0][0] + (f' and {len(rows) - 1} more' if rows[1:] else '')
    lines.append(
      f'{length:>7}{share:>8.2%}{first["batch"]:>7}{size:>12}'
      f'{first["kernel_padding"]:>9.1%}{mean:>9}'
      f'{peak / 1e9 if peak else float("nan"):>9.1f}  {named}'
    )
  seconds = shown['average_step_seconds']
  how = 'compiled' if shown['compiled'] else 'estimated from the work alone'
  lines.append(
    f'kernel padding over the mixture: {shown["kernel_padding"]:.1%} of the '
    'positions that attention computes'
  )
  if seconds:
    lines.append(
      f'average step {seconds:.3f} s ({how}), '
      f'{shown["tokens_per_second"]:,.0f} tokens/s, MFU {shown["mfu"]:.1%}; '
      f'{shown["steps"]:,} steps take {shown["run_hours"]:,.0f} hours on '
      f'{shown["chips"]} chips'
    )
  else:
    lines.append('no average: a layout does not fit; see peak GB')
  return '\n'.join(lines)
