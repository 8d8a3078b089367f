"""The damages of a model that are judged, each in several places, and harmless controls."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from pytest_kycquant.bench.variant import Variant
from pytest_kycquant.errors import QuantizationError
from pytest_kycquant.spec.recipe import Recipe

from . import damages
from .subjects import Laboratory

_NOISE_IMAGES = 128
_EMULATED = 4  # every fourth 1x1 convolution is emulated, because emulation is slow
# Means of ImageNet, in 0..255; the models here expect another mean or none.
_OTHER_MEAN = (123.7, 116.3, 103.5)


@dataclass(frozen=True)
class Case:
    """One damaged model, or one that only looks damaged.

    Args:
        fault: what was done to it.
        where: the place of the damage, or its seed.
        make: a function that makes the damaged model; None if the model has no such place.
        control: whether the case is expected to be harmless; the truth may differ.
    """

    fault: str
    where: str
    make: Callable[[], Variant]
    control: bool = False


def cases(lab: Laboratory) -> Iterator[Case]:
    """All cases of a model, seeded."""
    sound = lab.judge.variants.variant(lab.recipe)
    proto = onnx.load(sound.path)

    def damaged(name: str, damage: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Variant:
        content = damage(proto).SerializeToString(deterministic=True)
        return lab.judge.variants.given(content, sound, name, lab.folder)

    def case(
        fault: str,
        where: str,
        damage: Callable[[onnx.ModelProto], onnx.ModelProto],
        *,
        control: bool = False,
    ) -> Case:
        return Case(fault, where, partial(damaged, fault, damage), control)

    yield Case("undamaged", "", lambda: sound, control=True)
    for fault, where, damage in (*_numbers(proto), *_weights(proto)):
        yield case(fault, where, damage)
    for fault, where, damage in _inputs_and_outputs(lab):
        yield case(fault, where, damage)
    if some := damages.pointwise(proto)[::_EMULATED]:
        where = f"{len(some)} convolutions"
        yield case("U8S8 saturation", where, partial(damages.saturate, places=some))
    for percent in (1, 3, 10):
        for seed in (1, 2):
            noise = partial(damages.perturb_weights, share=percent / 100, seed=seed)
            yield case(f"older checkpoint ({percent} %)", f"seed {seed}", noise)
    yield from _made_anew(lab)
    for fault, where, damage in _harmless(proto):
        yield case(fault, where, damage, control=True)
    yield from _other_precisions(lab)


Damage = Callable[[onnx.ModelProto], onnx.ModelProto]


def _numbers(proto: onnx.ModelProto) -> Iterator[tuple[str, str, Damage]]:
    """Scales, zero points and ranges."""
    weights, tensors = damages.weights(proto), damages.activations(proto)
    for factor, word in ((2.0, "doubled"), (0.5, "halved")):
        for place in three(weights, f"weights {word}"):
            damage = partial(damages.scale_weights, place=place, factor=factor)
            yield f"scale of weights {word}", place, damage
        for place in three(tensors, f"activation {word}"):
            damage = partial(damages.scale_activation, place=place, factor=factor)
            yield f"scale of an activation {word}", place, damage
    for place in three(tensors, "clip"):
        yield "range clipped to half", place, partial(damages.clip_range, place=place)
    for by in (1, 3, 16):
        for place in three(tensors, f"zero point {by}"):
            damage = partial(damages.shift_zero_point, place=place, by=by)
            yield f"zero point shifted by {by}", place, damage
    for place in (weights[0], weights[-1]):
        yield "NaN in a scale of weights", place, partial(damages.spoil_scale, place=place)
    for place in (tensors[0], tensors[-1]):
        yield "NaN in a scale of an activation", place, partial(damages.spoil_scale, place=place)


def _weights(proto: onnx.ModelProto) -> Iterator[tuple[str, str, Damage]]:
    """Weights and biases."""
    constants = damages.sizes(proto)
    for place in three(damages.weights(proto), "channel"):
        channel = int(_rng("channel", place).integers(constants[place]))
        damage = partial(damages.zero_channel, place=place, channel=channel)
        yield "weights of a channel zeroed", f"{place}, {channel}", damage
    for place in three(damages.biases(proto), "bias"):
        channel = int(_rng("bias", place).integers(constants[place]))
        damage = partial(damages.flip_bias, place=place, channel=channel)
        yield "sign of a bias flipped", f"{place}, {channel}", damage
    for place in three(damages.biases(proto), "biases"):
        yield "sign of all biases flipped", place, partial(damages.flip_bias, place=place)
    for one, other in three(damages.of_one_shape(proto), "exchange"):
        damage = partial(damages.exchange_weights, one=one, other=other)
        yield "weights of two layers exchanged", f"{one}, {other}", damage


def _inputs_and_outputs(lab: Laboratory) -> Iterator[tuple[str, str, Damage]]:
    """The model's inputs and outputs."""
    spec = lab.spec.model.preprocesses[0]
    scale, mean = (np.broadcast_to(np.asarray(x, np.float64), 3) for x in (spec.scale, spec.mean))
    yield "red and blue swapped", "", damages.swap_channels
    forgotten = mean if mean.any() else -127.5 * np.ones(3)
    yield (
        "wrong mean",
        "0 for 127.5, or the reverse",
        partial(damages.shift_input, offsets=(forgotten * scale).tolist()),
    )
    of_imagenet = np.asarray(_OTHER_MEAN)
    yield (
        "wrong mean",
        "that of ImageNet",
        partial(damages.shift_input, offsets=((mean - of_imagenet) * scale).tolist()),
    )
    yield "wrong scale", "half", partial(damages.scale_input, factor=0.5)
    yield "constant output", "", partial(damages.scale_input, factor=0.0)
    yield "output scaled by .9", "", partial(damages.scale_output, factor=0.9)


