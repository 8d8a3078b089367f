"""What a gate file declares about a task: its data, how to read outputs, and its threshold.

The classes are frozen, pure descriptions, like those in `model.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ..errors import SpecError
from . import coerce
from .distances import DISTANCES, Distance, check_threshold
from .functions import check_function
from .limits import (
    DetectionLimits,
    FaceLimits,
    Limits,
    LivenessLimits,
)
from .liveness_classes import live_index
from .task import StrPath, TaskSpec


@coerce.arguments
@dataclass(frozen=True)
class FaceVerification(TaskSpec):
    """One-to-one comparison of faces: which images, which comparisons, which threshold.

    Args:
        data: evaluation images: a folder with one sub-folder per identity, or an ``.npz`` file
            with ``images`` (N x H x W x 3 uint8, RGB) and ``subjects`` (N).
        pairs: the comparisons to make. None compares every pair of images; otherwise an LFW
            ``pairs.txt`` (10 folds or a single list) or a CSV with the columns ``left``,
            ``right``, ``same`` and optionally ``left_subject``, ``right_subject``.
        max_impostor_pairs: maximum number of impostor pairs, drawn with a seed; for ``pairs=None``.
        selection: identities on which the threshold is chosen and a fallback is searched. None: all
            of them choose the threshold and are judged, and a fallback is searched on two fifths
            of them and confirmed on the others. A share of the identities of `data`
            (0 < share < 1), which are then *not* used for evaluation, or the path of other images
            in the same format as `data`.
        selection_far: the threshold is the smallest whose upper bound of FAR on these identities is
            below this rate; None means half of the limit. A threshold exactly at the limit would
            leave quantization no room, and evaluation would be undecided half of the time.
        threshold: the production threshold (accept if the cosine >= threshold, or a distance <=
            threshold), if there is one; no threshold is then chosen on `selection`.
        distance: None if faces match from some cosine on. Otherwise the distance up to which they
            match, named as in ``scipy.spatial.distance``: "euclidean", "sqeuclidean" (squared),
            "cityblock" (sum of absolute differences) or "cosine" (one minus the cosine).
        normalize: whether embeddings are scaled to unit length before their distance is taken.
        output: name of the output with the embedding, for a model with several outputs.
        labelled: False if the people on the images are unknown. `data` and `selection` are then
            any folders of images (or an ``.npz`` with ``images``), `threshold` is required, and
            `AgreementGates` compare the decisions with those of FP32.
        groups: CSV of groups of people (``subject,age,sex``): ``subject`` and any other columns,
            with a line for each person of `data` and `selection`. No group may degrade more than
            `FaceLimits` allow.
        landmarks: CSV of five landmarks (``file,x1,y1,...,x5,y5``), for whole photographs: the eye
            on the left of the image, the eye on the right, the nose, the left and the right corner
            of the mouth, in pixels. It covers the evaluation, selection and calibration images,
            whose faces are then aligned to InsightFace's template at the size of the input.
    """

    limits: ClassVar[type[Limits]] = FaceLimits
    accuracy: ClassVar[tuple[str, ...]] = ("far", "frr")

    data: StrPath
    pairs: StrPath | None = None
    max_impostor_pairs: int | None = None
    selection: float | StrPath | None = None
    selection_far: float | None = None
    threshold: float | None = None
    output: str | None = None
    labelled: bool = True
    groups: StrPath | None = None
    landmarks: StrPath | None = None
    distance: Distance | None = None
    normalize: bool = False

    def __post_init__(self) -> None:
        self._check_labelled("threshold", "pairs", "max_impostor_pairs", "selection_far", "groups")
        self._set("selection", coerce.share_or_path)
        self._set("distance", coerce.choice, (*DISTANCES, None))
        self._set("normalize", coerce.switch, optional=False)
        if self.normalize and self.distance in (None, "cosine"):
            raise SpecError(
                "FaceVerification.normalize",
                "has no effect, because a cosine does not depend on the length of embeddings",
                'leave it out, or give distance="euclidean"',
            )
        if self.threshold is not None:
            self._set("threshold", check_threshold, self.distance, self.normalize)
        if self.output is not None:
            names = coerce.names("FaceVerification.output", self.output)
            if len(names) != 1:
                problem = f"{coerce.shown(self.output)} is not one name"
                raise SpecError("FaceVerification.output", problem, 'give one, such as "embedding"')
            object.__setattr__(self, "output", names[0])
        if self.selection_far is not None:
            remedy = "give a fraction between 0 and 1: 0.05 % is 0.0005"
            self._set("selection_far", coerce.fraction, remedy)
        if self.max_impostor_pairs is not None:
            self._set("max_impostor_pairs", coerce.whole, "give a whole number")
        if self.max_impostor_pairs is not None and (
            self.pairs is not None or self.max_impostor_pairs < 1
        ):
            raise SpecError(
                "FaceVerification.max_impostor_pairs",
                "needs pairs=None and a positive number",
                "leave out one of `pairs` and `max_impostor_pairs`",
            )


@coerce.arguments
@dataclass(frozen=True)
class ObjectDetection(TaskSpec):
    """Finding faces, documents or other objects in whole images.

    Args:
        data: evaluation images: a folder, or an ``.npz`` file with ``images``.
        labels: boxes of the images: COCO detection JSON (``.json``), a CSV with
            ``file,class,x1,y1,x2,y2`` in pixels, or a folder of YOLO text files.
        classes: names of the classes in the order of the model's outputs; required.
        judged: the classes that are labelled and matter; None means all. A model of 80 classes may
            be used only to find people: boxes and detections of other classes are then ignored.
        confidence: the production confidence (a detection counts if score >= confidence), if
            there is one; no confidence is then chosen on `selection`.
        selection: images on which the confidence is chosen and a fallback is searched. None: all of
            them choose the confidence and are judged, and a fallback is searched on two fifths of
            them and confirmed on the others. A share of the images of `data` (0 < share < 1),
            which are then *not* used for evaluation, or the path of other images.
        selection_labels: boxes of those other images, in one of the formats of `labels`.
        selection_miss_rate: the confidence is the highest at which the upper bound of the miss
            rate of every class is below this rate on these images; None means half of what
            `DetectionLimits.recall` allows, which leaves quantization some room.
        scores: content of the class outputs: "probabilities", as YOLOv8 exports them, or "logits",
            for raw heads without the final sigmoid.
        keypoints: number of keypoints that the model returns with each box. They are compared with
            FP32's, and with those of `labels`, if these have any (COCO JSON or YOLO text files).
            None judges those that outputs of their own or `decode` give; 0 judges none.
        keypoint_scale: what distances of keypoints are relative to: "eyes", the distance of the
            first two keypoints, or "box", the root of the area of the box. None is "eyes" for five
            keypoints, which are those of a face, and "box" for others.
        nms_iou: if two boxes of a class overlap more than this, the one with the lower score is
            dropped.
        outputs: names of the outputs to read; None reads them all.
        layout: name of the layout of the outputs, such as "rows", where FP32's outputs for a few
            images do not tell it; see docs/detection.md.
        boxes: "corners" for x1, y1, x2, y2, or "centres" for centre, width and height; None for
            what is usual in the layout.
        decode: a function of your own for outputs of any other layout, from a tuple of the outputs
            for one image to (boxes, scores, classes) or (boxes, scores, classes, landmarks): x1,
            y1, x2, y2 in pixels of the input, (N, 4); probabilities (N,); indices of classes (N,);
            x and y in pixels, (N, K, 2). Boxes need not be suppressed. The golden depends on its
            source and on all that it uses.
        labelled: False if there are no boxes. `labels` and `selection_labels` are then left out,
            `confidence` is required, and `AgreementGates` compare detections with those of FP32.
        groups: CSV of groups of images (``file,country,kind``): ``file`` and any other columns,
            with a line for each image of `data` and `selection`. Misses of every class are judged
            in every group, see `DetectionLimits`.
    """

    limits: ClassVar[type[Limits]] = DetectionLimits
    accuracy: ClassVar[tuple[str, ...]] = ("recall", "map")

    data: StrPath
    labels: StrPath | None = None
    classes: tuple[str, ...] = ()
    judged: tuple[str, ...] | None = None
    confidence: float | None = None
    selection: float | StrPath | None = None
    selection_labels: StrPath | None = None
    selection_miss_rate: float | None = None
    scores: Literal["probabilities", "logits"] = "probabilities"
    keypoints: int | None = None
    keypoint_scale: Literal["eyes", "box"] | None = None
    nms_iou: float = 0.7
    outputs: tuple[str, ...] | None = None
    labelled: bool = True
    groups: StrPath | None = None
    layout: str | None = None
    boxes: Literal["corners", "centres"] | None = None
    # The repr of a function contains its address, which differs between workers.
    decode: Callable[..., Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        where = "ObjectDetection"
        self._set("boxes", coerce.choice, ("corners", "centres", None))
        of_labels = ("labels", "selection_labels", "selection_miss_rate", "groups")
        self._check_labelled("confidence", *of_labels)
        if self.labelled and self.labels is None:
            raise SpecError(
                f"{where}.labels",
                "are missing",
                "give the boxes of the images, or labelled=False and subclass AgreementGates",
            )
        for name in ("classes", "judged", "outputs"):
            if getattr(self, name) is not None or name == "classes":
                self._set(name, coerce.names, distinct=True)
        if strangers := sorted(set(self.judged or ()) - set(self.classes)):
            raise SpecError(
                f"{where}.judged",
                f"{', '.join(strangers)} are not classes of the model",
                "choose from the names in classes=",
            )
        for name in ("confidence", "selection_miss_rate", "nms_iou"):
            if getattr(self, name) is not None:
                remedy = "give a number between 0 and 1"
                self._set(name, coerce.fraction, remedy, "is out of range")
        self._set("scores", coerce.choice, ("probabilities", "logits"))
        if self.layout is not None:
            self._set("layout", coerce.label)
        if self.decode is not None:
            self._check_decode()
        remedy = "give a whole number, 0 or more"
        if self.keypoints is not None:
            self._set("keypoints", coerce.whole, remedy)
        if self.keypoints is not None and self.keypoints < 0:
            raise SpecError(f"{where}.keypoints", f"{self.keypoints} is negative", remedy)
        self._set("keypoint_scale", coerce.choice, ("eyes", "box", None))
        enough = self.keypoints is None or self.keypoints > (self.keypoint_scale == "eyes")
        if self.keypoint_scale is not None and not enough:
            raise SpecError(
                f"{where}.keypoint_scale",
                f"is {self.keypoint_scale!r}, and there are {self.keypoints} keypoints",
                "leave it out, or give the number of keypoints=",
            )
        selection = coerce.share_or_path(f"{where}.selection", self.selection)
        object.__setattr__(self, "selection", selection)
        other = selection is not None and not isinstance(selection, float)
        if self.labelled and other != (self.selection_labels is not None):
            raise SpecError(
                f"{where}.selection_labels",
                "must be given if, and only if, selection is a path of other images",
                "give selection= and selection_labels= as paths, or a fraction in selection=",
            )

    def _check_decode(self) -> None:
        remedy = "give a function of the outputs that returns boxes, scores and classes"
        check_function("ObjectDetection.decode", self.decode, 1, remedy)
        for name in ("layout", "boxes", "scores", "keypoints"):
            if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                raise SpecError(
                    f"ObjectDetection.{name}",
                    "has no effect, because the function reads the outputs",
                    "leave it out, or do without decode=",
                )


@coerce.arguments
@dataclass(frozen=True)
class LivenessDetection(TaskSpec):
    """Presentation attack detection: is this capture a live face?

    Args:
        data: labelled captures: a folder with a sub-folder ``live`` and one for each attack
            species, a CSV with ``file,label,species,subject``, or an ``.npz`` (see
            `data.liveness_files`).
        selection: captures on which the threshold is chosen and a fallback is searched. None: all
            of them choose the threshold and are judged, and a fallback is searched on two fifths
            of the people and confirmed on the others. A share of the people of `data`
            (0 < share < 1), who are then *not* used for evaluation, or the path of other captures
            in one of the formats of `data`.
        selection_apcer: the threshold is the smallest one of at least 1/2 for which the upper bound
            of APCER is below this rate for every species; None means half of the
            limit, which leaves quantization some room.
        threshold: the production threshold (live if score >= threshold), if there is one; no
            threshold is then chosen on `selection`.
        scores: content of the output: "logits", which softmax (for a single value, the logistic
            function) turns into probabilities, or "probabilities".
        classes: names of the values of the output in their order, such as ("spoof", "live"). A
            single value is ("live",) or ("attack",): the score of a live face or of an attack.
        live_class: the live class, by its name in `classes` or by its index. None: the class that
            is called live, real, genuine or bona fide; without `classes` that of MiniFASNet, 1.
        pool: "mean" for a model that returns a map of values, (1, C, H, W) or (1, H, W), such as
            DeePixBiS: the score is the mean of the probabilities in all places. None: it returns
            one value for each class.
        boxes: CSV of face boxes (``file,x1,y1,x2,y2``), for whole photographs. It covers the
            evaluation, selection and calibration images, which are then cropped around the face.
        crop_scale: size of the crop relative to the face box, such as 2.7; only with `boxes`. A
            model of several files takes one for each, such as (2.7, 4.0).
        single_species: True if there is only one kind of attack. Otherwise data with a single
            species is an error, since other species may have been forgotten.
        output: name of the output with the scores, for a model with several outputs. For several
            files, give one for each or one for all.
        labelled: False if nothing is known about which captures are live. `data` and `selection`
            are then any folders of images (or an ``.npz`` with ``images``), `threshold` is
            required, and `AgreementGates` compare the decisions with those of FP32.
        groups: CSV of groups of people, as for `FaceVerification`. BPCER is judged in every group,
            see `LivenessLimits`. The data must name the person in each capture.
    """

    limits: ClassVar[type[Limits]] = LivenessLimits
    accuracy: ClassVar[tuple[str, ...]] = ("apcer", "bpcer")

    data: StrPath
    selection: float | StrPath | None = None
    selection_apcer: float | None = None
    threshold: float | None = None
    scores: Literal["logits", "probabilities"] = "logits"
    live_class: int | str | None = None
    boxes: StrPath | None = None
    crop_scale: float | tuple[float, ...] | None = None
    output: str | tuple[str, ...] | None = None
    labelled: bool = True
    single_species: bool = False
    groups: StrPath | None = None
    classes: tuple[str, ...] | None = None
    pool: Literal["mean"] | None = None

    def __post_init__(self) -> None:
        self._check_labelled("threshold", "selection_apcer", "groups")
        self._set("selection", coerce.share_or_path)
        self._set("scores", coerce.choice, ("logits", "probabilities"))
        self._set("single_species", coerce.switch, optional=False)
        if self.threshold is not None:
            remedy = "give the production threshold, a probability between 0 and 1"
            threshold = coerce.number("LivenessDetection.threshold", self.threshold, remedy)
            if not 0 < threshold <= 1:
                raise SpecError(
                    "LivenessDetection.threshold", f"{threshold!r} is out of range", remedy
                )
            object.__setattr__(self, "threshold", threshold)
        if self.selection_apcer is not None:
            remedy = "give a fraction between 0 and 1: 2.5 % is 0.025"
            self._set("selection_apcer", coerce.fraction, remedy)
        if self.classes is not None:
            self._set("classes", coerce.names, distinct=True)
        object.__setattr__(self, "live_class", live_index(self.live_class, self.classes))
        self._set("pool", coerce.choice, ("mean", None))
        if self.output is not None:
            names = coerce.names("LivenessDetection.output", self.output)
            one = isinstance(coerce.scalar(self.output), str)
            object.__setattr__(self, "output", names[0] if one else names)
        self._check_crop()

    def check_files(self, count: int) -> None:
        """Make sure that there is one crop and one output for each file."""
        for name, given in (("crop_scale", self.crop_scale), ("output", self.output)):
            if isinstance(given, tuple) and len(given) != count:
                raise SpecError(
                    f"LivenessDetection.{name}",
                    f"there are {len(given)} for {count} files",
                    "give one for each path of KycModel, or one for all",
                )

    def crop_scales(self, count: int) -> tuple[float, ...]:
        """Return the crop scale of each of `count` files; empty without crops."""
        if self.crop_scale is None:
            return ()
        return self.crop_scale if isinstance(self.crop_scale, tuple) else (self.crop_scale,) * count

    def _check_crop(self) -> None:
        where, remedy = "LivenessDetection.crop_scale", "give boxes= and crop_scale=, such as 2.7"
        if (self.boxes is None) != (self.crop_scale is None):
            raise SpecError(where, "boxes and crop_scale must be given together", remedy)
        if self.crop_scale is None:
            return
        several = coerce.is_several(self.crop_scale)
        given = coerce.items(where, self.crop_scale, remedy) if several else (self.crop_scale,)
        scales = tuple(coerce.number(where, one, remedy) for one in given)
        for scale in scales:
            if scale < 1:
                raise SpecError(where, f"{scale!r} cuts off the face", remedy)
        object.__setattr__(self, "crop_scale", scales if several else scales[0])
