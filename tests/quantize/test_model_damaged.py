import pytest

from pytest_kycquant.errors import ModelError
from pytest_kycquant.quantize import load_model
from tests.worlds.zoo import save, tiny_embedder


def content() -> bytes:
    return tiny_embedder().SerializeToString()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (content()[:700], "is truncated or damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(200)), "is not an ONNX file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"\x08\x08", "no operators"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, data, problem):
    path = tmp_path / "face.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=problem) as caught:
        load_model(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", range(1, len(content()), 97))
def test_no_truncation_is_accepted(tmp_path, length):
    path = tmp_path / "face.onnx"
    path.write_bytes(content()[:length])
    with pytest.raises(ModelError):
        load_model(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        load_model(tmp_path / "none.onnx")


def test_a_folder_is_not_a_model(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(tmp_path)


def test_an_invalid_graph_is_refused(tmp_path):
    proto = tiny_embedder()
    proto.graph.node[0].input[0] = "nowhere"
    with pytest.raises(ModelError, match="not a valid ONNX model"):
        load_model(save(tmp_path, proto))
