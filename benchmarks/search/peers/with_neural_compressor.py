"""Neural Compressor 2 with accuracy-driven tuning, the last version that offers it for ONNX."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx
import onnxruntime as ort
from neural_compressor import PostTrainingQuantConfig, quantization
from neural_compressor.config import AccuracyCriterion, TuningCriterion

from ..job import SEED, Array, Job, main


class _Loader:
    batch_size = 1

    def __init__(self, images: Array) -> None:
        self._images = images

    def __iter__(self) -> Iterator[tuple[Array, int]]:
        return ((image[None], 0) for image in self._images)


def compete(job: Job) -> None:
    import neural_compressor.utils.utility as utility

    utility.set_random_seed(SEED)
    utility.set_workspace(str(job.folder / "workspace"))
    model = onnx.load(job.prepared)

    def evaluate(candidate: Any) -> float:
        proto = getattr(candidate, "model", candidate)
        content = proto.SerializeToString()
        session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
        found = job.cosines(lambda image: session.run(None, {job.input_name: image}))
        return float(found.mean())

    config = PostTrainingQuantConfig(
        quant_level=1 if "level 1" in job.method else "auto",
        calibration_sampling_size=[len(job.calibration)],
        accuracy_criterion=AccuracyCriterion(
            higher_is_better=True, criterion="absolute", tolerable_loss=1 - job.target
        ),
        tuning_criterion=TuningCriterion(timeout=0, max_trials=100),  # 0: stop at a success
    )
    job.start()
    made = quantization.fit(
        model, config, calib_dataloader=_Loader(job.calibration), eval_func=evaluate
    )
    if made is None:
        job.give_up("found no model that reaches the target")
    else:
        job.finish(made.model.SerializeToString())


if __name__ == "__main__":
    main(compete)
