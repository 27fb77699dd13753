"""Install an archive of the extension into an empty profile, refine a take with it, and see that it leaves nothing.

Runs in Blender and in the bpy module alike, twice, with ``BLENDER_USER_RESOURCES`` naming a folder that is empty at
first: the first start installs, the second uses what is installed::

    blender --background --python install_zip.py -- ARCHIVE.zip
    blender --background --python install_zip.py
    python install_zip.py ARCHIVE.zip
    python install_zip.py

Whatever is not as it must be raises. No network can be used: every attempt is recorded and refused. Where the
extension's SciPy is unpacked, Blender looks last until it is started again; a SciPy that this Python has of its own is
therefore used in the first start, and must serve too.
"""

from __future__ import annotations

import json
import math
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy

MODULE = "bl_ext.user_default.smoothnet"
FRAMES = 90
ROUNDS = 20
# What the extension does without.
HEAVY = {"torch", "typer", "rich", "matplotlib", "trimesh", "smplx"}

network: list[str] = []
timers: list[Any] = []
draw_handlers: list[Any] = []
subscribed: list[Any] = []


def refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: no connection, no name look-up, no server."""
    if event in ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        network.append(f"{event} {arguments[1:]}")
        raise RuntimeError(f"no network may be used, received {event}")


@contextmanager
def watched() -> Iterator[None]:
    """Keep account of what Blender gives no list of: timers, draw handlers, message bus subscriptions."""
    register, subscribe, clear = bpy.app.timers.register, bpy.msgbus.subscribe_rna, bpy.msgbus.clear_by_owner

    def timer(function: Any, *rest: Any, **named: Any) -> Any:
        timers.append(function)
        return register(function, *rest, **named)

    def subscription(*rest: Any, owner: Any, **named: Any) -> Any:
        subscribed.append(owner)
        return subscribe(*rest, owner=owner, **named)

    def cleared(owner: Any) -> Any:
        subscribed[:] = [other for other in subscribed if other is not owner]
        return clear(owner)

    kinds = [getattr(bpy.types, name) for name in dir(bpy.types) if name.startswith("Space") and name != "Space"]
    spaces = [kind for kind in kinds if hasattr(kind, "draw_handler_add")]
    bpy.app.timers.register, bpy.msgbus.subscribe_rna, bpy.msgbus.clear_by_owner = timer, subscription, cleared
    for space in spaces:
        _watch_draw_handlers(space)
    yield
    bpy.app.timers.register, bpy.msgbus.subscribe_rna, bpy.msgbus.clear_by_owner = register, subscribe, clear
    for space in spaces:
        # Blender 4.2 crashes at its end if they stay.
        del space.draw_handler_add, space.draw_handler_remove


def _watch_draw_handlers(space: Any) -> None:
    add, remove = space.draw_handler_add, space.draw_handler_remove

    def added(*rest: Any) -> Any:
        handle = add(*rest)
        draw_handlers.append(handle)
        return handle

    def removed(handle: Any, region: str) -> Any:
        draw_handlers[:] = [other for other in draw_handlers if other is not handle]
        return remove(handle, region)

    space.draw_handler_add, space.draw_handler_remove = staticmethod(added), staticmethod(removed)


def registered() -> dict[str, list[str]]:
    """Return all that an extension can leave behind, by kind."""
    types = [getattr(bpy.types, name) for name in dir(bpy.types)]
    keyconfigs = bpy.context.window_manager.keyconfigs
    return {
        "types": sorted(dir(bpy.types)),
        "properties": sorted(
            f"{kind.__name__}.{name}"
            for kind in types
            if isinstance(kind, type) and issubclass(kind, (bpy.types.ID, bpy.types.PoseBone, bpy.types.Bone))
            for name in kind.bl_rna.properties.keys()  # noqa: SIM118 - no mapping
        ),
        "operators": sorted(dir(bpy.ops.smoothnet)),
        "handlers": sorted(
            f"{name} {function.__module__}.{function.__qualname__}"
            for name in dir(bpy.app.handlers)
            if isinstance(functions := getattr(bpy.app.handlers, name), list)
            for function in functions
        ),
        "menus": sorted(
            f"{kind.__name__} {function.__module__}.{function.__qualname__}"
            for kind in types
            for function in getattr(getattr(kind, "draw", None), "_draw_funcs", ())
            if function.__module__ != kind.__module__
        ),
        "keymaps": sorted(
            f"{keymap.name} {item.idname}"
            for config in (keyconfigs.addon, keyconfigs.user)
            if config is not None
            for keymap in config.keymaps
            for item in keymap.keymap_items
            if item.idname.startswith("smoothnet.")
        ),
        "timers": sorted(repr(timer) for timer in timers if bpy.app.timers.is_registered(timer)),
        "draw handlers": ["draw handler" for _ in draw_handlers],
        "subscriptions": ["subscription" for _ in subscribed],
    }


def same(before: dict[str, list[str]], after: dict[str, list[str]], when: str) -> None:
    """Raise if anything is registered that was not, or the other way round."""
    for kind, old in before.items():
        added, lost = sorted(set(after[kind]) - set(old)), sorted(set(old) - set(after[kind]))
        if added or lost or len(old) != len(after[kind]):
            raise AssertionError(f"{when}, {kind}: {added} are left, {lost} are lost, {len(old)} -> {len(after[kind])}")


def write_take(path: Path) -> None:
    """Write a jittery take of a short chain of bones."""
    rng = random.Random(7)
    lines, depth = ["HIERARCHY"], 6
    for i in range(depth):
        pad = "  " * i
        channels = "6 Xposition Yposition Zposition" if i == 0 else "3"
        lines += [f"{pad}{'ROOT' if i == 0 else 'JOINT'} Bone{i}", f"{pad}{{", f"{pad}  OFFSET 0 {10 if i else 0} 0"]
        lines.append(f"{pad}  CHANNELS {channels} Zrotation Xrotation Yrotation")
    pad = "  " * depth
    lines += [f"{pad}End Site", f"{pad}{{", f"{pad}  OFFSET 0 10 0", f"{pad}}}"]
    lines += ["  " * i + "}" for i in reversed(range(depth))]
    lines += ["MOTION", f"Frames: {FRAMES}", "Frame Time: 0.0333333"]
    for t in range(FRAMES):
        values = [5 * math.sin(t / 15), 90.0, t * 0.5]
        values += [20 * math.sin(t / 12 + k) + rng.gauss(0, 1.5) for k in range(3 * depth)]
        lines.append(" ".join(f"{value:.4f}" for value in values))
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def heads(armature: Any) -> list[list[float]]:
    """Return the bones' tails at every frame, as Blender poses them."""
    result = []
    for frame in range(1, FRAMES + 1):
        bpy.context.scene.frame_set(frame)
        result.append([value for bone in armature.pose.bones for value in bone.tail])
    return result


