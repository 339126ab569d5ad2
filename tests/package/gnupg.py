"""Keys that sign."""

import os
import subprocess
from contextlib import contextmanager
from typing import Iterator


@contextmanager
def key(home: str, name: str) -> Iterator[str]:
    """A folder of gpg's with one secret key, without a passphrase, for the length of the `with`
    block."""
    os.makedirs(home, mode=0o700)
    environment = {**os.environ, "GNUPGHOME": home}
    try:
        subprocess.run(["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key",
                        name, "ed25519", "sign"], check=True, env=environment,
                       stderr=subprocess.DEVNULL)
        yield home
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=False, env=environment)
