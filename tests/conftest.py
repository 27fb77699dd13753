"""Settings for all tests."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# Machines that run tests side by side are slow now and then; and a change is judged by the same examples as the last.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# A shell that starts the tests in the background lets them, and all programs they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
