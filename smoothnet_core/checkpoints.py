"""Weights in and out: the published checkpoints, and our own safetensors files.

A file of ours is a safetensors file whose metadata have one entry, ``smoothnet``, a JSON object. It has at least
``architecture``, ``window`` and ``hop`` (frames); the paper's networks also state ``hidden``, ``bottleneck`` and
``blocks``, the body-aware one the joints it knows. Body-aware weights also hold the network that refines joint by joint
before them: its tensors by names that begin with ``first.``, its metadata as the entry ``first``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import safe_open

from smoothnet_core._checks import mismatch, one_of
from smoothnet_core._reading import one_line, reading
from smoothnet_core._writing import replace_file
from smoothnet_core.torch_files import load_torch

Array = NDArray[np.float32]

_ENTRY = "smoothnet"
# What the names of the tensors begin with that refine before a body-aware network.
FIRST = "first."
_BLOCK_NAME = re.compile(r"res_blocks\.(\d{1,4})\.")


@dataclass(frozen=True, eq=False)
class Weights:
    """A network's tensors and what is known about them.

    Attributes:
        tensors: float32 arrays by name, all finite.
        metadata: values that JSON can hold; at least ``architecture`` (str), ``window`` and ``hop`` (frames).
    """

    tensors: dict[str, Array]
    metadata: dict[str, Any]


def published_sizes(tensors: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Return ``window`` T, ``hidden`` H, ``bottleneck`` R and ``blocks`` B of the published network's tensors.

    Raises:
        ValueError: a name is missing or unknown, or a shape does not fit the others.
    """
    blocks = len({match[1] for name in tensors if (match := _BLOCK_NAME.match(name))})
    names = {f"res_blocks.{i}.linear{n}.{kind}" for i in range(blocks) for n in (1, 2) for kind in ("weight", "bias")}
    names |= {"encoder.0.weight", "encoder.0.bias", "decoder.weight", "decoder.bias"}
    if not blocks:
        names.add("res_blocks.0.linear1.weight")
    if missing := sorted(names - set(tensors)):
        raise mismatch("names of the weights", "also " + ", ".join(missing), ", ".join(sorted(tensors)) or "none")
    if extra := sorted(set(tensors) - names):
        raise mismatch("names of the weights", "only those of the published network", "also " + ", ".join(extra))
    encoder, narrow = tensors["encoder.0.weight"], tensors["res_blocks.0.linear1.weight"]
    for name, weight in (("encoder.0.weight", encoder), ("res_blocks.0.linear1.weight", narrow)):
        if weight.ndim != 2 or 0 in weight.shape:
            raise mismatch(name, "a matrix", f"shape {weight.shape}")
    (hidden, window), bottleneck = encoder.shape, narrow.shape[0]
    shapes = {"encoder.0": (hidden, window), "decoder": (window, hidden)}
    for i in range(blocks):
        shapes[f"res_blocks.{i}.linear1"] = (bottleneck, hidden)
        shapes[f"res_blocks.{i}.linear2"] = (hidden, bottleneck)
    for layer, shape in shapes.items():
        for name, expected in ((f"{layer}.weight", shape), (f"{layer}.bias", shape[:1])):
            if tensors[name].shape != expected:
                raise mismatch(name, f"shape {expected}", tensors[name].shape)
    return {"window": window, "hidden": hidden, "bottleneck": bottleneck, "blocks": blocks}


# Parts of the motion-aware variant, each a published network with as many frames fewer.
_BRANCHES = {"position": 0, "velocity": 1, "acceleration": 2}


