"""A cache folder of things that take long to make, each under a hash of its ingredients.

The cache can be deleted at any time; missing entries are made again. An entry is made under another
name and renamed when it is complete, so that an interrupted run leaves no partial one.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from typing import Callable, Iterator


def default_directory() -> str:
    """Returns HF_VM_CACHE, or build/vm in the current folder."""
    return os.path.abspath(os.environ.get("HF_VM_CACHE") or os.path.join("build", "vm"))


def hash_of(*parts: str, files: tuple[str, ...] = ()) -> str:
    """Returns one hash of texts and of the contents of files."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    for path in files:
        with open(path, "rb") as file:
            digest.update(file.read() + b"\0")
    return digest.hexdigest()[:16]


@contextmanager
def _locked(path: str) -> Iterator[None]:
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def entry(cache: str, kind: str, digest: str, make: Callable[[str], None]) -> str:
    """Returns the folder KIND-DIGEST of the cache; `make` fills it where it is missing.

    Then other entries of that kind, whose ingredients are outdated, are removed.
    """
    os.makedirs(cache, exist_ok=True)
    wanted = os.path.join(cache, f"{kind}-{digest}")
    with _locked(os.path.join(cache, f".{kind}.lock")):
        if not os.path.isdir(wanted):
            for name in os.listdir(cache):
                if name.rpartition("-")[0] == kind or name.startswith(f".{kind}.new."):
                    shutil.rmtree(os.path.join(cache, name))
            new = tempfile.mkdtemp(prefix=f".{kind}.new.", dir=cache)
            try:
                make(new)
                os.chmod(new, 0o755)
                os.rename(new, wanted)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    return wanted