def shaking(track: list[list[float]]) -> float:
    """Return the mean size of the second differences."""
    seconds = [
        abs(before - 2 * now + after)
        for a, b, c in zip(track, track[1:], track[2:], strict=False)
        for before, now, after in zip(a, b, c, strict=True)
    ]
    return sum(seconds) / len(seconds)


def refine(folder: Path) -> dict[str, float]:
    """Import a take, refine it, undo nothing; return how much it shook before and after."""
    write_take(folder / "take.bvh")
    assert bpy.ops.import_anim.bvh(filepath=str(folder / "take.bvh"), update_scene_fps=True) == {"FINISHED"}
    armature = bpy.context.object
    original = armature.animation_data.action
    before = heads(armature)
    assert bpy.ops.smoothnet.refine() == {"FINISHED"}
    refined = armature.animation_data.action
    after = heads(armature)
    assert refined is not original
    assert original.name in bpy.data.actions
    assert original.use_fake_user
    numbers = {"before": shaking(before), "after": shaking(after)}
    assert numbers["after"] < 0.6 * numbers["before"], numbers
    return numbers


def files(folder: Path) -> list[str]:
    """Return the files of the extension's folder, but for what Python compiled."""
    return sorted(str(path) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


def install(archive: str) -> dict[str, Any]:
    """Install, and refine in the same session; return what was seen."""
    import addon_utils  # Blender's own; there once bpy is

    before = registered()
    done = bpy.ops.extensions.package_install_files(filepath=archive, repo="user_default", enable_on_install=True)
    assert done == {"FINISHED"}, done
    assert MODULE in bpy.context.preferences.addons, list(bpy.context.preferences.addons.keys())
    with tempfile.TemporaryDirectory() as folder:
        seen = refine(Path(folder))
    bpy.ops.wm.save_userpref()
    addon_utils.disable(MODULE, refresh_handled=True)
    same(before, registered(), "disabled")
    return seen


def use() -> dict[str, Any]:
    """Refine with what is installed, enable and disable it; return what was seen."""
    import addon_utils  # Blender's own; there once bpy is

    extensions = Path(bpy.utils.user_resource("EXTENSIONS"))
    if addon_utils.check(MODULE)[1]:  # The bpy module reads no saved preferences.
        addon_utils.disable(MODULE, refresh_handled=True)
    clean = registered()
    assert bpy.ops.preferences.addon_enable(module=MODULE) == {"FINISHED"}
    enabled = registered()
    assert enabled["operators"], "the extension registered no operator"
    installed = files(extensions / "user_default" / "smoothnet")
    with tempfile.TemporaryDirectory() as folder:
        seen: dict[str, Any] = refine(Path(folder))
    import safetensors
    import scipy
    import scipy.linalg

    import smoothnet_core
    import smpl_tools

    for module in (scipy, scipy.linalg, safetensors, smoothnet_core, smpl_tools):
        place = Path(str(module.__file__))
        assert (extensions / ".local").resolve() in place.resolve().parents, f"{module.__name__} lies at {place}"
    seen |= {"scipy": scipy.__version__, "smoothnet_core": smoothnet_core.__version__}
    heavy = HEAVY & set(sys.modules)
    assert not heavy, f"imported: {sorted(heavy)}"
    for _ in range(ROUNDS):
        # The operators of the preferences would unpack the wheels again each time.
        addon_utils.disable(MODULE, refresh_handled=True)
        same(clean, registered(), "disabled")
        assert addon_utils.enable(MODULE, refresh_handled=True)
        same(enabled, registered(), "enabled again")
    assert files(extensions / "user_default" / "smoothnet") == installed, "it wrote into its own folder"
    addon_utils.disable(MODULE, refresh_handled=True)
    return seen


def main(arguments: list[str]) -> None:
    """Do one of the two and print what was seen, as JSON in one line."""
    sys.addaudithook(refuse_network)
    assert not bpy.app.online_access
    with watched():
        # Blender takes no relative path here.
        seen = install(str(Path(arguments[0]).resolve())) if arguments else use()
    assert not network, network
    seen |= {"blender": bpy.app.version_string, "python": sys.version.split()[0]}
    print("SEEN " + json.dumps(seen))


if __name__ == "__main__":
    # Blender's own arguments stand before the "--".
    main(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else [] if bpy.app.binary_path else sys.argv[1:])
