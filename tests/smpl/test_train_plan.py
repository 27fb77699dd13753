"""Configurations: what they say when read, what is refused, and the ones that come with the package."""

from __future__ import annotations

from dataclasses import replace

import pytest

yaml = pytest.importorskip("yaml")

from smoothnet_core import load_model  # noqa: E402 -- after the check that it can be imported
from smoothnet_core.models.sizes import BodySizes, PublishedSizes, Sizes  # noqa: E402
from smoothnet_core.training.settings import Settings, WindowSettings  # noqa: E402
from smpl_tools.train_plan import plan_from, preset_names, read_plan, read_preset  # noqa: E402
from tests.helpers import REPOSITORY, shared  # noqa: E402

MINIMAL = """
name: tiny
version: "1"
about: a small one
data: two clips
licence: none
architecture: smoothnet
recipe: windows
sources: [{kind: paired, folder: paired, splits: [train]}]
validation: [{kind: paired, folder: paired, splits: [val]}]
"""


def content(**changes):
    return {**yaml.safe_load(MINIMAL), **changes}


def test_what_is_left_out_has_its_default():
    plan = plan_from(content())
    assert plan.sizes == PublishedSizes()
    assert plan.training == WindowSettings()
    assert plan.mix is None
    assert plan.select is not None
    assert plan.select.subjects == "every third subject"
    assert plan.select.score == {"mpjpe_mm": 1.0, "accel_mm_per_frame2": 1.0}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"select": "none"},
        {"select": {"subjects": ["a", "b"], "score": {"speed_ratio": 3}}},
        {"architecture": "motion_aware", "sizes": {"window": 8}, "training": {"loss": {"acceleration": 1}}},
        {"architecture": "vector_filter", "recipe": "crops", "mix": {"clean": 0.5}, "training": {"crop": 40}},
        {"architecture": "vector_filter", "recipe": "ends", "mix": {"clean": 0.5}, "training": {"first": "default"}},
        {"recipe": "crops", "sources": [{"kind": "clean", "file": "x.npz"}]},
        {"architecture": "body_aware", "recipe": "bodies", "sizes": {"joints": "h36m_17", "hidden": 8}},
        {
            "architecture": "robust_fit",
            "recipe": "hits",
            "sizes": {"window": 60},
            "training": {"loss": {"acceleration": 2}},
            "sources": [{"kind": "clean", "file": "x.npz"}],
            "select": "none",
        },
    ],
)
def test_the_resolved_configuration_makes_the_same_plan(tmp_path, changes):
    plan = plan_from(content(**changes))
    path = tmp_path / "resolved.yaml"
    path.write_text(plan.as_yaml())
    assert read_plan(path) == plan
    assert plan_from(plan.resolved()) == plan
    # Nothing is left to defaults: every field of every part is there.
    resolved = yaml.safe_load(path.read_text())
    assert set(resolved["training"]) == set(vars(plan.training))
    assert set(resolved["sizes"]) == set(vars(plan.sizes))
    assert resolved["select"] == "none" or set(resolved["select"]) == {"subjects", "score"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": 3}, r"^name: expected text, received 3$"),
        (
            {"architecture": "gru"},
            r"^architecture: expected one of smoothnet, .*, vector_filter, robust_fit, body_aware, received 'gru'",
        ),
        ({"recipe": "cake"}, r"^recipe: expected one of crops, ends, windows, hits, bodies, received 'cake'$"),
        ({"step": 3}, r"^key: expected one of name, version, .*, parts, received 'step'$"),
        (
            {"sizes": {"windw": 8}},
            r"^size: expected one of window, hidden, bottleneck, blocks, dropout, received windw$",
        ),
        ({"sizes": {"window": 0}}, r"^size window: expected a positive number, received 0$"),
        ({"sizes": {"dropout": 1}}, r"^size dropout: expected at least 0 and below 1, received 1.0$"),
        ({"sizes": {"window": "long"}}, r"^size window: expected a number, received 'long'$"),
        ({"training": {"epochs": 0}}, r"^training setting epochs: expected a positive number, received 0$"),
        ({"training": {"hop": 33}}, r"^training setting hop: expected at most the window, 32 frames, received 33$"),
        ({"sources": []}, r"^sources: expected a list of sources, received \[\]$"),
        ({"validation": "val"}, r"^validation: expected a list of sources, received 'val'$"),
        ({"mix": {"clean": 1}}, r"^mix: expected none with the recipe windows, .*, received \{'clean': 1\}$"),
        (
            {"sources": [{"kind": "clean", "file": "x.npz"}]},
            r"^sources: expected pairs alone with the recipe windows, received one of the kind clean$",
        ),
        (
            {"recipe": "hits", "training": {"hop": 16}, "select": "none"},
            r"^sources: expected clean motion alone with the recipe hits, received one of the kind paired$",
        ),
        (
            {"recipe": "hits", "training": {"hop": 16}, "sources": [{"kind": "clean", "file": "x.npz"}]},
            r"^select: expected none with the recipe hits, which keeps no subjects back, received None$",
        ),
        (
            {"recipe": "crops", "training": {"crop": 20}},
            r"^training setting crop: expected at least the window, 32 frames, received 20$",
        ),
        (
            {"architecture": "body_aware"},
            r"^recipe: expected bodies for body_aware, and for that alone, received windows for body_aware$",
        ),
        (
            {"recipe": "bodies"},
            r"^recipe: expected bodies for body_aware, and for that alone, received bodies for smoothnet$",
        ),
        (
            {"architecture": "body_aware", "recipe": "bodies", "sizes": {"joints": "coco_17"}},
            r"^size joints: expected one of mediapipe_15, h36m_17, smpl_24, received 'coco_17'$",
        ),
        (
            {"architecture": "body_aware", "recipe": "bodies", "sizes": {"joints": 15}},
            r"^size joints: expected text, received 15$",
        ),
        (
            {"architecture": "body_aware", "recipe": "bodies", "sizes": {"hidden": 0}},
            r"^size hidden: expected a positive number, received 0$",
        ),
        (
            {"architecture": "body_aware", "recipe": "bodies", "mix": {}},
            r"^mix: expected none with the recipe bodies, which takes pairs only, received \{\}$",
        ),
        ({"select": 3}, r"^select: expected none, or the keys subjects and score, received 3$"),
        ({"select": {"subject": []}}, r"^select, key: expected one of subjects, score, received 'subject'$"),
        (
            {"select": {"subjects": "all"}},
            r"^select subjects: expected 'every third subject' or a list of names, received 'all'$",
        ),
        ({"select": {"subjects": []}}, r"^select subjects: expected 'every third .* a list of names, received \[\]$"),
        ({"select": {"score": {}}}, r"^select score: expected weights by measure, received \{\}$"),
        ({"select": {"score": {"pck": 1}}}, r"^select score: expected one of mpjpe_mm, .*, received 'pck'$"),
        ({"select": {"score": {"mpjpe_mm": -1}}}, r"^select score mpjpe_mm: expected a positive number, received -1$"),
    ],
)
def test_refused_contents(changes, message):
    with pytest.raises(ValueError, match=message):
        plan_from(content(**changes))


