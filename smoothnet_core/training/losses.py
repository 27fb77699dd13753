"""What a refined track is judged by in training."""

from __future__ import annotations

import torch
from torch import Tensor

from smoothnet_core.training.settings import LossWeights, PublishedLossWeights


def lengths(vectors: Tensor) -> Tensor:
    """Return the lengths (...) of vectors (..., D), with a finite slope at zero."""
    return (vectors.square().sum(dim=-1) + 1e-8).sqrt()


def loss(refined: Tensor, groundtruth: Tensor, weights: LossWeights) -> Tensor:
    """Return the scalar loss of tracks (N, T, D) in metres.

    Position and acceleration errors as in SmoothNet (ECCV 2022), but as lengths of a joint's vector instead of one
    channel at a time, so that no direction is special. An error norm is lowest where the output hesitates between
    possible motions, that is, too slow; the third term charges for a root-mean-square speed other than the truth's,
    and, where the weights say so, more for one below it (a pinball loss: it aims at a quantile of the possible speeds).
    """
    error = refined - groundtruth
    position = lengths(error).mean()
    acceleration = lengths(error.diff(n=2, dim=1)).mean()
    missing = _speed(groundtruth) - _speed(refined)
    speed = (missing.clamp(min=0) - weights.too_fast * missing.clamp(max=0)).mean()
    return weights.position * position + weights.acceleration * acceleration + weights.speed * speed


def aligned_error(poses: Tensor, groundtruth: Tensor) -> Tensor:
    """Return the mean error of poses (N, J, 3) after the similarity that brings each nearest to the truth.

    The mean of PA-MPJPE over the poses, in the unit of the input (Umeyama, PAMI 1991). The similarity is taken as
    given: at its optimum the squared error has no slope in it, and its derivative is ill-conditioned for flat poses.
    """
    pose = poses - poses.mean(dim=1, keepdim=True)
    truth = groundtruth - groundtruth.mean(dim=1, keepdim=True)
    with torch.no_grad():
        left, values, right = torch.linalg.svd(pose.transpose(1, 2) @ truth)
        # Without mirroring: the weakest axis is turned where the best orthogonal matrix is no rotation.
        sign = torch.ones_like(values)
        sign[:, 2] = torch.sign(torch.linalg.det(left @ right))
        rotation = (left * sign[:, None]) @ right
        scale = (values * sign).sum(dim=1) / pose.square().sum(dim=(1, 2)).clamp(min=1e-12)
    return lengths(scale[:, None, None] * pose @ rotation - truth).mean()


def published_loss(refined: Tensor, groundtruth: Tensor, weights: PublishedLossWeights) -> Tensor:
    """Return the loss of SmoothNet (ECCV 2022) for windows (N, T, D): L1 of positions and of second differences.

    Both are means over all numbers; every coordinate counts by itself.
    """
    error = refined - groundtruth
    return weights.position * error.abs().mean() + weights.acceleration * error.diff(n=2, dim=1).abs().mean()


def _speed(track: Tensor) -> Tensor:
    return torch.sqrt(track.diff(dim=1).square().sum(dim=-1).mean(dim=1) + 1e-10)
