"""One file refined into another: read, refined, and written in its own format or in another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from smpl_tools.contacts.keep_motion import PersonContacts
    from smpl_tools.refine_motion import MotionReport


class RefinedFile(NamedTuple):
    """What became of a file.

    Attributes:
        format: the name of the format it was read in.
        report: what became of the motion.
        feet: what became of the feet, where they were to be kept in place.
        notes: remarks of the reader and of what was done.
    """

    format: str
    report: MotionReport
    feet: tuple[PersonContacts, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain lists, dictionaries, numbers and text, as JSON has them."""
        feet = [one.as_dict() for one in self.feet]
        return {**self.report.as_dict(), "feet": feet, "notes": list(self.notes)}


def refine_file(
    source: Path,
    target: Path,
    *,
    to: str | None = None,
    kind: str | None = None,
    order: str | None = None,
    fps: float | None = None,
    keep_contacts: bool = False,
    before_writing: Callable[[], None] = lambda: None,
    progress: Callable[[float], None] | None = None,
    **settings: Any,
) -> RefinedFile:
    """Refine a motion file, or a folder that is one, into another that appears whole or not at all.

    Args:
        source: of any format that is read.
        target: of the same format, unless ``to`` says otherwise.
        to: a format of ``smpl_tools.convert.makeable()``; None writes the source's again.
        kind: of a plain array's values, see ``smpl_tools.formats.read``.
        order: likewise.
        fps: frames a second, in place of what the file says.
        keep_contacts: keep feet that stand on the ground in place.
        before_writing: called when the work is done and nothing is written yet; what it raises ends it.
        progress: see ``smpl_tools.refine_motion.refine_motion``.
        settings: ``method``, ``model``, ``backend``, ``judge``, ``strength``, ``parts``, ``person`` of that function.

    Raises:
        ValueError: see ``smpl_tools.formats.read``, ``refine_motion``, ``keep_contacts_motion`` and ``prepared_for``.
        OSError: of the disk.
    """
    from smpl_tools import formats
    from smpl_tools.refine_motion import refine_motion

    motion = formats.read(source, kind=kind, fps=fps, order=order, mapped=True)

    def refined(out: Any) -> tuple[Any, RefinedFile]:
        result, report = refine_motion(motion, progress=progress, out=out, **settings)
        feet: tuple[PersonContacts, ...] = ()
        remarks: tuple[str, ...] = ()
        if keep_contacts:
            from smpl_tools.contacts.keep_motion import keep_contacts_motion

            result, feet, remarks = keep_contacts_motion(result, person=settings.get("person"), fps=fps)
        return result, RefinedFile(motion.format, report, feet, (*motion.notes, *remarks))

    if to in (None, motion.format):
        with formats.rewriting(motion, target) as file:
            result, became = refined(file.out)
            before_writing()
            file.write(result)
        return became
    from smpl_tools.convert import make, prepared_for

    result, became = refined(None)
    try:
        ready, remarks = prepared_for(result, to)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    before_writing()
    make(ready, to, target)
    return became._replace(notes=(*became.notes, *remarks))
