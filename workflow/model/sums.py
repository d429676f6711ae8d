"""The rules by which a compiled program gives the same bits on every processor, and their sums.

1. Every sum is a matrix product. XLA lets the compiler reorder any other sum, as suits the
   vectors and the loops of the processor at hand. What is to be summed is multiplied by ones.
2. Every product has its operands in memory as they are multiplied, rows by columns. Others go to a
   library of the processor's maker or to Eigen, which cut long sums to fit the first-level cache
   that they find. So what the gradient needs transposed is transposed first. XLA then compiles the
   product (see workflow/core/environment.py), each sum one chain of fused multiply-adds from first
   to last.
3. No product is with a vector. XLA would sum it in as many parts as the processor's vectors have
   elements. Nor is one of a column and a row, which XLA makes a plain multiplication: what comes
   next may be rounded as one with it, or not.
4. No `a * b + c` in which `a * b` is the same for all rows and `c` is not. The compiler rounds
   once where it fuses the two, and twice where it has moved `a * b` out of the loop over the rows
   (loop-invariant code motion), which depends on the width of the vectors.
5. No `a * b - c * d`. One of the two products is rounded before it takes part, on x86-64 not the
   same one as on ARM64. `(a * (b / d) - c) * d` leaves no choice.
"""

from typing import Any

from workflow.model.tensorflow import tf


def product(left: Any, right: Any) -> Any:
    """The product of two float32 matrices, of which neither is left to be a vector (rule 3).

    A single row or column gets a second one, of zeros. Its gradient would break rule 2: see
    `affine`.
    """
    (rows, terms), columns = left.shape, right.shape[1]
    left = tf.pad(left, ((0, int(rows == 1)), (0, int(terms == 1))))
    right = tf.pad(right, ((0, int(terms == 1)), (0, int(columns == 1))))
    return tf.matmul(left, right)[:rows, :columns]


@tf.custom_gradient  # type: ignore[untyped-decorator]
def affine(values: Any, kernel: Any, bias: Any) -> Any:
    """(n, inputs) values times an (inputs, units) kernel, plus (units,) bias."""

    def gradients(upstream: Any) -> tuple[Any, Any, Any]:
        (rows, inputs), units = values.shape, kernel.shape[1]
        if rows * (inputs + units) < inputs * units:
            # To transpose what goes in and what comes out is less than to transpose the kernel.
            # (Both mirrored on the way: XLA would fold a transposition that follows a product into
            # it, against rule 2, and looks through a change of shape between the two.)
            turned = product(kernel, tf.transpose(upstream))
            grad_values = tf.transpose(turned[::-1])[:, ::-1]
        else:
            grad_values = product(upstream, tf.transpose(kernel))
        grad_kernel = product(tf.transpose(values), upstream)
        return grad_values, grad_kernel, column_sums(upstream)

    return product(values, kernel) + bias, gradients


def column_sums(matrix: Any) -> Any:
    """(n, m) to (m,)."""
    return product(tf.ones((1, matrix.shape[0])), matrix)[0]


def row_sums(matrix: Any) -> Any:
    """(n, m) to (n, 1)."""
    return product(matrix, tf.ones((matrix.shape[1], 1)))


def column_means(matrix: Any) -> Any:
    """(n, m) to (m,). To multiply the sums by 1 / n would be the `a * b` of rule 4."""
    rows = matrix.shape[0]
    return product(tf.fill((1, rows), 1 / rows), matrix)[0]
