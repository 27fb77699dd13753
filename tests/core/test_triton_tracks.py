"""The fused kernels: on a GPU where there is one, else in Triton's interpreter.

The interpreter is chosen when triton is imported, and others may have imported it: so it gets a process of its own.
"""

# ruff: noqa: E402

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.helpers import REPOSITORY

CASES = REPOSITORY / "tests" / "core" / "triton_cases.py"

for module in ("torch", "triton"):
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed", allow_module_level=True)

import torch

if torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1":
    from tests.core.triton_cases import *  # noqa: F403
else:

    def test_in_the_interpreter():
        environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
        result = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        assert " passed" in result.stdout
