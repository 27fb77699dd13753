"""What refining a track means, written a second time: float64, plain loops over windows, nothing of the engines.

Also random weights of every size, as models that :func:`smoothnet_core.refine` takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smoothnet_core.model import Model


def published_model(window=32, hidden=512, bottleneck=16, blocks=1, hop=1, seed=0):
    """Random weights of the published network, as large as torch draws them: uniform in +-1/sqrt(inputs)."""
    rng = np.random.default_rng(seed)
    layers = {"encoder.0": (hidden, window), "decoder": (window, hidden)}
    for i in range(blocks):
        layers |= {f"res_blocks.{i}.linear1": (bottleneck, hidden), f"res_blocks.{i}.linear2": (hidden, bottleneck)}
    tensors = {}
    for name, (outputs, inputs) in layers.items():
        # The last layer's bias is small, so that what is measured is not a constant.
        reach = inputs**-0.5
        tensors[f"{name}.weight"] = rng.uniform(-2 * reach, 2 * reach, (outputs, inputs)).astype(np.float32)
        tensors[f"{name}.bias"] = rng.uniform(-reach, reach, outputs).astype(np.float32)
    sizes = {"hidden": hidden, "bottleneck": bottleneck, "blocks": blocks}
    return Model("random published", tensors, {"architecture": "smoothnet", "window": window, "hop": hop, **sizes})


def vector_shapes(window, probes, hidden, filters):
    """Return the shapes of the tensors of our own network, by name."""
    return {
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


def vector_model(window=32, probes=24, hidden=20, filters=16, hop=8, seed=0):
    """Random weights of our own network; what they change is about as large as what they are given."""
    rng = np.random.default_rng(seed)
    shapes = vector_shapes(window, probes, hidden, filters)
    scale = {"layer1.weight": (probes + 2 * window) ** -0.5, "layer2.weight": hidden**-0.5, "gain.weight": hidden**-0.5}
    scale |= {"probe": window**-0.5, "analysis": window**-0.5, "synthesis": filters**-0.5}
    tensors = {name: rng.normal(0, scale.get(name, 0.3), shape).astype(np.float32) for name, shape in shapes.items()}
    sizes = {"window": window, "probes": probes, "hidden": hidden, "filters": filters}
    metadata = {"architecture": "vector_filter", "window": window, "hop": hop, "fps": 30.0, "sizes": sizes}
    return Model("random vectors", tensors, metadata)


def refined(model, track, hop=None, blend=None, confidence=None, position=True):
    """Return (T, N, D) float64 what refining (T, N, D) at strength 1 and the model's own frame rate is.

    ``confidence`` is (T, N) or None; NaN in the track is what nobody observed. With ``position`` the published network
    sees numbers relative to their mean over the take.
    """
    hop = hop or model.hop
    published = model.architecture == "smoothnet"
    blend = blend or ("uniform" if published else "taper")
    observed = np.isfinite(track).all(axis=2)
    values = filled(np.asarray(track, np.float64), observed)
    trust = observed * (np.ones(observed.shape) if confidence is None else confidence)
    if len(values) == 1:
        return values
    quality = np.stack([trust, observed], axis=2).astype(np.float64)
    offset = values.mean(axis=0) if published and position else 0.0
    run = _published if published else _vectors
    return _blended(model, run, values - offset, quality, hop, blend) + offset


def filled(values, observed):
    """Return the track with straight lines over what was not observed, its ends held.

    A joint that no frame shows is the mean of the others.
    """
    values = values.copy()
    time = np.arange(len(values))
    shown = observed.any(axis=0)
    for n in np.flatnonzero(shown):
        seen = observed[:, n]
        for d in range(values.shape[2]):
            values[:, n, d] = np.interp(time, time[seen], values[seen, n, d])
    values[:, ~shown] = values[:, shown].mean(axis=1, keepdims=True)
    return values


def starts(frames, window, hop):
    """Return the first frame of every window: every ``hop`` frames, and one that ends with the track."""
    first = list(range(0, frames - window + 1, hop))
    return first if first[-1] + window == frames else [*first, frames - window]


def _blended(model, run, values, quality, hop, blend):
    window, frames = model.window, len(values)
    missing = max(0, window - frames)
    before = missing // 2
    at = range(-before, frames + missing - before)
    track = np.array([_beyond(values, t, True) for t in at]) if missing else values
    sure = np.array([_beyond(quality, t, False) for t in at]) if missing else quality
    weights = np.ones(window) if blend == "uniform" else np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2
    total, norm = np.zeros(track.shape), np.zeros(len(track))
    tensors = {name: tensor.astype(np.float64) for name, tensor in model.tensors.items()}
    first = starts(len(track), window, hop)
    step = max(1, 2048 // track.shape[1])
    for block in (np.array(first[i : i + step]) for i in range(0, len(first), step)):
        out = run(tensors, track[block[:, None] + np.arange(window)], sure[block[:, None] + np.arange(window)])
        for k in range(window):
            # With windows that fade in, the one aligned with the end leaves its first frame to the others.
            own = np.where((block % hop != 0) & (k == 0) & (blend == "taper"), 0, weights[k])
            total[block + k] += own[:, None, None] * out[:, k]
            norm[block + k] += own
    return (total / norm[:, None, None])[before : before + frames]


def _beyond(values, t, odd):
    """Return what stands at frame ``t`` of a track that is mirrored (``odd``: about a point) at each of its ends."""
    last = len(values) - 1
    if t < 0:
        inside = _beyond(values, -t, odd)
        return 2 * values[0] - inside if odd else inside
    if t > last:
        inside = _beyond(values, 2 * last - t, odd)
        return 2 * values[last] - inside if odd else inside
    return values[t]


def _published(tensors, windows, quality):
    """Return what the published network makes of windows (M, W, N, D), each number by itself."""

    def layer(name, x):
        return (
            np.einsum("oi,mind->mond", tensors[f"{name}.weight"], x, optimize=True)
            + (tensors[f"{name}.bias"][:, None, None])
        )

    def leaky(x, slope):
        return np.where(x > 0, x, slope * x)

    hidden = leaky(layer("encoder.0", windows), 0.1)
    for i in range(sum(name.endswith("linear1.bias") for name in tensors)):
        narrow = leaky(layer(f"res_blocks.{i}.linear1", hidden), 0.2)
        hidden = hidden + leaky(layer(f"res_blocks.{i}.linear2", narrow), 0.2)
    return layer("decoder", hidden)


def _vectors(tensors, windows, quality):
    """Return what our own network makes of windows (M, W, N, D) and their quality (M, W, N, 2)."""

    def along(matrix, x):
        return np.einsum("ki,mind->mknd", matrix, x, optimize=True)

    def layer(name, x):
        return np.einsum("oi,min->mon", tensors[f"{name}.weight"], x) + tensors[f"{name}.bias"][:, None]

    centred = windows - windows.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).sum(axis=3).mean(axis=1))[:, None]
    spread[spread == 0] = 1.0
    lengths = np.sqrt((along(tensors["probe"], centred) ** 2).sum(axis=3) + 1e-12 * spread**2) / spread
    # Confidence and observed take turns, frame after frame.
    sure = quality.transpose(0, 1, 3, 2).reshape(len(quality), -1, quality.shape[2])
    hidden = np.maximum(layer("layer1", np.concatenate([np.log(lengths + 1e-2), sure], axis=1)), 0)
    gains = layer("gain", np.maximum(layer("layer2", hidden), 0))
    return windows + along(tensors["synthesis"], gains[..., None] * along(tensors["analysis"], centred))


def motion(frames, joints, size, seed=0, dtype: type = np.float64, gaps: Sequence[tuple[int, int, int]] = ()):
    """Return (T, N, D) that swings slowly with a little jitter, of size about 1; ``gaps`` are (joint, start, stop)."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None]
    phase = rng.uniform(0, 2 * np.pi, (3, joints, size))
    rates = rng.uniform(0.01, 0.3, (3, joints, size))
    track = sum(np.sin(rates[k] * time + phase[k]) for k in range(3)) / 3 + 0.05 * rng.normal(
        size=(frames, joints, size)
    )
    track = np.asarray(track, dtype)
    for joint, start, stop in gaps:
        track[start:stop, joint] = np.nan
    return track