def _harmless(proto: onnx.ModelProto) -> Iterator[tuple[str, str, Damage]]:
    for place in three(damages.weights(proto), "one percent"):
        damage = partial(damages.scale_weights, place=place, factor=1.01)
        yield "scale of weights 1 % larger", place, damage
    for place in three(damages.activations(proto), "one percent"):
        damage = partial(damages.scale_activation, place=place, factor=1.01)
        yield "scale of an activation 1 % larger", place, damage
    for seed in (1, 2):
        noise = partial(damages.perturb_weights, share=0.001, seed=seed)
        yield "weights perturbed by .1 %", f"seed {seed}", noise


def _made_anew(lab: Laboratory) -> Iterator[Case]:
    """Models that are quantized again, from other images or from another FP32 model."""
    model = lab.spec.model

    def recalibrated(images: Path) -> Variant:
        judge = lab.judge_of(replace(model, calibration=images))
        return judge.variants.variant(lab.recipe)

    yield Case("calibration on noise", "", lambda: recalibrated(_noise(lab)))
    yield Case("calibration on half of the images", "", lambda: recalibrated(_half(lab)), True)

    def older() -> Variant:
        (path,) = lab.judge.variants.fp32.paths
        proto = damages.perturb_weights(onnx.load(path), 0.03, seed=3)
        target = lab.folder / f"{path.stem}_older.onnx"
        target.write_bytes(proto.SerializeToString(deterministic=True))
        return lab.judge_of(replace(model, path=target)).variants.variant(lab.recipe)

    yield Case("older checkpoint (3 %)", "quantized anew", older)
    yield Case("built anew", "from an empty cache", lambda: lab.built_anew(), True)


def _other_precisions(lab: Laboratory) -> Iterator[Case]:
    for precision in ("fp16", "int8-weights", "fp32-optimized"):
        recipe = Recipe(precision)
        try:
            lab.judge.variants.variant(recipe)
        except QuantizationError:  # nothing to rewrite
            continue
        yield Case(precision, "", partial(lab.judge.variants.variant, recipe), control=True)


def three(places: Sequence, what: str) -> list:
    """An early, a middle and a late place, drawn with a seed that depends on `what`.

    Their order is drawn, too, so that even an interrupted run covers all parts of a model.
    """
    thirds = [third for third in np.array_split(np.arange(len(places)), 3) if len(third)]
    drawn = [places[int(_rng(what, str(i)).choice(third))] for i, third in enumerate(thirds)]
    first = int(_rng(what, "first").integers(3)) % max(len(drawn), 1)
    return drawn[first:] + drawn[:first]


def _rng(*words: str) -> np.random.Generator:
    return np.random.default_rng([ord(letter) for letter in "/".join(words)])


def _noise(lab: Laboratory) -> Path:
    """Calibration images of pure noise."""
    height, width = lab.spec.model.preprocesses[0].size
    path = lab.folder / f"noise-{height}.npz"
    shape = (_NOISE_IMAGES, height, width, 3)
    np.savez(path, images=_rng("noise").integers(0, 256, shape, dtype=np.uint8))
    return path


def _half(lab: Laboratory) -> Path:
    """Every other calibration image, or every other person on them."""
    model = lab.spec.model
    assert model.calibration is not None
    source = lab.judge.variants.resolve(model.calibration, "KycModel.calibration")
    target = lab.folder / f"half-{source.name}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for path in sorted(source.iterdir())[1::2]:
        if path.is_dir():
            shutil.copytree(path, target / path.name)
        else:
            shutil.copy(path, target)
    return target
