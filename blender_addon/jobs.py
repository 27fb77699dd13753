"""Long work that does not freeze the window: a generator run at once, or between events with progress and ESC.

An operator's ``job`` is a generator. Between pieces of work on Blender's data it yields :class:`Progress`; for work
on arrays alone it yields :class:`Background`, whose function runs in a thread while the window stays alive, and is
sent the function's result. In the background, and when called from a script, all runs to its end at once.
"""

import queue
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import bpy

# Seconds between looks at the worker, and seconds of work between two events: at the start, and from then on.
_INTERVAL, _MOMENT, _SLICE = 0.05, 0.25, 0.04
# Where the window takes long to draw itself, the job takes as long for itself, up to this.
_LONGEST_SLICE = 0.2


class Cancelled(Exception):
    """The user pressed ESC."""


@dataclass(frozen=True)
class Progress:
    """How far the job is.

    Attributes:
        share: in [0, 1].
        text: what is going on, for the status bar.
    """

    share: float
    text: str = ""


@dataclass(frozen=True)
class Background:
    """Work on arrays alone.

    Attributes:
        function: called with ``tick``, itself to be called with the share done, in [0, 1]; raises ``Cancelled``.
        start: share of the whole job at its start.
        end: and at its end.
        text: what is going on.
    """

    function: Callable[[Callable[[float], None]], Any]
    start: float = 0.0
    end: float = 1.0
    text: str = ""


Job = Generator[Progress | Background, Any, None]

# What runs in the window now, for the panels.
_shown: list[Progress] = []
_active: list["JobOperator"] = []


def running() -> Progress | None:
    """Return how far the job is that runs in a window; None where none does."""
    return _shown[0] if _shown else None


class JobOperator:
    """Mixin of operators whose work is a generator ``job(context)``; a ``ValueError`` of it is shown and cancels."""

    # Of the operator that this is mixed into.
    report: Callable[[set[str], str], None]

    def job(self, context: bpy.types.Context) -> Job:
        """Do the work; see the module."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Do all of it at once."""
        job = self.job(context)
        try:
            step = next(job)
            while True:
                if not isinstance(step, Background):
                    step = next(job)
                    continue
                try:
                    answer = step.function(lambda share: None)
                except BaseException as error:
                    step = job.throw(error)
                else:
                    step = job.send(answer)
        except StopIteration:
            return {"FINISHED"}
        except ValueError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        finally:
            # Work in the background that failed has left the job where it was.
            job.close()

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Start the work; from then on :meth:`modal` goes on with it."""
        if bpy.app.background or context.window is None:
            return self.execute(context)
        if running() is not None:
            self.report({"WARNING"}, "Another job is running: wait for it, or press ESC")
            return {"CANCELLED"}
        self._job = self.job(context)
        self._work: _Work | None = None
        manager = context.window_manager
        self._timer = manager.event_timer_add(_INTERVAL, window=context.window)
        manager.progress_begin(0.0, 1.0)
        # What is done in a moment is done before the first redraw.
        state = self._go_on(context, _MOMENT)
        if "RUNNING_MODAL" in state:
            # Not before: Blender frees an operator that is finished, and crashes on a handler that it left behind.
            manager.modal_handler_add(self)
            _active.append(self)
        return state

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Go on with the work, or stop it."""
        if event.type == "ESC":
            self._stop()
            self._end(context)
            self.report({"INFO"}, "Cancelled: nothing was changed")
            return {"CANCELLED"}
        if event.type != "TIMER":
            # Whoever changes data under a running job would lose the change, or the job its footing.
            return {"PASS_THROUGH"} if event.type in _LOOKING else {"RUNNING_MODAL"}
        drawing = time.perf_counter() - self._left - _INTERVAL
        return self._go_on(context, min(_LONGEST_SLICE, max(_SLICE, drawing)))

    def cancel(self, context: bpy.types.Context) -> None:
        """Stop, since the window closes or a file is loaded."""
        self._stop()
        self._end(context)

    def _go_on(self, context: bpy.types.Context, seconds: float) -> set[str]:
        until = time.perf_counter() + seconds
        state = self._work_until(context, until)
        self._left = time.perf_counter()
        return state

    def _work_until(self, context: bpy.types.Context, until: float) -> set[str]:
        try:
            while time.perf_counter() < until:
                if self._work is not None:
                    if not self._work.wait(until - time.perf_counter()):
                        self._show(context, self._work.share, self._work.text)
                        return {"RUNNING_MODAL"}
                    work, self._work = self._work, None
                    step = work.hand_over(self._job)
                else:
                    step = next(self._job)
                if isinstance(step, Background):
                    self._work = _Work(step)
                else:
                    self._show(context, step.share, step.text)
        except StopIteration:
            self._end(context)
            return {"FINISHED"}
        except ValueError as error:
            self._job.close()
            self._end(context)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        except BaseException:
            self._job.close()
            self._end(context)
            raise
        return {"RUNNING_MODAL"}

    def _stop(self) -> None:
        if self._work is not None:
            self._work.cancel()
            self._work = None
        self._job.close()

    def _show(self, context: bpy.types.Context, share: float, text: str) -> None:
        before = running()
        if before is not None and (f"{before.share:.0%}", before.text) == (f"{share:.0%}", text):
            return  # Drawing costs more than a piece of work.
        _shown[:] = [Progress(share, text)]
        context.window_manager.progress_update(share)
        context.workspace.status_text_set(f"{text}  {share:.0%}   ESC: Cancel" if text else None)
        _redraw_sidebars(context)

    def _end(self, context: bpy.types.Context) -> None:
        manager = context.window_manager
        _shown.clear()
        _active.clear()
        manager.progress_end()
        manager.event_timer_remove(self._timer)
        for window in manager.windows:
            # The job may have been shown in the status bar of another window than that where it was started.
            window.workspace.status_text_set(None)
            for area in window.screen.areas:
                area.tag_redraw()


def unregister() -> None:
    """Stop what runs, before its operator goes: Blender does not tell an operator that its class is removed."""
    for operator in list(_active):
        operator.cancel(bpy.context)


def _redraw_sidebars(context: bpy.types.Context) -> None:
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


# Events that look and do not change.
_LOOKING = {"MOUSEMOVE", "MIDDLEMOUSE", "WHEELUPMOUSE", "WHEELDOWNMOUSE", "TRACKPADPAN", "TRACKPADZOOM"}


class _Work:
    """A function in a thread of its own; it knows nothing of Blender."""

    def __init__(self, step: Background) -> None:
        self.text = step.text
        self._step = step
        self._done = 0.0
        self._stopped = False
        self._results: queue.Queue[tuple[bool, Any]] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def share(self) -> float:
        return self._step.start + (self._step.end - self._step.start) * self._done

    def wait(self, seconds: float) -> bool:
        self._thread.join(max(0.0, seconds))
        return not self._thread.is_alive()

    def hand_over(self, job: Job) -> Progress | Background:
        """Give the job what came of the work, an exception as well; return its next step."""
        fine, value = self._results.get()
        return job.send(value) if fine else job.throw(value)

    def cancel(self) -> None:
        self._stopped = True

    def _tick(self, share: float) -> None:
        self._done = share
        if self._stopped:
            raise Cancelled

    def _run(self) -> None:
        try:
            self._results.put((True, self._step.function(self._tick)))
        except BaseException as error:
            self._results.put((False, error))
