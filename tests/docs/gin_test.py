"""Tasks that pages show in gin have layouts."""

import re

import pytest

from tests.docs import snippets
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.data import registry

_TASKS = [
  block
  for page in snippets.PAGES
  for block in snippets.of_page(page)
  if block.language == 'gin' and 'Task.prefix' in block.text
]


def test_some_page_shows_a_task():
  assert _TASKS


@pytest.mark.parametrize('block', _TASKS, ids=lambda b: f'{b.page}:{b.line}')
@pytest.mark.usefixtures('clean_registries')
def test_a_shown_task_has_a_layout(block, tmp_path):
  (token,) = re.findall(r"Task\.task_token = '(\w+)'", block.text)
  (tmp_path / f'{token}.gin').write_text(block.text)
  tasks = registry.load_tasks([str(tmp_path / f'{token}.gin')])
  space = registry.space_for(tasks, tasks_lib.LayoutSpace())
  (name,) = registry.layout_names(tasks, space, 17, 128, 128)
  layout = space.layout(name)
  assert layout.task == token and layout.target_length
