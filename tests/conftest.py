"""Settings for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# Machines that run tests side by side are slow now and then; and a change is judged by the same examples as the last.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