def branch(tensors: Mapping[str, NDArray[Any]], name: str) -> dict[str, NDArray[Any]]:
    """Return the tensors of the branch ``name`` of the motion-aware variant, by their published names."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def motion_aware_sizes(tensors: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Return ``window``, ``hidden``, ``bottleneck`` and ``blocks`` of the motion-aware variant's tensors.

    Raises:
        ValueError: a name is missing or unknown, or a shape does not fit the others.
    """
    fused = ("fuse.weight", "fuse.bias")
    others = sorted(name for name in tensors if name not in fused and name.split(".")[0] not in _BRANCHES)
    if others or not all(name in tensors for name in fused):
        raise mismatch("names of the weights", ", ".join((*_BRANCHES, *fused)), ", ".join(others) or "no fuse")
    position = published_sizes(branch(tensors, "position"))
    for name, fewer in _BRANCHES.items():
        sizes, expected = published_sizes(branch(tensors, name)), position | {"window": position["window"] - fewer}
        if sizes != expected:
            raise mismatch(f"sizes of the branch {name}", expected, sizes)
    window = position["window"]
    for name, shape in (("fuse.weight", (window, 3 * window - 3)), ("fuse.bias", (window,))):
        if tensors[name].shape != shape:
            raise mismatch(name, f"shape {shape}", tensors[name].shape)
    return position


def _validate_published(weights: Weights) -> None:
    _validate_sizes(weights, published_sizes(weights.tensors))


def _validate_motion_aware(weights: Weights) -> None:
    _validate_sizes(weights, motion_aware_sizes(weights.tensors))


def _validate_sizes(weights: Weights, sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        if weights.metadata.get(name) != size:
            raise mismatch(f"metadata entry {name!r}", f"{size}, as the tensors say", repr(weights.metadata.get(name)))


def _validate_vector_filter(weights: Weights) -> None:
    tensors, sizes = weights.tensors, weights.metadata.get("sizes")
    names = ("probes", "hidden", "filters")
    if not isinstance(sizes, dict) or not all(type(sizes.get(name)) is int for name in names):
        raise mismatch("metadata entry 'sizes'", "the whole numbers " + ", ".join(names), repr(sizes))
    window, (probes, hidden, filters) = weights.metadata["window"], (sizes[name] for name in names)
    shapes = {
        "probe": (probes, window),
        "layer1.weight": (hidden, probes + 2 * window),
        "layer1.bias": (hidden,),
        "layer2.weight": (hidden, hidden),
        "layer2.bias": (hidden,),
        "gain.weight": (filters, hidden),
        "gain.bias": (filters,),
        "analysis": (filters, window),
        "synthesis": (window, filters),
    }
    _validate_shapes(tensors, shapes)


def _validate_robust_fit(weights: Weights) -> None:
    # Here, since with it comes the BLAS, which reading needs not.
    from smoothnet_core.inference.robust_fit_numpy import BANDWIDTHS, DILATIONS, KEPT_LINES, SMOOTHINGS, probes

    sizes = weights.metadata.get("sizes")
    if not isinstance(sizes, dict) or not all(type(sizes.get(name)) is int for name in ("hidden", "rounds")):
        raise mismatch("metadata entry 'sizes'", "the whole numbers hidden, rounds", repr(sizes))
    hidden, rounds, fits = sizes["hidden"], sizes["rounds"], len(BANDWIDTHS)
    seen = len(probes()) + KEPT_LINES
    layers = {
        "calm.0": (hidden, seen + 4 * fits, 1),
        "calm.1": (hidden, hidden, 1),
        "calm.2": (len(SMOOTHINGS) + 1, hidden, 1),
    }
    for i in range(rounds + 1):
        told = 1 if i == 0 else 2 * fits if i == rounds else fits
        layers |= {
            f"trust.{i}.enter": (hidden, seen + (2 * fits if i else 0), 3),
            f"trust.{i}.leave": (told, hidden, 1),
        }
        layers |= {f"trust.{i}.layers.{k}": (hidden, hidden, 3) for k in range(len(DILATIONS))}
    shapes: dict[str, tuple[int, ...]] = {f"{layer}.weight": shape for layer, shape in layers.items()}
    shapes |= {f"{layer}.bias": shape[:1] for layer, shape in layers.items()}
    shapes |= {"probe": probes().shape, "bandwidths": (fits,), "smoothings": (len(SMOOTHINGS),), "sharpness": (rounds,)}
    _validate_shapes(weights.tensors, shapes)


def _validate_shapes(tensors: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]) -> None:
    if set(tensors) != set(shapes):
        raise mismatch("names of the weights", ", ".join(shapes), ", ".join(sorted(tensors)))
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise mismatch(name, f"shape {shape}", tensors[name].shape)


