"""Data paths of F-curves; where Blender's module is at hand, its own escaping is the oracle."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender_addon.animation.curves import Target, bone_path, moves, target_of

NAMES = ["Hips", "mixamorig:Hips", "arm.L.001", 'a"b', "back\\slash", "end\\", '\\"', "Hüfte", "腰", "tab\there",
         "line\nbreak", 'x"].location', "", "a]b[c", "\\n", "\\q"]  # fmt: skip
CHANNELS = ["location", "rotation_quaternion", "rotation_euler", "rotation_axis_angle", "scale"]
texts = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=20)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channel", CHANNELS)
def test_a_bones_path_names_the_bone(name, channel):
    assert target_of(bone_path(name, channel)) == Target(name, "bone", channel)


@given(texts)
def test_any_name_comes_back(name):
    assert target_of(bone_path(name, "location")) == Target(name, "bone", "location")


@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="needs the bpy module")
@given(texts | st.sampled_from(NAMES))
def test_names_are_escaped_as_blender_does(name):
    from bpy.utils import escape_identifier, unescape_identifier

    assert bone_path(name, "location") == f'pose.bones["{escape_identifier(name)}"].location'
    path = f'key_blocks["{escape_identifier(name)}"].value'
    assert target_of(path) == Target(unescape_identifier(escape_identifier(name)), "shape_key", "value")


@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="needs the bpy module")
@given(st.text(st.sampled_from('\\"abfnrtqü.'), max_size=8))
def test_what_others_wrote_is_unescaped_as_blender_does(escaped):
    from bpy.utils import unescape_identifier

    found = target_of(f'pose.bones["{escaped}"].location')
    if found is not None:
        assert found.owner == unescape_identifier(escaped)


def test_an_objects_own_channels():
    for channel in CHANNELS:
        assert target_of(channel) == Target("", "object", channel)


def test_shape_keys():
    assert target_of('key_blocks["jaw\\"Open"].value') == Target('jaw"Open', "shape_key", "value")


@pytest.mark.parametrize(
    "path",
    [
        '["prop"]',
        'pose.bones["Hips"]["prop"]',
        'pose.bones["Hips"].constraints["IK"].influence',
        'pose.bones["Hips"]',
        'key_blocks["a"].slider_min',
        "data.shape_keys",
        "",
        'pose.bones["open.location',
    ],
)
def test_other_paths_move_nothing_of_ours(path):
    assert target_of(path) is None


@pytest.mark.parametrize(
    ("values", "moving"),
    [([], False), ([2.0], False), ([2.0] * 5, False), ([2.0, 3.0, 2.0], True), ([2.0, 2.0, 2.1], True)],
)
def test_values_move_unless_all_are_the_same(values, moving):
    assert moves(np.array(values)) is moving
