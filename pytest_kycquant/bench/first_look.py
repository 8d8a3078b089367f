"""A first look at the outputs of FP32: how are those of all variants read?

Where shapes fit several layouts, the values decide. Those of a variant must not: quantization may
change just what tells the layouts apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..context import Context
from ..context.cache import digest_of
from ..errors import ModelError
from ..runtimes import OpenModel
from ..tasks.base import Task
from ..tasks.outputs import Tensor, run_once


def look(
    context: Context,
    task: Task[Any, Any],
    opener: Callable[[], OpenModel],
    wanted: Sequence[str],
    inputs: Iterable[tuple[str, Tensor]],
    *,
    facts: object,
    where: str,
) -> dict[str, Any]:
    """What FP32's outputs tell about how all outputs are read, found out once in a run.

    Args:
        context: the context of the run.
        task: the task that reads the outputs.
        opener: a function that opens the FP32 file.
        wanted: the names of the outputs that the task reads.
        inputs: (name, input) of each of a few images.
        facts: plain values that determine the model, its input, and what the gate file says.
        where: the model, for messages.

    Raises:
        ModelError: the outputs cannot be read, or in more than one way.
    """

    def make() -> dict[str, Any]:
        model = opener()
        (feed,) = model.inputs
        chosen = [model.outputs.index(name) for name in wanted]
        samples = []
        for name, tensor in inputs:
            given = run_once(model, {feed: tensor}, where, name)
            samples.append([given[index] for index in chosen])
        try:
            return dict(task.look(samples))
        except ModelError as error:  # a task does not know which file it reads
            raise ModelError(f"{where}, {error.where}", error.problem, error.remedy) from error

    return context.store.once(f"look-{digest_of(facts)[:32]}", make, dict)