def test_missing_keys_are_named():
    given = content()
    del given["recipe"], given["data"]
    with pytest.raises(ValueError, match=r"^keys: expected also data, recipe, received name, version, .*, validation$"):
        plan_from(given)
    with pytest.raises(ValueError, match=r"^configuration: expected keys with values, received \['name'\]$"):
        plan_from(["name"])


def test_refused_files_are_named(tmp_path):
    path = tmp_path / "c.yaml"
    with pytest.raises(ValueError, match=rf"^{path}: expected a YAML file, received No such file or directory$"):
        read_plan(path)
    path.write_text("name: [tiny")
    with pytest.raises(ValueError, match=rf"^{path}: expected a YAML file, received ") as refused:
        read_plan(path)
    assert "\n" not in str(refused.value)
    path.write_text(MINIMAL.replace("windows", "doors"))
    with pytest.raises(
        ValueError, match=rf"^{path}: recipe: expected one of crops, ends, windows, hits, bodies, received 'doors'$"
    ):
        read_plan(path)
    # YAML can name Python objects; they are refused, not made.
    path.write_text("name: !!python/object/apply:os.getcwd []")
    with pytest.raises(ValueError, match=rf"^{path}: expected a YAML file, received "):
        read_plan(path)


def test_presets():
    published = {name: read_preset(name) for name in preset_names() if name.startswith("published")}
    windows = {name: plan.sizes.window for name, plan in published.items()}
    by_mode = {"published-static": "static", "published-video": "video", "published-smoothed": "video smoothed"}
    sizes = {"published": 32, "published-8": 8, "published-16": 16, "published-64": 64}
    assert windows == sizes | dict.fromkeys(by_mode, 32)
    for name, mode in by_mode.items():
        (source,) = published[name].sources
        assert source["modes"] == [mode]
        assert published[name].training == published["published"].training
    for name, plan in (published | {"motion-aware": read_preset("motion-aware")}).items():
        assert plan.name == name
        assert plan.sizes == PublishedSizes(plan.sizes.window, 512, 16, 1, 0.5)
        assert plan.training == WindowSettings(30.0, 1, 70, 128, 1e-4, 0.95)
        assert plan.architecture == ("motion_aware" if name == "motion-aware" else "smoothnet")
    default = read_preset("default")
    assert (default.architecture, default.sizes) == ("vector_filter", Sizes(32, 128, 128, 128))
    first = read_preset("default-first")
    assert (first.sizes.hidden, first.training.kept_units) == (192, default.sizes.hidden)
    assert default.training.first == "data/default-first.safetensors"
    assert isinstance(default.training, Settings)
    assert default.select is None
    body = read_preset("body")
    assert (body.architecture, body.recipe, body.sizes) == ("body_aware", "bodies", BodySizes())
    assert (body.mix, body.select) == (None, None)
    for name, joints in (("body-h36m", "h36m_17"), ("body-smpl", "smpl_24")):
        other = read_preset(name)
        assert (other.sizes, other.training) == (replace(body.sizes, joints=joints), body.training)
        assert [{"joints": joints, **source} for source in body.sources] == [*other.sources]
    with pytest.raises(
        ValueError,
        match=r"^preset: expected one of body, body-h36m, body-smpl, default, .*, motion-aware, .*, received 'best'$",
    ):
        read_preset("best")


@pytest.mark.parametrize(
    "name",
    [
        "default",
        "fast",
        "live",
        "deglitch",
        "body",
        "body-h36m",
        "body-smpl",
        "published-static",
        "published-video",
        "published-smoothed",
    ],
)
def test_the_configuration_beside_the_shipped_weights_is_the_preset(name):
    path = REPOSITORY / "assets" / "models" / f"{name}.yaml"
    assert path.read_text(encoding="utf-8") == read_preset(name).as_yaml()
    assert load_model(name).metadata["configuration"] == read_preset(name).resolved()


def test_the_sources_of_the_presets_are_there():
    from smpl_tools.sources import read_sources

    for specs in {repr(p.validation): p.validation for p in map(read_preset, preset_names())}.values():
        assert len(read_sources(specs, [shared("data")], 30.0).pairs) == 21
