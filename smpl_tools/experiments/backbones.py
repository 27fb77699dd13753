"""Small estimators of poses from 2D keypoints, each with a view of one frame or of several."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smpl_tools.experiments.frame import Bench
from smpl_tools.experiments.images import image_clips
from smpl_tools.experiments.network_training import EPOCHS, WINDOW, absolute_loss, seeded, train_network
from smpl_tools.experiments.refiners import raw
from smpl_tools.experiments.sequences import Example, predict
from smpl_tools.inverse_kinematics import JOINTS, TURNING, joints_to_rotations, rotations_to_joints
from smpl_tools.paired_scores import MEASURES, Refiner
from smpl_tools.rotations import matrix_to_rotation_6d, rotation_6d_to_matrix
from smpl_tools.sources import PairedClip

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[np.float32]
# What a network answers (T, O) by the clip's name.
Answers = Mapping[str, Array]

# How much a second difference counts beside a position where a network is trained with the acceleration loss.
ACCELERATION = 1.0
# Half the size of the pictures of the paired set, in pixels.
_HALF_PICTURE = 224.0
_OPPOSITE = {"left": "right", "right": "left"}
# Where each joint of a person is found whom one sees in a mirror.
OTHER_SIDE = [JOINTS.index("_".join(_OPPOSITE.get(part, part) for part in name.split("_"))) for name in JOINTS]

SCORED = {
    key: MEASURES[key]
    for key in (
        "accel_mm_per_frame2",
        "mpjpe_mm",
        "pa_mpjpe_mm",
        "mpjve_mm_per_frame",
        "speed_ratio",
        "jitter_ratio",
    )
}


@dataclass(frozen=True, eq=False)
class Family:
    """A kind of answer to 2D keypoints, and the two backbones that give it.

    Attributes:
        name: as it is printed.
        single: heading of the backbone that sees one frame.
        several: heading of the one that sees several.
        build: returns a new backbone by its heading, in torch.
        size: numbers a joint in an answer.
        encode: from joints (T, 15, 3) in metres to an answer (T, J, size).
        decode: the other way.
    """

    name: str
    single: str
    several: str
    build: Callable[[str], nn.Module]
    size: int
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def _lifter(heading: str) -> nn.Module:
    from smpl_tools.experiments.networks.single_frame import SingleFrameLifter
    from smpl_tools.experiments.networks.temporal_convolutions import TemporalLifter

    build = SingleFrameLifter if heading == LIFTERS.single else TemporalLifter
    return build(2 * len(JOINTS), 3 * len(JOINTS))


def _regressor(heading: str) -> nn.Module:
    from smpl_tools.experiments.networks.rotation_regressor import RotationRegressor

    return RotationRegressor(2 * len(JOINTS), len(TURNING), recurrent=heading == REGRESSORS.several)


LIFTERS = Family("Positions", "1 frame", "27 frames", _lifter, 3, lambda joints: joints, lambda answer: answer)
REGRESSORS = Family(
    "6D rotations",
    "1 frame",
    "16 frames",
    _regressor,
    6,
    lambda joints: matrix_to_rotation_6d(joints_to_rotations(joints)),
    lambda rotation_6d: rotations_to_joints(rotation_6d_to_matrix(np.asarray(rotation_6d, np.float64))),
)
FAMILIES = (LIFTERS, REGRESSORS)

DIFFERS = (
    "the paper trains FCN and VideoPose, 1024 wide, on Human3.6M, and VIBE on 3DPW and more, with features of pictures "
    "for its input; here networks of their construction, 256 wide, learn from the 2D keypoints that MediaPipe found in "
    f"its static mode in the paired training clips, seen in a mirror too, for {EPOCHS} epochs. All, also those of one "
    f"frame, are trained on runs of {WINDOW} frames, so that the same loss on second differences (weight "
    f"{ACCELERATION:g}) can be taken. The people are few and seen from all around, and the errors larger than the "
    "paper's. Rotations are those of one small skeleton, fitted to the true joints; the truth they are judged by is "
    "that skeleton's. In VIBE's place stands a perceptron with a GRU over 16 frames, or without it."
)
PROTOCOL = (
    "2D keypoints of the static mode in; {split}, 15 joints, hip-centred, 30 frames a second. On the validation clips "
    "the truth's own mean acceleration is {accel:.1f} mm/frame²."
)


def examples(bench: Bench, clips: Sequence[PairedClip], family: Family, mirrored: bool = False) -> list[Example]:
    """Return 2D keypoints, the picture spanning [-1, 1], and the answers wanted, of the static clips among ``clips``.

    Args:
        bench: says where the files are.
        clips: paired clips with joints (T, 15, 3).
        family: says how joints become an answer.
        mirrored: add every clip seen in a mirror.

    Raises:
        ValueError: a file has no 2D keypoints.
    """
    static = [clip for clip in clips if clip.mode == "static"]
    found = []
    for clip, image in zip(static, image_clips(bench, static), strict=True):
        points = raw(image) / _HALF_PICTURE - 1
        found.append(_example(clip.name, points, clip.groundtruth, family))
        if mirrored:
            truth = clip.groundtruth[:, OTHER_SIDE] * [-1, 1, 1]
            found.append(_example(clip.name, points[:, OTHER_SIDE] * [-1, 1], truth, family))
    return found


def _example(name: str, points: Any, joints: Any, family: Family) -> Example:
    inputs, truth = (np.reshape(a, (len(a), -1)).astype(np.float32) for a in (points, family.encode(joints)))
    return Example(name, inputs, truth)


def true_clips(family: Family, found: Sequence[Example]) -> list[PairedClip]:
    """Return clips that refiners made by :func:`answering` are judged on: the joints that the examples stand for."""
    clips = []
    for example in found:
        joints = _joints(family, example.truth)
        confidence = np.ones(joints.shape[:2], np.float32)
        clips.append(PairedClip(example.name, family.name, "", 30.0, joints, joints, confidence))
    return clips


def answering(family: Family, answers: Answers) -> Refiner:
    """Return the refiner that puts the joints of an answer in the place of a clip's estimate."""
    return lambda clip: _joints(family, answers[clip.name])