def _validate_body_aware(weights: Weights) -> None:
    metadata = weights.metadata
    sizes, joints, root, swap = (metadata.get(name) for name in ("sizes", "joints", "root", "swap"))
    if not isinstance(sizes, dict) or not all(type(sizes.get(name)) is int for name in ("hidden", "blocks")):
        raise mismatch("metadata entry 'sizes'", "the whole numbers hidden, blocks", repr(sizes))
    named = isinstance(joints, list) and all(isinstance(joint, str) for joint in joints)
    if not named or not joints or len(set(joints)) < len(joints):
        raise mismatch("metadata entry 'joints'", "a list of different names", repr(joints))
    if not isinstance(root, list) or not root or not all(type(i) is int and 0 <= i < len(joints) for i in root):
        raise mismatch("metadata entry 'root'", f"a list of indices below {len(joints)}", repr(root))
    if not isinstance(swap, list) or not _exchanges(swap, len(joints)):
        raise mismatch("metadata entry 'swap'", "each joint's counterpart on the other side, by index", repr(swap))
    _validate_first(weights)
    hidden, numbers = sizes["hidden"], 3 * len(joints)
    layers = {"encoder": (hidden, 6 * len(joints), 3), "decoder": (numbers, hidden, 1)}
    for i in range(sizes["blocks"]):
        layers |= {f"blocks.{i}.wide": (hidden, hidden, 3), f"blocks.{i}.narrow": (hidden, hidden, 1)}
    shapes = {f"{layer}.weight": shape for layer, shape in layers.items()}
    own, _ = parted(weights.tensors)
    _validate_shapes(own, shapes | {f"{layer}.bias": shape[:1] for layer, shape in layers.items()})


def parted(tensors: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return a network's own tensors, and those of the network before it by their names there."""
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith(FIRST)}
    return own, {name[len(FIRST) :]: tensor for name, tensor in tensors.items() if name.startswith(FIRST)}


def _exchanges(swap: list[Any], count: int) -> bool:
    whole = len(swap) == count and all(type(i) is int and 0 <= i < count for i in swap)
    return whole and all(swap[swap[i]] == i for i in range(count))


def _validate_first(weights: Weights) -> None:
    first = weights.metadata.get("first")
    if not isinstance(first, dict) or first.get("architecture") != "vector_filter":
        raise mismatch("metadata entry 'first'", "the metadata of a vector_filter network", one_line(first, 80))
    if first.get("fps") != weights.metadata.get("fps"):
        expected = f"fps {weights.metadata.get('fps')}, as the network's own"
        raise mismatch("metadata entry 'first'", expected, f"fps {first.get('fps')}")
    _, tensors = parted(weights.tensors)
    with _named("network before the body-aware one"):
        _check(Weights(tensors, first))


# By architecture: what the networks must be made of.
_VALIDATE: dict[str, Callable[[Weights], None]] = {
    "smoothnet": _validate_published,
    "motion_aware": _validate_motion_aware,
    "vector_filter": _validate_vector_filter,
    "robust_fit": _validate_robust_fit,
    "body_aware": _validate_body_aware,
}


def read_published(path: str | os.PathLike[str]) -> Weights:
    """Read weights of the published network in a file of PyTorch's; nothing in it is run.

    Args:
        path: what the published trainer saves (``.pth.tar``: a dict with ``state_dict``), what MMPose and MMHuman3D
            save (``.pth``: likewise, with ``meta``), or a bare state dict. A prefix that all names share, such as
            ``module.`` of data-parallel training, is dropped.

    Raises:
        ValueError: the file is not that; one line with the path.
    """
    path = Path(path)
    saved = load_torch(path)
    state = saved.get("state_dict", saved) if isinstance(saved, dict) else saved
    with _named(path):
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise mismatch("content", "a dict of tensors by name", f"a {type(state).__name__}")
        # Checked before any is converted: a tensor may claim to be larger than the file.
        prefix = next(
            (name.removesuffix("encoder.0.weight") for name in state if name.endswith("encoder.0.weight")), ""
        )
        named = {name.removeprefix(prefix): value for name, value in state.items()}
        for name, value in named.items():
            if not isinstance(value, np.ndarray):
                raise mismatch(f"weights {name}", "a tensor", f"a {type(value).__name__}")
        sizes = published_sizes(named)
        tensors = {name: _as_float32(name, value) for name, value in named.items()}
    return Weights(tensors, {"architecture": "smoothnet", **sizes, "hop": 1, "fps": None, "source": "published"})


