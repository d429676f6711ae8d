"""Sums that are the same on every processor.

XLA hands a matrix product to a library of the processor's maker or to Eigen unless its right
operand and its result lie in memory as they are multiplied. Those cut long sums to fit the
first-level cache that they find, so that the last bits depend on the processor. The gradient
that TensorFlow would take of a product multiplies transposed operands in place; here they are
transposed first, which makes every product of a training step one that XLA compiles (see
workflow/environment.py), and each of its sums one chain of fused multiply-adds from first to
last. Any other sum XLA lets the compiler reorder, as suits the vectors and the loops of the
processor at hand. So there is none: what is to be summed is multiplied by ones.

Outside of products, a multiplication whose result is then added to something is one rounding or
two: the compiler rounds both as one where it still finds them side by side after it has moved out
of a loop what does not change there, and how much of a loop is left depends on the width of the
vectors. So nothing that is the same for all rows is multiplied and then added to the rows, and no
sum is of two products, of which either could be the one.
"""

from typing import Any

from workflow.reproducible import tf


def product(left: Any, right: Any) -> Any:
    """The product of two float32 matrices. It has no gradient of its own: see `affine`.

    XLA sums the product with a vector in as many parts as the processor's vectors have elements.
    So a single row or column gets a second one, of zeros.
    """
    rows, columns = left.shape[0], right.shape[1]
    left = tf.pad(left, ((0, int(rows == 1)), (0, 0)))
    right = tf.pad(right, ((0, 0), (0, int(columns == 1))))
    return tf.matmul(left, right)[:rows, :columns]


@tf.custom_gradient  # type: ignore[untyped-decorator]
def affine(values: Any, kernel: Any, bias: Any) -> Any:
    """(n, inputs) values times an (inputs, units) kernel, plus (units,) bias."""

    def gradients(upstream: Any) -> tuple[Any, Any, Any]:
        of_values = product(upstream, tf.transpose(kernel))
        of_kernel = product(tf.transpose(values), upstream)
        return of_values, of_kernel, column_sums(upstream)

    return product(values, kernel) + bias, gradients


def column_sums(matrix: Any) -> Any:
    """(n, m) to (m,)."""
    return product(tf.ones((1, matrix.shape[0])), matrix)[0]


def row_sums(matrix: Any) -> Any:
    """(n, m) to (n, 1)."""
    return product(matrix, tf.ones((matrix.shape[1], 1)))


def column_means(matrix: Any) -> Any:
    """(n, m) to (m,). Each term is divided, not the sum: see above on product and sum."""
    rows = matrix.shape[0]
    return product(tf.fill((1, rows), 1 / rows), matrix)[0]
