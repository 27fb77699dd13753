"""What is timed on a GPU: networks, tracks, divisions of work; see cuda_inference.py."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import torch

from smoothnet_core.inference.triton_launch import Launch
from smoothnet_core.model import load_model

PAPER = 66.67e3
NETWORKS = ("published 512/16/1", "published 512/128/5", "default", "fast")
DEFAULT_HOP = {
    "published 512/16/1": 1, "published 512/128/5": 1, "default": 8, "fast": 16,
    "128/128/128": 8, "128/144/128": 8, "16/32/32": 16,
}  # fmt: skip
# Frames of 24 joints that take a few milliseconds.
LARGE = {
    "published 512/16/1": 100_000, "published 512/128/5": 20_000, "default": 1_000_000, "fast": 2_000_000,
    "128/128/128": 1_000_000, "128/144/128": 1_000_000, "16/32/32": 4_000_000,
}  # fmt: skip
# Vector filters by their probes, hidden units and filters: random weights take as long as trained ones.
SWEEP = {
    ("128/128/128", "bf16", 8): [
        Launch(64, 4), Launch(64, 4, piece=128), Launch(64, 4, piece=128, resident="wide"), Launch(128, 8, piece=128),
        Launch(128, 8, piece=128, resident="wide"), Launch(128, 8, piece=128, resident="all"),
        Launch(128, 8, piece=128, resident="all", steps=64, programs=2),
    ],
    ("128/144/128", "bf16", 8): [
        Launch(64, 4), Launch(64, 4, piece=32), Launch(128, 8, resident="all"),
        Launch(128, 8, piece=128, resident="all"),
    ],
    ("default", "bf16", 8): [Launch(128, 8, piece=128, resident="all")],
    ("16/32/32", "bf16", 16): [Launch(64, 4), Launch(64, 4, resident="all"), Launch(128, 4, resident="all")],
    ("published 512/16/1", "bf16", 1): [
        Launch(64, 4), Launch(64, 4, resident="all"), Launch(64, 4, piece=128, resident="all"),
        Launch(128, 8, piece=128, resident="all"),
    ],
    ("published 512/128/5", "bf16", 1): [Launch(128, 8), Launch(128, 8, piece=128)],
    ("published 512/16/1", "fp32", 1): [
        Launch(64, 4, halves=True), Launch(64, 4, piece=32, halves=True), Launch(128, 8, halves=True), Launch(128, 8),
    ],
    ("128/128/128", "fp32", 8): [
        Launch(64, 4, halves=True), Launch(128, 8, halves=True), Launch(128, 8, piece=128, halves=True),
    ],
    ("16/32/32", "fp32", 16): [Launch(64, 4, halves=True), Launch(64, 4, resident="all", halves=True)],
}  # fmt: skip


def network(name: str) -> tuple[str, dict[str, np.ndarray]]:
    if name == "published 512/128/5":
        rng = np.random.default_rng(0)
        shapes = {"encoder.0": (512, 32), "decoder": (32, 512)}
        for i in range(5):
            shapes[f"res_blocks.{i}.linear1"] = (128, 512)
            shapes[f"res_blocks.{i}.linear2"] = (512, 128)
        tensors = {f"{n}.weight": rng.normal(size=shape) / shape[1] ** 0.5 for n, shape in shapes.items()}
        tensors |= {f"{n}.bias": rng.normal(size=shape[0]) * 0.1 for n, shape in shapes.items()}
        return "smoothnet", {n: value.astype(np.float32) for n, value in tensors.items()}
    if name[0].isdigit():
        return "vector_filter", vector_filter(*map(int, name.split("/")))
    model = load_model("published-video" if name == "published 512/16/1" else name)
    return model.architecture, dict(model.tensors)


def vector_filter(probes: int, hidden: int, filters: int, window: int = 32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {
        "probe": (probes, window), "layer1.weight": (hidden, probes + 2 * window), "layer2.weight": (hidden, hidden),
        "gain.weight": (filters, hidden), "analysis": (filters, window), "synthesis": (window, filters),
    }  # fmt: skip
    tensors = {key: rng.normal(size=shape) / shape[1] ** 0.5 for key, shape in shapes.items()}
    tensors |= {f"{n}.bias": rng.normal(size=len(tensors[f"{n}.weight"])) * 0.1 for n in ("layer1", "layer2", "gain")}
    return {key: value.astype(np.float32) for key, value in tensors.items()}


def operations(name: str, size: int) -> float:
    """Of the matrix products of one window, of D numbers, or of ``size`` channels."""
    architecture, t = network(name)
    if architecture == "smoothnet":
        return 2.0 * size * sum(value.size for key, value in t.items() if key.endswith("weight"))
    lengths = len(t["probe"])
    products = size * (t["probe"].size + t["analysis"].size + t["synthesis"].size) + lengths * len(t["layer1.weight"])
    return 2.0 * (products + t["layer2.weight"].size + t["gain.weight"].size)


def windows_of(frames: int, window: int, hop: int) -> int:
    return (frames - window) // hop + 1 + bool((frames - window) % hop)


def walk(frames: int, joints: int, size: int, seed: int = 0, device: str = "cuda") -> torch.Tensor:
    """Tracks around the origin, of the extent of a person who moves and jitters."""
    generator = torch.Generator(device).manual_seed(seed)
    steps = torch.randn((frames, joints, size), generator=generator, device=device)
    return 0.5 * torch.sin(torch.cumsum(steps, dim=0) * 0.05) + 0.01 * steps


def cases(sweep: bool) -> list[dict]:
    if sweep:
        found = [
            {"network": n, "precision": p, "hop": hop, "launch": asdict(launch), "sweep": True}
            for (n, p, hop), launches in SWEEP.items()
            for launch in launches
        ]
    else:
        kinds = [(n, p, DEFAULT_HOP[n]) for n in NETWORKS for p in ("bf16", "fp32")]
        kinds += [("default", "bf16", 1), ("published 512/16/1", "bf16", 16)]
        found = [{"network": n, "precision": p, "hop": hop, "launch": None, "sweep": False} for n, p, hop in kinds]
    # What takes longest to compile is begun first.
    return sorted(found, key=lambda c: ("128/5" not in c["network"], c["precision"] != "fp32"))


def tracks_of(case: dict) -> list[tuple[int, int, int, bool]]:
    """The sizes of tracks that a case is checked at, and whether time is last in memory: each is compiled by itself."""
    large = (LARGE[case["network"]], 24, 3)
    if case["sweep"]:
        return [(*large, True)]
    sizes = [large, (300, 24, 3), (100_000, 17, 3), (419, 2, 3)]
    return [(*size, over_time) for size in sizes for over_time in (True, False)]


def title(case: dict) -> str:
    how = "tuned"
    if case["launch"] is not None:
        launch = case["launch"]
        how = " ".join(f"{k}={v}" for k, v in launch.items() if k not in ("programs",))
    return f"{case['network']}, {case['precision']}, hop {case['hop']}: {how}"


def stretches(frames: int, hop: int, rows: int) -> list[tuple[slice, slice]]:
    """Frames to check: the first, the last, and those around the border of two programs; and which of them count.

    Those near a cut lie in fewer windows than in the whole track.
    """
    length = 512
    if frames < 2 * length or frames % hop:
        return [(slice(0, min(frames, length)), slice(0, min(frames, length) - (64 if frames > length else 0)))]
    border = min((16 * rows - -(-32 // hop)) * hop, frames - length) - length // 2
    starts = [0, max(0, border // hop * hop), frames - length]
    return [
        (slice(start, start + length), slice(64 if start else 0, length - (64 if start < frames - length else 0)))
        for start in starts
    ]
