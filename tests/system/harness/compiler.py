"""C programs of the tests, compiled where they are needed."""

import os
import shutil
import subprocess

import pytest

from .remote import TESTS_DIR

_FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]


def compile_c(source: str, directory: str, *options: str) -> str:
    """Compiles a file of this folder into another folder; the test is skipped without cc."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("cc is not installed (package gcc)")
    target = os.path.join(directory, source.removesuffix(".c"))
    subprocess.run([compiler, *_FLAGS, "-o", target, os.path.join(TESTS_DIR, source), *options],
                   check=True)
    return target
