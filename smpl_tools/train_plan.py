"""What ``smoothnet train`` is told: a configuration in YAML, checked before anything is read or computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from smoothnet_core._checks import mismatch, one_of, require
from smoothnet_core.models.sizes import SIZES
from smoothnet_core.training.batches import Mix
from smoothnet_core.training.settings import SETTINGS, Settings, numbers_from
from smpl_tools.formats._files import reason
from smpl_tools.selection import Selection, selection_from

_PRESETS = Path(__file__).parent / "presets"
_TEXTS = ("name", "version", "about", "data", "licence")
_NEEDED = (*_TEXTS, "architecture", "recipe", "sources", "validation")
_OPTIONAL = ("sizes", "training", "mix", "select", "shards", "parts")


@dataclass(frozen=True)
class Plan:
    """A checked configuration, every default filled in.

    Attributes:
        name: of the weights.
        version: of the weights.
        about: one line on what they are, for lists and the model card.
        data: one line on what they are trained on, for the metadata.
        licence: one line on the weights' terms.
        architecture: a key of ``smoothnet_core.models.sizes.SIZES``.
        recipe: ``crops``, ``ends``, ``windows`` (the paper's), ``hits``, ``bodies``: as
            :mod:`smoothnet_core.training.recipes` says.
        sources: of training data, see :func:`smpl_tools.sources.read_sources`.
        validation: of the data that the model card's scores are taken on, likewise.
        select: how the best checkpoint is found; None takes the last.
        sizes: of the network.
        training: settings of the recipe.
        mix: of the sources of crops; None for the other recipes.
        shards: into which the sources are dealt out, to be read one after the other; 1 reads all at once.
        parts: of every batch, see :class:`smoothnet_core.training.shards.Share`; 0 for as many as processes.
    """

    name: str
    version: str
    about: str
    data: str
    licence: str
    architecture: str
    recipe: str
    sources: list[dict[str, Any]]
    validation: list[dict[str, Any]]
    select: Selection | None
    sizes: Any
    training: Any
    mix: Mix | None
    shards: int = 1
    parts: int = 0

    def resolved(self) -> dict[str, Any]:
        """Return the configuration that makes this plan, with nothing left to defaults."""
        content = asdict(self)
        content["select"] = content["select"] or "none"
        if self.mix is None:
            del content["mix"]
        if self.shards == 1:
            del content["shards"]
        if self.parts <= 1:
            del content["parts"]
        return content

    def as_yaml(self) -> str:
        """Return :meth:`resolved` as YAML."""
        yaml = require("yaml", "train")
        return yaml.safe_dump(self.resolved(), sort_keys=False, allow_unicode=True, width=110)


def read_plan(path: Path) -> Plan:
    """Read a configuration.

    Raises:
        ValueError: not YAML, or a key is missing, unknown or of the wrong type; one line with the path.
        MissingExtraError: PyYAML is not installed.
    """
    yaml = require("yaml", "train")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise mismatch(f"{path}", "a YAML file", reason(error)) from None
    try:
        return plan_from(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def plan_from(content: Any) -> Plan:
    """Return the plan of a configuration's content, as :meth:`Plan.resolved` gives it or with defaults left out.

    Raises:
        ValueError: a key is missing, unknown or of the wrong type.
    """
    if not isinstance(content, Mapping):
        raise mismatch("configuration", "keys with values", repr(content))
    for key in content:
        one_of("key", key, (*_NEEDED, *_OPTIONAL))
    if missing := [key for key in _NEEDED if key not in content]:
        raise mismatch("keys", "also " + ", ".join(missing), ", ".join(content) or "none")
    for key in _TEXTS:
        if not isinstance(content[key], str):
            raise mismatch(key, "text", repr(content[key]))
    architecture = one_of("architecture", content["architecture"], SIZES)
    recipe = one_of("recipe", content["recipe"], SETTINGS)
    if (architecture == "body_aware") != (recipe == "bodies"):
        raise mismatch("recipe", "bodies for body_aware, and for that alone", f"{recipe} for {architecture}")
    sizes: Any = numbers_from(SIZES[architecture], content.get("sizes", {}), "size")
    training: Any = numbers_from(SETTINGS[recipe], content.get("training", {}), "training setting")
    if training.hop > sizes.window:
        raise mismatch("training setting hop", f"at most the window, {sizes.window} frames", training.hop)
    if isinstance(training, Settings) and training.crop < sizes.window:
        raise mismatch("training setting crop", f"at least the window, {sizes.window} frames", training.crop)
    for key in ("sources", "validation"):
        if not isinstance(content[key], list) or not content[key]:
            raise mismatch(key, "a list of sources", repr(content[key]))
    with_mix = recipe in ("crops", "ends")
    if not with_mix:
        takes = "clean motion" if recipe == "hits" else "pairs"
        if "mix" in content:
            raise mismatch("mix", f"none with the recipe {recipe}, which takes {takes} only", repr(content["mix"]))
        for kind in [source.get("kind") for source in content["sources"] if isinstance(source, Mapping)]:
            if (kind == "clean") != (recipe == "hits"):
                raise mismatch("sources", f"{takes} alone with the recipe {recipe}", f"one of the kind {kind}")
    counts = {"shards": content.get("shards", 1), "parts": content.get("parts", 0)}
    for key, value in counts.items():
        if key in content and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise mismatch(key, "a positive whole number", repr(value))
    select = selection_from(content.get("select"))
    if counts["shards"] > 1 and select is not None and isinstance(select.subjects, str):
        expected = "none, or subjects by name, where the data are read in shards"
        raise mismatch("select", expected, repr(content.get("select")))
    if recipe == "hits" and select is not None:
        raise mismatch("select", "none with the recipe hits, which keeps no subjects back", repr(content.get("select")))
    return Plan(
        **{key: content[key] for key in _NEEDED},
        select=select,
        sizes=sizes,
        training=training,
        mix=numbers_from(Mix, content.get("mix", {}), "mix") if with_mix else None,
        **counts,
    )


def preset_names() -> list[str]:
    """Return the names of the configurations that come with the package."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def read_preset(name: str) -> Plan:
    """Return a configuration that comes with the package.

    Raises:
        ValueError: there is none of this name.
        MissingExtraError: PyYAML is not installed.
    """
    return read_plan(_PRESETS / f"{one_of('preset', name, preset_names())}.yaml")