def refining(family: Family, answers: Answers, refiner: Refiner) -> Refiner:
    """Return the refiner that refines an answer as what it is, positions or rotations, and returns its joints."""

    def refined(clip: PairedClip) -> Any:
        answer = answers[clip.name]
        own = dataclasses.replace(clip, estimate=answer.reshape(len(answer), -1, family.size))
        own = dataclasses.replace(own, confidence=np.ones(own.estimate.shape[:2], np.float32))
        return _joints(family, np.asarray(refiner(own)))

    return refined


def true_acceleration(family: Family, found: Sequence[Example]) -> float:
    """Return the mean acceleration in mm/frame² of the joints that examples stand for."""
    lengths = [np.linalg.norm(np.diff(clip.groundtruth, 2, axis=0), axis=-1) for clip in true_clips(family, found)]
    return 1000 * float(np.concatenate(lengths).mean())


def train_backbone(
    bench: Bench,
    family: Family,
    heading: str,
    training: Sequence[Example],
    acceleration: float = 0.0,
    each_epoch: Callable[[nn.Module], object] = lambda network: None,
) -> nn.Module:
    """Train one of the family's backbones; ``each_epoch`` is called with it, in evaluation mode, after every epoch."""
    network: Any = seeded(lambda: family.build(heading))
    loss = absolute_loss(acceleration)
    train_network(bench, network, training, loss, margin=network.margin, each_epoch=each_epoch)
    return network


def answers_of(network: Any, found: Sequence[Example]) -> Answers:
    """Return what a backbone answers to the examples."""
    return {example.name: predict(network, example.inputs, network.margin) for example in found}


def _joints(family: Family, answer: Any) -> Any:
    return np.asarray(family.decode(np.reshape(answer, (len(answer), -1, family.size))), np.float32)
