"""Makes torchvision importable before transformers and torchmetrics ask."""

import importlib.util

if importlib.util.find_spec('torch') is not None:
  from tests.parity import torchvision_operators

  torchvision_operators.declare()
