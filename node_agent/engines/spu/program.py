"""What the three nodes compute, as JAX functions that SPU compiles. Nothing in them reveals a value.

Divisions by public numbers are split into a power of two, exact in fixed point, and a factor of 1/2 to 1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from spu import libspu
from spu.utils import frontend

from soterone.domain.spec import Training

Array = Any
EXPONENT_LIMIT = 12.0
"""exp(-12) = 6e-6 is a bit and a half of 18; less is taken as nothing."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """Rows that train, rows held out, columns, and whether rows are weighted."""

    training_rows: int
    holdout_rows: int
    columns: int
    weighted: bool


def power_of_two_above(number: int) -> int:
    """Return the smallest power of two that is at least `number`."""
    return 1 << (number - 1).bit_length()


def epoch_program(shapes: Shapes, training: Training) -> libspu.Executable:
    """Compile one epoch: inputs x, y, (weight,) w, b; outputs w, b, so that running it again goes on."""
    size = min(training.batch_size, shapes.training_rows)
    full, rest = divmod(shapes.training_rows, size)

    def epoch(*inputs: Array) -> tuple[Array, Array]:
        *data, w, b = inputs

        def step(index: Array, model: tuple[Array, Array]) -> tuple[Array, Array]:
            batch = [jax.lax.dynamic_slice_in_dim(array, index * size, size) for array in data]
            return _descend(batch, model, training)

        model = jax.lax.fori_loop(0, full, step, (w, b))
        return _descend([array[full * size :] for array in data], model, training) if rest else model

    rows, columns = shapes.training_rows, shapes.columns
    inputs = {"x": (rows, columns), "y": (rows, 1)}
    inputs |= {"weight": (rows, 1)} if shapes.weighted else {}
    return compile_program(epoch, inputs | {"w": (columns, 1), "b": (1, 1)}, ("w", "b"))


def _descend(batch: list[Array], model: tuple[Array, Array], training: Training) -> tuple[Array, Array]:
    (x, y, *weight), (w, b) = batch, model
    power = power_of_two_above(x.shape[0])
    error = sigmoid(x @ w + b) - y
    if weight:
        error = error * weight[0]
    error = error * (training.learning_rate * power / x.shape[0])
    step = x.T @ error
    if training.l2:
        step = step + w * (training.learning_rate * training.l2 * power)
    return w - step * (1 / power), b - jnp.sum(error, keepdims=True) * (1 / power)


def evaluation_program(shapes: Shapes) -> libspu.Executable:
    """Compile the metrics on held-out rows: inputs x_holdout, y_holdout, w, b; each output of shape (1, 1)."""

    def evaluate(x: Array, y: Array, w: Array, b: Array) -> tuple[Array, Array, Array]:
        scores = x @ w + b
        hits = jnp.where(scores > 0, y, 1 - y)
        return _auc(scores, y), _mean(hits), _mean(_softplus(scores) - y * scores)

    inputs = {"x_holdout": (shapes.holdout_rows, shapes.columns), "y_holdout": (shapes.holdout_rows, 1)}
    inputs |= {"w": (shapes.columns, 1), "b": (1, 1)}
    return compile_program(evaluate, inputs, ("auc", "accuracy", "log_loss"))


def _auc(scores: Array, y: Array) -> Array:
    """Area under the ROC curve as the Mann-Whitney statistic (Hanley & McNeil 1982).

    Rows are sorted by score; ties keep an arbitrary order. A hold-out with one class alone gives no meaning.
    """
    rows = scores.shape[0]
    _, labels = jax.lax.sort((scores[:, 0], y[:, 0]), num_keys=1)
    ranks = jnp.arange(1, rows + 1, dtype=jnp.float32) / rows
    mean_rank = (ranks.reshape(1, -1) @ labels.reshape(-1, 1)) / jnp.sum(y, keepdims=True)
    share = _mean(y)
    return (mean_rank - share * 0.5 - 0.5 / rows) / (1 - share)


def _mean(values: Array) -> Array:
    """Mean of shape (1, 1) by a product with a constant row, as a product and a sum would lose the factor's bits."""
    rows = values.shape[0]
    power = power_of_two_above(rows)
    return jnp.full((1, rows), power / rows, dtype=jnp.float32) @ values * (1 / power)


def sigmoid(scores: Array) -> Array:
    """Logistic function, exact to 6e-5, in about half the rounds of SPU's own, which errs by 9e-4.

    1 / (1 + e) with e in [0, 1] needs no normalising division: two Newton steps from the best straight line.
    """
    positive, e = _sign_and_exponential(scores)
    reciprocal = 24 / 17 - 8 / 17 * (1 + e)
    for _ in range(2):
        reciprocal = reciprocal * (2 - (1 + e) * reciprocal)
    return jnp.where(positive, reciprocal, 1 - reciprocal)


def _softplus(scores: Array) -> Array:
    positive, e = _sign_and_exponential(scores)
    return jnp.where(positive, scores, 0.0) + jnp.log(1 + e)


def _sign_and_exponential(scores: Array) -> tuple[Array, Array]:
    """Return whether scores are positive, and exp(-|score|), zero beyond the range where fixed point holds it.

    exp(z) = exp(z / 16)^16 with a cubic inside: more squarings would multiply the rounding error. The three
    comparisons are one, as rounds cost more than volume.
    """
    rows = scores.shape[0]
    flags = jnp.concatenate([scores, scores - EXPONENT_LIMIT, scores + EXPONENT_LIMIT]) > 0
    positive, above, not_below = flags[:rows], flags[rows : 2 * rows], flags[2 * rows :]
    z = jnp.where(positive, -scores, scores) * (1 / 16)
    e = 1 + z * (1 + z * (1 / 2 + z * (1 / 6)))
    for _ in range(4):
        e = e * e
    return positive, jnp.where(not_below, jnp.where(above, 0.0, e), 0.0)


def compile_program(
    function: Callable[..., Any], inputs: Mapping[str, tuple[int, ...]], outputs: tuple[str, ...]
) -> libspu.Executable:
    """Compile a function of secret float arrays of the given names and shapes."""
    arguments = [jnp.zeros(shape, jnp.float32) for shape in inputs.values()]
    secret = [libspu.Visibility.VIS_SECRET] * len(inputs)
    executable, _ = frontend.compile(
        frontend.Kind.JAX, function, arguments, {}, list(inputs), secret, lambda _: list(outputs)
    )
    return executable
