"""Plans as a table for people and as JSON for programs."""

from collections.abc import Mapping, Sequence
from typing import Any

from videopoet_jax.planning import estimate as estimate_lib
from videopoet_jax.planning import specification

FORMULA = (
  'estimate: estimated cycles / clock + attention kernels + what nothing '
  'covers of the collectives; an estimate, good to about 10 % '
  '(docs/planning.md)'
)

_COLUMNS = (
  'layout', 'remat', 'batch', 'args', 'temps', 'peak', 'fits', 'model',
  'HLO', 'ICI', 'DCN', 'cycles s', 'step s', 'MFU', 'tokens/s',
)  # fmt: skip


def to_json(
  estimates: Sequence[estimate_lib.Estimate],
) -> dict[str, Any]:
  """Returns the plan of all layouts of one mesh and topology.

  Args:
    estimates: estimates, one a layout, at least one.
  """
  first = estimates[0].plan
  return {
    'fits': all(e.fits for e in estimates),
    'topology': first.topology.name,
    'slices': first.topology.slices,
    'chips': first.topology.num_chips,
    'mesh': first.mesh_sizes(),
    'layouts': {e.plan.layout: e.to_json() for e in estimates},
  }


def search_json(
  estimates: Sequence[estimate_lib.Estimate],
) -> dict[str, Any]:
  """A search's results, the best first, and the best as a plan."""
  best = estimates[0]
  return {
    **to_json([best]),
    'search': [
      {'mesh': e.plan.mesh_sizes(), 'layout': e.plan.layout, **e.to_json()}
      for e in estimates
    ],
  }


def table(
  estimates: Sequence[estimate_lib.Estimate], with_mesh: bool = False
) -> str:
  """Formats rows under a header; memory in GB (1e9) a chip.

  Args:
    estimates: estimates, one a row.
    with_mesh: whether the mesh of each row is shown.
  """
  columns = _COLUMNS + (('mesh',) if with_mesh else ())
  rows = [columns]
  for estimate in estimates:
    row = _row(estimate)
    if with_mesh:
      row += (mesh_text(estimate.plan),)
    rows.append(row)
  widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
  lines = [
    '  '.join(
      cell.ljust(width) if i == 0 else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(row, widths))
    ).rstrip()
    for row in rows
  ]
  return '\n'.join(lines)


def details(estimate: estimate_lib.Estimate) -> str:
  """Formats the use of a chip's memory and links, line by line."""
  memory = estimate.memory
  chip = estimate.plan.topology.chip
  lines = [
    f'{estimate.plan.layout}, a chip of {chip.name}:',
    '  memory: '
    + ', '.join(
      f'{name.removesuffix("_bytes").replace("_", " ")} {_giga(memory[name])}'
      for name in (
        'parameters_bytes',
        'optimizer_bytes',
        'gradients_bytes',
        'activations_bytes',
        'temporaries_bytes',
        'peak_bytes',
      )
    )
    + f' of {_giga(memory["hbm_bytes"])}',
  ]
  tally = estimate.tally
  if tally is not None:
    moved = ', '.join(
      f'{kind} {_giga(size)} {network.upper()}'
      for (kind, network), size in sorted(tally.collectives.items())
      if size
    )
    lines.append(f'  collectives: {moved or "none"}')
    lines.append(
      f'    {tally.collective_seconds:.3f} s, of which '
      f'{tally.waited_seconds:.3f} s nothing covers'
    )
    lines.append(
      f'  work: {_tera(estimate.model_flops)} of the model + at most '
      f'{_tera(estimate.recomputed_flops)} again for the backward pass; '
      f'compiled {_tera(tally.flops * estimate.plan.topology.num_chips)}'
    )
  return '\n'.join(lines)


def mesh_text(plan: specification.Specification) -> str:
  """`fsdp=64`: the axes of more than one chip."""
  sizes: Mapping[str, int] = plan.mesh_sizes()
  named = [f'{axis}={size}' for axis, size in sizes.items() if size > 1]
  return ','.join(named) or 'one chip'


def _giga(number: float) -> str:
  return f'{number / 1e9:.2f} GB'


def _tera(number: float) -> str:
  return f'{number / 1e12:,.0f} TFLOP'


def _row(estimate: estimate_lib.Estimate) -> tuple[str, ...]:
  plan, memory, tally = estimate.plan, estimate.memory, estimate.tally
  unknown = ('-',) * 7
  rates = unknown
  if tally is not None and estimate.seconds:
    chips = plan.topology.num_chips
    rates = (
      f'{tally.flops * chips / 1e15:.2f} P',
      f'{_network(estimate, "ici") / 1e9:.1f} GB',
      f'{_network(estimate, "dcn") / 1e9:.1f} GB',
      f'{tally.cycles / plan.topology.chip.clock_hz:.3f}',
      f'{estimate.seconds:.3f}',
      f'{estimate.mfu:.1%}',
      f'{estimate.tokens_per_second:,.0f}',
    )
  return (
    plan.layout,
    plan.subject.remat,
    f'{plan.batch_per_chip:g}',
    f'{memory["arguments_bytes"] / 1e9:.2f}',
    f'{memory["temporaries_bytes"] / 1e9:.2f}',
    f'{memory["peak_bytes"] / 1e9:.2f}',
    'yes' if estimate.fits else 'NO',
    f'{estimate.model_flops / 1e15:.2f} P',
    *rates,
  )


def _network(estimate: estimate_lib.Estimate, network: str) -> float:
  assert estimate.tally is not None
  return sum(
    size
    for (_, where), size in estimate.tally.collectives.items()
    if where == network
  )
