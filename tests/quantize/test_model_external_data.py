import os
import shutil

import numpy as np
import onnx
import pytest

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model, prepare
from pytest_kycquant.runtimes import library
from pytest_kycquant.runtimes.model_files import copy_without_links
from pytest_kycquant.runtimes.verified import check_unchanged
from tests.worlds.zoo import images, tiny_embedder


def save_external(folder, location="weights.bin"):
    folder.mkdir(exist_ok=True)
    path = folder / "model.onnx"
    onnx.save_model(
        tiny_embedder(), path, save_as_external_data=True, location=location, size_threshold=0
    )
    return path


def relocate(path, location):
    proto = onnx.load(path, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(proto.SerializeToString())


def test_weights_beside_the_model_are_read(tmp_path):
    model = load_model(save_external(tmp_path))
    assert model.size == sum(p.stat().st_size for p in tmp_path.iterdir())
    assert prepare(model, images(1)).max_difference == 0


def test_the_digest_covers_them(tmp_path):
    path = save_external(tmp_path)
    before = load_model(path).digest
    data = np.fromfile(tmp_path / "weights.bin", np.uint8)
    data[40] ^= 1
    data.tofile(tmp_path / "weights.bin")
    assert load_model(path).digest != before


def test_a_missing_data_file_is_named(tmp_path):
    path = save_external(tmp_path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"'weights\.bin' is missing"):
        load_model(path)


def test_a_truncated_data_file_is_named(tmp_path):
    path = save_external(tmp_path)
    os.truncate(tmp_path / "weights.bin", 100)
    with pytest.raises(ModelError, match="truncated: 100 of"):
        load_model(path)


@pytest.mark.parametrize("absolute", [False, True])
def test_data_outside_the_folder_is_refused_unread(tmp_path, absolute):
    secret = tmp_path / "secret.bin"
    path = save_external(tmp_path / "models")
    (tmp_path / "models" / "weights.bin").rename(secret)
    relocate(path, str(secret) if absolute else "../secret.bin")
    with pytest.raises(ModelError, match="outside the model's folder"):
        load_model(path)


@pytest.mark.parametrize(
    "location",
    ["weights\0.bin", "", ".", "a/../../secret.bin", "/dev/zero", "/etc/passwd", "x" * 5000,
     "\x1b[2J", "sub/weights.bin", "weights.bin/x"],
)  # fmt: skip
def test_no_location_is_a_traceback_or_a_hang(tmp_path, location):
    path = save_external(tmp_path / "models")
    (tmp_path / "secret.bin").write_bytes(bytes(4000))
    relocate(path, location)
    with pytest.raises(ModelError) as caught:
        load_model(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert text.isprintable()
    assert len(text) < 600


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_data_that_is_not_a_file(tmp_path, kind):
    path = save_external(tmp_path)
    (tmp_path / "weights.bin").unlink()
    if kind == "fifo":
        os.mkfifo(tmp_path / "weights.bin")
    elif kind == "folder":
        (tmp_path / "weights.bin").mkdir()
    else:
        (tmp_path / "weights.bin").symlink_to("/dev/zero")
    with pytest.raises(ModelError, match=r"not a file|outside the model's folder"):
        load_model(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("offset", "-4"), ("length", "-4"), ("offset", "x"), ("length", "1e3"), ("offset", "9" * 5000),
     ("length", "99999999999999"), ("offset", "99999999999999"), ("length", "8"), ("length", "")],
)  # fmt: skip
def test_damaged_references(tmp_path, key, value):
    path = save_external(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    for entry in proto.graph.initializer[0].external_data:
        if entry.key == key:
            entry.value = value
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=r"damaged|truncated"):
        load_model(path)


def test_constants_in_functions_and_branches_are_read(tmp_path):
    path = save_external(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    tensor = proto.graph.initializer[0]
    node = onnx.helper.make_node("Constant", [], ["out"], value=tensor)
    opsets = [onnx.helper.make_opsetid("", 17)]
    proto.functions.append(onnx.helper.make_function("own", "F", [], ["out"], [node], opsets))
    path.write_bytes(proto.SerializeToString())
    constant = load_model(path).proto.functions[0].node[0].attribute[0].t
    assert len(constant.raw_data) == 864
    assert not constant.external_data


def as_in_a_hub_cache(folder):
    """The model and its data are links to files named after their content."""
    stored = save_external(folder / "stored", "model.onnx_data")
    snapshot = folder / "snapshots" / "main" / "onnx"
    snapshot.mkdir(parents=True)
    (folder / "blobs").mkdir()
    for number, name in enumerate((stored.name, "model.onnx_data")):
        (stored.parent / name).rename(folder / "blobs" / f"{number}f3a")
        (snapshot / name).symlink_to(f"../../../blobs/{number}f3a")
    return snapshot / stored.name


def linked_data(folder):
    path = save_external(folder / "models")
    (path.parent / "weights.bin").rename(folder / "elsewhere")
    (path.parent / "weights.bin").symlink_to("../elsewhere")
    return path


def linked_folder(folder):
    path = save_external(folder / "models")
    (folder / "large").mkdir()
    (path.parent / "weights.bin").rename(folder / "large" / "weights.bin")
    (path.parent / "data").symlink_to("../large", target_is_directory=True)
    relocate(path, "data/weights.bin")
    return path


def linked_twice(folder):
    """A link to a link to the model, beside which its data are."""
    save_external(folder / "v3")
    (folder / "current.onnx").symlink_to("v3/model.onnx")
    (folder / "deployed").mkdir()
    (folder / "deployed" / "face.onnx").symlink_to("../current.onnx")
    return folder / "deployed" / "face.onnx"


LINKS = [as_in_a_hub_cache, linked_data, linked_folder, linked_twice]


@pytest.mark.parametrize("make", LINKS)
def test_data_behind_links_are_those_of_the_files(tmp_path, make):
    path = make(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    location = proto.graph.initializer[0].external_data[0].value
    whole = tmp_path / "whole"
    (whole / location).parent.mkdir(parents=True)
    shutil.copyfile(path, whole / "model.onnx")
    data = path.parent / location
    shutil.copyfile(data if data.exists() else tmp_path / "v3" / location, whole / location)
    linked, copied = load_model(path), load_model(whole / "model.onnx")
    assert (linked.digest, linked.size) == (copied.digest, copied.size)
    assert linked.proto == copied.proto


@pytest.mark.parametrize("make", LINKS)
def test_memory_is_measured_behind_links(tmp_path, make):
    path = make(tmp_path)
    opened = library().open(path)
    image = images(1)[0]
    expected = library().open(load_model(path).proto.SerializeToString()).run({"input": image})
    np.testing.assert_array_equal(opened.run({"input": image})[0], expected[0])


def test_a_link_to_other_data_is_another_model(tmp_path):
    path = linked_data(tmp_path)
    before = load_model(path).digest
    data = np.fromfile(tmp_path / "elsewhere", np.uint8)
    data[40] ^= 1
    data.tofile(tmp_path / "retrained")
    (path.parent / "weights.bin").unlink()
    (path.parent / "weights.bin").symlink_to("../retrained")
    assert load_model(path).digest != before
    with pytest.raises(ModelError, match="changed while it was in use"):
        check_unchanged(path, before)


def test_the_folder_of_the_link_comes_first(tmp_path):
    path = linked_twice(tmp_path)
    other = np.fromfile(tmp_path / "v3" / "weights.bin", np.uint8)
    other[40] ^= 1
    other.tofile(path.parent / "weights.bin")
    assert load_model(path).files[1] == path.parent / "weights.bin"


def test_a_name_that_leads_up_is_not_copied(tmp_path):
    path = save_external(tmp_path / "models")
    relocate(path, "../models/weights.bin")
    (path.parent / "current.onnx").symlink_to("model.onnx")
    assert load_model(path.parent / "current.onnx").size == load_model(path).size
    (tmp_path / "scratch" / "copy").mkdir(parents=True)
    assert copy_without_links(path.parent / "current.onnx", tmp_path / "scratch" / "copy") is None
    assert [each.name for each in (tmp_path / "scratch").rglob("*")] == ["copy"]


def test_a_link_to_nothing_is_named(tmp_path):
    path = linked_data(tmp_path)
    (tmp_path / "elsewhere").unlink()
    with pytest.raises(ModelError, match=r"'weights\.bin' is missing or not a file"):
        load_model(path)


def test_more_than_onnx_holds_in_memory_is_refused_unread(tmp_path, monkeypatch):
    path = save_external(tmp_path)
    sizes = [each.stat().st_size for each in (path, tmp_path / "weights.bin")]
    monkeypatch.setattr("pytest_kycquant.runtimes.model_files.LARGEST", sum(sizes))
    assert load_model(path).size == sum(sizes)
    monkeypatch.setattr("pytest_kycquant.runtimes.model_files.LARGEST", sum(sizes) - 1)
    with pytest.raises(
        ModelError, match=r"with its external data is larger than 2 GB \(0\.00 GB\)"
    ):
        load_model(path)
