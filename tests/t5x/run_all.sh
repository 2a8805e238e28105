#!/usr/bin/env bash
# Runs everything that needs T5X, which no package index has.
#
#   T5X=/path/to/clone tests/t5x/run_all.sh [PYTEST ARGUMENT...]
#
# T5X is a clone at the commit of docs/t5x.md; without it, it is expected to be
# installed. What T5X itself imports (fiddle and others, docs/t5x.md) is put in
# .cache/t5x unless it can be imported.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=.venv/bin/python
beside=.cache/t5x

if [[ -n ${T5X:-} ]]; then
  [[ -f $T5X/t5x/trainer.py ]] || {
    echo "T5X is '$T5X', which holds no t5x/trainer.py: give a clone" >&2
    exit 2
  }
  export PYTHONPATH=$T5X${PYTHONPATH:+:$PYTHONPATH}
fi
export PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}$PWD/$beside
"$python" -c 'import fiddle, cached_property, jaxtyping, tensorflow_serving' \
  2>/dev/null ||
  "$python" -m pip install --quiet --no-deps --upgrade --target "$beside" \
    fiddle==0.3.1 cached_property==2.0.1 jaxtyping==0.3.11 wadler_lindig \
    libcst tensorflow-serving-api
"$python" -c '
from videopoet_jax.t5x import shims
shims.install()' 2>/dev/null || {
  echo 'T5X cannot be imported: set T5X to a clone of it (docs/t5x.md)' >&2
  exit 2
}
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$PWD/.cache/jax}
exec "$python" -m pytest tests/t5x \
  tests/parity/t5x_encoder_test.py "$@"
