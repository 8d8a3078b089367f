"""The detector learns, and its ONNX file gives the same outputs as PyTorch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.training import detection_loss, detection_pool, yolov8  # noqa: E402
from models.training.yolov8_network import YoloV8, cells  # noqa: E402


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return detection_pool.render_pool(tmp_path_factory.mktemp("pool"), 8, 1)


def test_trains_and_exports(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(yolov8, "SIZE", 64)
    monkeypatch.setattr(yolov8, "SMALL", 64)
    network = yolov8.train(pool, 2, checkpoint=tmp_path / "state.pt", batch=2)
    assert all(torch.isfinite(p).all() for p in network.parameters())
    path = tmp_path / "detector.onnx"
    detector = yolov8.Detector(network.to(memory_format=torch.contiguous_format))
    yolov8.export(detector, (3, 64, 64), path, input_name="images", output_names=["output0"])
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(path).graph
    operators = {node.op_type for node in graph.node}
    assert {"Sigmoid", "Mul", "Softmax", "Resize", "Concat", "MaxPool"} <= operators
    assert "BatchNormalization" not in operators
    assert graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["output0"], {"images": np.zeros((2, 3, 64, 64), np.float32)})
    assert found.shape == (2, 6, 84)


def test_loss_falls_when_the_same_batch_comes_again(pool):
    torch.manual_seed(0)
    network = YoloV8(width=0.125)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    data = detection_pool.vary(pool, np.arange(4), 96, np.random.default_rng(0))
    values = []
    for _ in range(12):
        value = detection_loss.loss(
            network, network(data.images), (96, 96), data.boxes, data.classes
        )
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert np.isfinite(values).all()
    assert values[-1] < 0.8 * values[0]


def test_decoding_inverts_the_distances_of_a_box():
    network = YoloV8(width=0.125)
    grid, strides = cells(64, 64, torch.zeros(1))
    box, cell = torch.tensor([8.0, 12.0, 40.0, 50.0]), 27
    middle, stride = grid[:, cell], strides[0, cell]
    aim = torch.cat([middle - box[:2] / stride, box[2:] / stride - middle])
    logits = torch.full((1, 64, grid.shape[1]), -50.0)
    for side, distance in enumerate(aim):
        low = int(distance)
        share = float(distance) - low
        logits[0, side * 16 + low, cell] = np.log(max(1 - share, 1e-9))
        logits[0, side * 16 + low + 1, cell] = np.log(max(share, 1e-9))
    decoded = network.decode(logits, torch.zeros(1, 2, grid.shape[1]), 64, 64)[0, :, cell]
    np.testing.assert_allclose(decoded.numpy(), [24, 31, 32, 38, 0.5, 0.5], atol=1e-3)


def test_complete_iou_of_known_boxes():
    box = torch.tensor([0.0, 0.0, 10.0, 10.0])
    assert float(detection_loss.complete_iou(box, box)) == pytest.approx(1.0, abs=1e-6)
    # Half overlap, same shape: IoU 1/3, centres 5 apart, diagonal of the hull 15^2 + 10^2.
    other = torch.tensor([5.0, 0.0, 15.0, 10.0])
    expected = 1 / 3 - 25 / 325
    assert float(detection_loss.complete_iou(box, other)) == pytest.approx(expected, abs=1e-6)


def test_assignment_takes_the_best_cells_inside_and_leaves_the_rest_free():
    grid, strides = cells(64, 64, torch.zeros(1))
    centres = (grid * strides).T
    boxes = torch.zeros(1, 2, 4)
    boxes[0, 0] = torch.tensor([10.0, 10.0, 50.0, 50.0])
    predicted = boxes[:, :1].expand(1, len(centres), 4) + torch.rand(1, len(centres), 4)
    scores = torch.full((1, len(centres), 2), 0.5)
    classes = torch.zeros(1, 2, dtype=torch.long)
    found = detection_loss.assign(scores, predicted, centres, boxes, classes)
    assert int(found.taken.sum()) == detection_loss.TOP
    taken = centres[found.taken[0]]
    assert ((taken > 10) & (taken < 50)).all()
    assert (found.box[found.taken] == 0).all()
    assert float(found.weight.max()) == pytest.approx(
        float(detection_loss.complete_iou(boxes[0, 0], predicted[0])[found.taken[0]].max()),
        abs=1e-4,
    )
    assert (found.weight[~found.taken] == 0).all()


def test_turned_and_mirrored_scenes_keep_boxes_on_documents(pool):
    # A marked picture: the box must follow its mark.
    pixels = np.zeros((1, 320, 320, 3), np.uint8)
    pixels[0, 100:180, 60:200] = 255
    boxes = np.zeros((1, 4, 4), np.float32)
    boxes[0, 0] = [60, 100, 200, 180]
    marked = detection_pool.Pool(pixels, boxes, np.zeros((1, 4), np.int64))
    for seed in range(12):
        image, box = detection_pool.moved(
            marked.pixels[0], marked.boxes[0], 320, np.random.default_rng(seed), margin=0
        )
        rows, columns = np.nonzero(image[..., 0] > 127)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(box[0], found, atol=1.01)
