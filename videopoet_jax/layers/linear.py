"""Matrix products with a weight, with a gradient that XLA compiles well."""

import jax


@jax.custom_vjp
def project(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
  """Multiplies the last axis by a matrix.

  The value and the gradients are those of `inputs @ kernel`. JAX's own rule
  computes the kernel's gradient as outputs by inputs, which on a CPU makes XLA
  write the gradient of the outputs a second time, transposed, together with
  everything fused with it. Here the gradient is computed in the layout of the
  kernel, and only the inputs are transposed.

  Args:
    inputs: (..., D).
    kernel: (D, M).

  Returns:
    (..., M).
  """
  return inputs @ kernel


def _forward(
  inputs: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return inputs @ kernel, (inputs, kernel)


def _backward(
  kept: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
  inputs, kernel = kept
  leading = tuple(range(inputs.ndim - 1))
  inputs_gradient = jax.lax.dot_general(
    cotangent, kernel, (((inputs.ndim - 1,), (1,)), ((), ()))
  )
  kernel_gradient = jax.lax.dot_general(
    inputs, cotangent, ((leading, leading), ((), ()))
  )
  return inputs_gradient, kernel_gradient


project.defvjp(_forward, _backward)
