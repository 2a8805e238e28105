"""The pages of an evaluation of tokenizers: a table, and sheets of pictures.

OUT/table.md, table.html         one row a tokenizer
OUT/sheets/<key>_<task>.png      originals, reconstructions, errors
"""

import base64
import io

import numpy as np
from PIL import Image

from videopoet_jax.evaluation import job as job_lib
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.evaluation import sample_store
from videopoet_jax.evaluation import samples as samples_lib
from videopoet_jax.evaluation.reporting import pages
from videopoet_jax.evaluation.reporting import report
from videopoet_jax.evaluation.reporting import tokenizer_sheet
from videopoet_jax.evaluation.reporting import tokenizer_table

MARKDOWN = 'table.md'
HTML = 'table.html'
SHEETS = 'sheets'
_TEMPLATE = 'tokenizers.html.jinja'
_CLIPS = 3


class TokenizerPages:
  """Writes the pages of a job's folder, each time there are new results."""

  def __init__(self, job: job_lib.Job) -> None:
    """Writes nothing yet.

    Args:
      job: job of the folder, by a protocol of reconstruction.
    """
    self._job = job

  def write(self) -> None:
    """Writes the table and the sheets; does nothing while no task is done."""
    results = self._job.collect()
    if not results:
      return
    protocol, out = self._job.protocol, self._job.out
    table = tokenizer_table.Table.of(protocol, results)
    head = f'Protocol `{protocol.id}`. {protocol.source}'.strip()
    sample_store.write_whole(
      out / MARKDOWN, f'{head}\n\n{table.markdown()}'.encode()
    )
    sheets = []
    for one in pages.evaluated(out):
      for task in protocol.tasks:
        page = self._sheet(one, task)
        if page is None:
          continue
        content = _png(page)
        sample_store.write_whole(
          out / SHEETS / f'{one.folder.name}_{task.name}.png', content
        )
        sheets.append(
          {
            'title': f'{one.name}, {task.name}',
            'picture': base64.b64encode(content).decode(),
          }
        )
    report.render(
      out / HTML,
      _TEMPLATE,
      protocol=protocol,
      table=table,
      sheets=sheets,
      gain=tokenizer_sheet.GAIN,
      samples=sorted({result.samples for result in results}),
      data={k: v for result in results for k, v in result.data.items()},
      fingerprints={r.metric: r.fingerprint for r in results},
      revisions=sorted({result.revision for result in results}),
    )

  def _sheet(
    self, one: pages.Evaluated, task: protocol_lib.EvaluationTask
  ) -> Image.Image | None:
    """Draws the first reconstructions that are kept; None if there are none."""
    kept = samples_lib.read(one.folder / task.name, _CLIPS)
    found = [
      outputs.video_BTHWC
      for outputs in kept.values()
      if outputs.video_BTHWC is not None
    ]
    if not found:
      return None
    found_BTHWC = np.concatenate(found)
    clips = pages.clips(task, self._job.data, list(kept))
    originals_BTHWC = clips.video_BTHWC[:, : found_BTHWC.shape[1]]
    return tokenizer_sheet.draw(originals_BTHWC, found_BTHWC, one.name)


def _png(page: Image.Image) -> bytes:
  buffer = io.BytesIO()
  page.save(buffer, 'PNG', optimize=True)
  return buffer.getvalue()
