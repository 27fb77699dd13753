"""Fixtures for tests inside Blender's Python module; without it they are skipped, and the pure modules are tested."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def addon() -> Iterator[Any]:
    """The registered extension; taken back at the end, since Blender hangs or crashes at exit otherwise."""
    pytest.importorskip("bpy", reason="needs the bpy module")
    import blender_addon

    blender_addon.register()
    yield blender_addon
    blender_addon.unregister()


@pytest.fixture
def scene(addon: Any) -> Any:
    """An empty scene of a new file, at 30 frames a second, with the extension registered."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 30
    return bpy.context.scene
