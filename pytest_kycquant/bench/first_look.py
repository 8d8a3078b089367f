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
from ..runtimes.feeding import Feeding, Sample
from ..tasks.base import Task
from ..tasks.outputs import fed, run_once


def look(
    context: Context,
    task: Task[Any, Any],
    opener: Callable[[], OpenModel],
    wanted: Sequence[str],
    inputs: Iterable[tuple[str, Sample]],
    feeding: Feeding,
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
        inputs: (name, sample) of each of a few images.
        feeding: how samples are fed to the model.
        facts: plain values that determine the model, its input, and what the gate file says.
        where: the model, for messages.

    Raises:
        ModelError: the outputs cannot be read, or in more than one way.
    """

    def make() -> dict[str, Any]:
        model = opener()
        chosen = [model.outputs.index(name) for name in wanted]
        samples = []
        for group in feeding.runs(inputs):
            name, _ = group[0]
            given = fed(model, feeding, [sample for _, sample in group], where, name)
            outputs = run_once(model, given, where, name)
            images = feeding.split(outputs, len(group))
            samples += [[image[index] for index in chosen] for image in images]
        try:
            return dict(task.look(samples))
        except ModelError as error:  # a task does not know which file it reads
            raise ModelError(f"{where}, {error.where}", error.problem, error.remedy) from error

    return context.store.once(f"look-{digest_of(facts)[:32]}", make, dict)
