"""Prepares all images of the machines, from the cache or anew."""

import os
from concurrent.futures import ThreadPoolExecutor

from . import kernel, lists, rootfs


def prepare(directory: str, build: str, names: list[str]) -> dict[str, str]:
    """Returns the folders of each architecture's root file system and of each kernel, made in
    parallel."""
    known = lists.kernels()
    programs = [os.path.join(build, name) for name in ("holdfastd", "holdfast")]
    for program in programs:
        if not os.access(program, os.X_OK):
            raise SystemExit(f"{program} is missing: make first, or say --build DIR")
    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = {arch: pool.submit(rootfs.prepare, directory, programs, arch)
                for arch in {known[name].arch.name for name in names}}
        jobs |= {name: pool.submit(kernel.prepare, directory, known[name]) for name in names}
        return {name: job.result() for name, job in jobs.items()}