def read_safetensors(path: str | os.PathLike[str]) -> Weights:
    """Read weights that :func:`write_safetensors` wrote.

    Raises:
        ValueError: the file is damaged, lacks its metadata, or has tensors that do not fit; one line with the path.
    """
    path = Path(path)
    with reading(path, "safetensors file", "weights written by smoothnet"), safe_open(path, framework="numpy") as file:
        entries = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- the file itself has no iterator
    with _named(path):
        if _ENTRY not in entries:
            raise mismatch("metadata", f"an entry {_ENTRY!r}", ", ".join(sorted(entries)) or "none")
        try:
            metadata = json.loads(entries[_ENTRY])
        except (ValueError, RecursionError) as error:
            raise mismatch(f"metadata entry {_ENTRY!r}", "JSON", f"{entries[_ENTRY][:40]!r} ({error})") from None
        weights = Weights({name: _as_float32(name, value) for name, value in tensors.items()}, metadata)
        _check(weights)
    return weights


def write_safetensors(path: str | os.PathLike[str], weights: Weights) -> None:
    """Write weights to a safetensors file; the file appears complete or not at all.

    Raises:
        ValueError: the weights are not as :class:`Weights` says, or the file cannot be written; one line with the path.
    """
    path = Path(path)
    with _named(path):
        tensors = {name: _as_float32(name, value) for name, value in weights.tensors.items()}
        _check(Weights(tensors, weights.metadata))
        try:
            text = json.dumps(weights.metadata, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise mismatch("metadata", "values that JSON can hold", str(error)) from None
        content = safetensors.numpy.save(tensors, {_ENTRY: text})
    replace_file(path, content)


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Read weights of either kind, told apart by content.

    Raises:
        ValueError: as :func:`read_safetensors` or :func:`read_published`.
    """
    path = Path(path)
    with reading(path, "file of weights", "a safetensors or PyTorch file"), path.open("rb") as file:
        head = file.read(9)
        if not head:
            raise ValueError("the file is empty")
    # A safetensors file starts with the length of its JSON header in eight bytes.
    return read_safetensors(path) if head[8:] == b"{" else read_published(path)


@contextmanager
def _named(what: str | Path) -> Iterator[None]:
    """Put the path, or what it is, before the message of a ``ValueError`` from the block."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{what}: {one_line(error, 600)}") from error


def _as_float32(name: str, value: Any) -> Array:
    array = np.asarray(value)
    if not np.issubdtype(array.dtype, np.floating):
        raise mismatch(f"weights {name}", "floating-point numbers", array.dtype)
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        raise mismatch(f"weights {name}", "finite numbers", f"{np.count_nonzero(~np.isfinite(array))} that are not")
    return array


def _check(weights: Weights) -> None:
    metadata = weights.metadata
    if not isinstance(metadata, dict):
        raise mismatch("metadata", "a JSON object", f"a {type(metadata).__name__}")
    for name, kind, what in (("architecture", str, "text"), ("window", int, "frames"), ("hop", int, "frames")):
        if type(metadata.get(name)) is not kind:
            received = repr(metadata[name]) if name in metadata else "entries " + ", ".join(sorted(map(str, metadata)))
            raise mismatch(f"metadata entry {name!r}", what, received)
    if not 1 <= metadata["hop"] <= metadata["window"]:
        raise mismatch("metadata entry 'hop'", f"1 to {metadata['window']}", metadata["hop"])
    if not weights.tensors:
        raise mismatch("weights", "at least one tensor", "none")
    _VALIDATE[one_of("metadata entry 'architecture'", metadata["architecture"], _VALIDATE)](weights)
