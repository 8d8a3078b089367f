"""onnxruntime's own static quantization with its defaults, which has no accuracy target."""

from __future__ import annotations

from collections.abc import Iterator

from onnxruntime.quantization import CalibrationDataReader, quantize_static

from ..job import Array, Job, main


class _Reader(CalibrationDataReader):
    def __init__(self, name: str, images: Array) -> None:
        self._feeds: Iterator[dict[str, Array]] = ({name: each[None]} for each in images)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._feeds, None)


def compete(job: Job) -> None:
    options = {"per_channel": True, "reduce_range": False} if "channel" in job.method else {}
    made = job.folder / "quantized.onnx"
    job.start()
    quantize_static(job.prepared, made, _Reader(job.input_name, job.calibration), **options)
    job.finish(made.read_bytes())


if __name__ == "__main__":
    main(compete)
