"""Which tracks of a motion a body-aware model can refine, and what it calls their joints."""

from __future__ import annotations

from collections.abc import Sequence

from smoothnet_core._body import Body
from smoothnet_core._checks import mismatch
from smpl_tools.motion import Motion, Person, Track

# Three numbers a joint, but of different units along the three axes; by format and track.
_UNEQUAL_AXES = {("mediapipe", "image_landmarks")}

Work = tuple[Person, str, Track]


def joint_names(body: Body, motion: Motion, name: str, track: Track) -> tuple[str, ...] | None:
    """Return the names by which a body-aware model knows a track's joints; None where it cannot refine the track.

    Those are the track's own, or, where a file names no joints and has as many as the model, the model's in its order.
    """
    if track.kind != "position" or track.values.shape[2] != 3 or (motion.format, name) in _UNEQUAL_AXES:
        return None
    if set(body.joints) <= set(track.joints):
        return track.joints
    # The names that formats give to joints without any: joint_0, joint_1, ...
    numbered = all(joint.endswith(f"_{j}") for j, joint in enumerate(track.joints))
    return body.joints if numbered and len(track.joints) == len(body.joints) else None


def refinable(body: Body, model: str, motion: Motion, work: Sequence[Work]) -> tuple[list[Work], list[Work]]:
    """Return the tracks that a body-aware model can refine and those that it cannot.

    Raises:
        ValueError: it can refine none of them; the message says what the model needs.
    """
    served = [item for item in work if joint_names(body, motion, *item[1:]) is not None]
    if work and not served:
        expected = f"3D positions of {', '.join(body.joints)}, by name or without names in this order"
        received = dict.fromkeys(f"{name} ({track.kind} {track.values.shape[1:]})" for _, name, track in work)
        raise mismatch(f"tracks for the model {model}", expected, ", ".join(received))
    return served, [item for item in work if item not in served]
