"""Two values of an input that never changes are two models, in one cache as well."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime

from pytest_kycquant import CustomLimits, CustomTask, KycModel, Recipe
from pytest_kycquant.bench.variants import Variants
from pytest_kycquant.context.scratch import scratch_context
from pytest_kycquant.tasks.registry import task_of
from tests.worlds.inputs import trained_by
from tests.worlds.rows import classifier, texts


def wrong(outputs, labels):
    return outputs.argmax(axis=1) != labels


def test_each_value_has_its_own_variants_and_outputs(tmp_path):
    proto = classifier()
    gemm = next(node for node in proto.graph.node if node.name == "head")
    gemm.op_type = "Gemm"
    onnx.save(trained_by(proto), tmp_path / "text.onnx")
    np.savez(tmp_path / "rows.npz", **texts(20, 1))
    task = CustomTask("rows.npz", metric=wrong)
    untrained = KycModel("text.onnx", preprocess=None, task=task, constants={"phase_train": False})
    limits, context = CustomLimits(metric=0.5, degradation=0.5), scratch_context()

    def resolve(path, attribute):
        return tmp_path / path

    recipe, found = Recipe("int8-weights", rewrites=False), []
    for model in (untrained, replace(untrained, constants={"phase_train": True})):
        variants = Variants(context, model, task_of(model, limits, resolve), resolve)
        variant = variants.variant(recipe)
        assert any("phase_train=" in note for note in variant.notes)
        assert len(onnxruntime.InferenceSession(variant.path).get_inputs()) == 3
        images = variants.data.evaluation.images
        outputs = [variants.outputs(one, images, "x").values for one in (variants.fp32, variant)]
        np.testing.assert_allclose(outputs[1], outputs[0], rtol=0.05, atol=0.5)
        found.append((variant.sha256, outputs[0]))
    assert found[0][0] != found[1][0]
    assert np.abs(found[0][1] - found[1][1]).max() > 1
