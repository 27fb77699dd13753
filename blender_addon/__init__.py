"""SmoothNet: clean imported motion capture in the 3D view. This file registers, nothing more.

Blender itself is imported when the extension is registered, so that the modules that need none can be used without it.
"""

from importlib import import_module
from types import ModuleType

# In the order of registration; what a module's classes refer to stands before it.
MODULES = (
    "properties",
    "seeing.analysis_properties",
    "preferences",
    "kept_numbers",
    "results",
    "seeing.trails",
    "operators.refine",
    "operators.results",
    "operators.batch",
    "operators.bake",
    "operators.parts",
    "operators.analyze",
    "operators.trails",
    "operators.import_motion",
    "operators.export_motion",
    "seeing.panel_parts",
    "panels",
    "menus",
    "jobs",
)


def register() -> None:
    """Register every class and hook; a failure is raised, after what was registered is taken back."""
    done: list[ModuleType] = []
    try:
        for name in MODULES:
            module = import_module(f".{name}", __package__)
            _register(module)
            done.append(module)
    except Exception:
        for module in reversed(done):
            _unregister(module)
        raise


def unregister() -> None:
    """Take everything back, in reverse order."""
    for name in reversed(MODULES):
        _unregister(import_module(f".{name}", __package__))


def _register(module: ModuleType) -> None:
    import bpy

    for cls in getattr(module, "CLASSES", ()):
        bpy.utils.register_class(cls)
    if hasattr(module, "register"):
        module.register()


def _unregister(module: ModuleType) -> None:
    import bpy

    if hasattr(module, "unregister"):
        module.unregister()
    for cls in reversed(getattr(module, "CLASSES", ())):
        bpy.utils.unregister_class(cls)
