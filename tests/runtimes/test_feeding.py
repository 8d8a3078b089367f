"""Samples become what a run is fed: types, batches and constants."""

import numpy as np
import pytest

from pytest_kycquant.errors import ModelError
from pytest_kycquant.runtimes.feeding import Feeding
from pytest_kycquant.runtimes.opening import Opening
from tests.worlds.inputs import embedder, trained_by
from tests.worlds.zoo import save


def row(*values, kind=np.float32):
    return np.array([values], kind)


def test_whole_numbers_become_pixels():
    fed = Feeding({"x": "uint8"}).feed([row(0, 7, 255)], ["x"])
    assert fed["x"].dtype == np.uint8
    assert fed["x"].tolist() == [[0, 7, 255]]


@pytest.mark.parametrize("value", [0.5, -1.0, 256.0, np.nan])
def test_what_is_not_a_pixel_is_refused(value):
    with pytest.raises(ModelError, match=r"input 'x'.*is uint8, and .* is not one of its values"):
        Feeding({"x": "uint8"}).feed([row(3, value)], ["x"])


def test_float16_rounds_as_production_does_and_overflows_loudly():
    fed = Feeding({"x": "float16"}).feed([row(0.1)], ["x"])
    assert fed["x"].dtype == np.float16
    assert fed["x"][0, 0] == np.float16(0.1)
    with pytest.raises(ModelError, match="is float16, and 70000 is not finite"):
        Feeding({"x": "float16"}).feed([row(70000)], ["x"])


def test_a_batch_is_filled_with_copies_of_the_last_sample():
    fed = Feeding({"x": "float32"}, 4).feed([row(1), row(2)], ["x"])
    assert fed["x"].tolist() == [[1], [2], [2], [2]]


def test_samples_keep_their_order_over_the_runs():
    groups = list(Feeding(batch=3).runs(range(7)))
    assert groups == [[0, 1, 2], [3, 4, 5], [6]]


def test_each_sample_gets_its_own_outputs_and_shares_the_others():
    outputs = [np.arange(6).reshape(3, 2), np.array(5)]
    found = Feeding(batch=3).split(outputs, 2)
    assert [[a.tolist() for a in each] for each in found] == [[[[0, 1]], 5], [[[2, 3]], 5]]
    assert Feeding(batch=3).unsplit(outputs) == [1]
    assert Feeding().unsplit(outputs) == []


def test_constants_are_fed_to_files_that_still_have_the_input():
    feeding = Feeding({"x": "float32"}, constants={"phase": np.array(False)})
    assert set(feeding.feed([row(1)], ["x", "phase"])) == {"x", "phase"}
    assert set(feeding.feed([row(1)], ["x"])) == {"x"}


def test_several_inputs_are_fed_by_name():
    feeding = Feeding({"ids": "int64", "mask": "float32"}, 2)
    samples = [{"ids": row(n, kind=np.int64), "mask": row(n / 2)} for n in (1, 3)]
    fed = feeding.feed(samples, ["mask", "ids"])
    assert fed["ids"].tolist() == [[1], [3]]
    assert fed["mask"].tolist() == [[0.5], [1.5]]


def test_memory_is_measured_with_the_inputs_that_a_file_has(tmp_path):
    """FP32 has the input that never changes; a variant does not."""
    paths = (
        save(tmp_path, trained_by(embedder()), "fp32.onnx"),
        save(tmp_path, embedder(), "variant.onnx"),
    )
    feed = {"input": np.zeros((1, 3, 32, 32), np.uint8), "phase_train": np.array(False)}
    run = Opening(paths, (feed, feed))()()
    run()
    with pytest.raises(ModelError, match="phase_train"):
        Opening(paths[:1], ({"input": feed["input"]},))()()()
