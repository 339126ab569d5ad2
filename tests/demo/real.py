#!/usr/bin/python3
"""Plays two stories unscaled, in virtual machines in virtual time, and draws them.

    tests/demo/real.py [--build DIR] [--cache DIR] [--kernel NAME] [--update] [real|auto]...
    tests/demo/real.py --build DIR --redraw FILE real|auto

`real` is the story of demo.py; `auto` is that of a window that nobody knows. The events and the
pictures go to BUILD/demo/. Run it as root, which making new images needs.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass
from typing import Any, Callable

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "vm"))

# pylint: disable=wrong-import-position
from host import cache, images, lists, machine, report

import auto_chart
import auto_record
import chart
import record

ENDINGS = ("jsonl", "svg", "png")

REAL = """\
What becomes of a MySQL connection that its pool keeps, and that nobody uses for over an hour?

    client "lost"  --+
                     +--  firewall  --  MariaDB        each in a network namespace of its own,
    client "held"  --+                                 all in a virtual machine

Nothing is scaled: the firewall forgets what idles for an hour, the connections idle for 4000 s, and
the kernel takes its quarter of an hour to give up. But whenever nothing happens in the virtual
machine, its clock jumps to where something does. The times are those of the virtual machine.
"""

AUTO = """\
What becomes of a pool's connections in a night, where the firewall forgets after two minutes, and
nobody knows that?

    pool "lost"  --+
                   +--  firewall  --  MariaDB        each in a network namespace of its own,
    pool "held"  --+                                 all in a virtual machine

Both pools are used in the same way, at the same moments. The second one has holdfast's default rule,
whose window nobody has told it. Nothing is scaled; the times are those of the virtual machine.
"""


class Narrator:
    """Prints what the machine tells, in the order in which it happened."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._start: float | None = None
        self._probe: dict[str, float] = {}
        self._dropped = 0

    def hear(self, line: str) -> None:
        """Takes a line of the machine's output."""
        kind, _, text = line.partition(" ")
        if kind == "HF-EVENT":
            event = json.loads(text)
            self.events.append(event)
            getattr(self, f"_{event['event']}")(event)

    def _say(self, at: float, text: str) -> None:
        when = " " * 8 if self._start is None else f"{at - self._start:6.0f} s"
        print(f"[{when}] {text}", flush=True)

    def _server(self, event: dict[str, Any]) -> None:
        self._say(event["at"], f"Linux {event['kernel']} is up; so is MariaDB, and before it a "
                  f"firewall that\n{' ' * 11}forgets what idles for {event['window']} s")

    def _daemon(self, event: dict[str, Any]) -> None:
        self._say(event["at"], "holdfastd is ready")

    def _opened(self, event: dict[str, Any]) -> None:
        self._say(event["at"], f"{event['who']}: has opened its connection; keepalive after "
                  f"{event['settings'][1]} s idle")

    def _idle(self, event: dict[str, Any]) -> None:
        self._start = event["at"]
        self._say(event["at"], "nobody uses the connections any more")

    def _packet(self, event: dict[str, Any]) -> None:
        who, at = event["who"], event["at"]
        if event["probe"]:
            self._probe[who] = at
        elif event["sender"] == "server" and who in self._probe:
            self._say(at, f"{who}: a keepalive probe, answered after "
                      f"{(at - self._probe.pop(who)) * 1000:.1f} ms")
        elif not event["passed"]:
            self._dropped += 1

    def _status(self, event: dict[str, Any]) -> None:
        self._say(event["at"], "what `holdfast status` says meanwhile:\n")
        print(textwrap.indent(event["text"], " " * 11), flush=True)

    def _forgotten(self, event: dict[str, Any]) -> None:
        self._say(event["at"], f"{event['who']}: the firewall forgets the connection")

    def _query(self, event: dict[str, Any]) -> None:
        self._say(event["at"], f"{event['who']}: asks SELECT CONNECTION_ID()")

    def _outcome(self, event: dict[str, Any]) -> None:
        if event["error"] is None:
            self._say(event["at"], f"{event['who']}: answered after {event['seconds'] * 1000:.0f} "
                      "ms" + (", on the same connection" if event["same"] else ""))
        else:
            self._say(event["at"], f"{event['who']}: FAILED after {event['seconds']:.0f} s; the "
                      f"firewall has dropped the query {self._dropped} times\n"
                      + textwrap.fill(event["message"], 89, initial_indent=" " * 11,
                                      subsequent_indent=" " * 11))

    def _end(self, event: dict[str, Any]) -> None:
        self._say(event["at"], "the end")


class NightNarrator(Narrator):
    """Tells the story of two pools."""

    def _night(self, event: dict[str, Any]) -> None:
        self._start = event["at"]
        self._say(event["at"], f"two pools of {event['size']} connections begin their night")

    def _opened(self, event: dict[str, Any]) -> None:
        """Says nothing: a new connection for each that is lost."""

    def _lost(self, event: dict[str, Any]) -> None:
        hung = event["at"] - event["began"]
        self._say(event["at"], f"{event['who']}: has lost a connection"
                  + (f"; its query hung for {hung:.0f} s" if event["how"] == "query"
                     else ", which keepalive has noticed" if event["who"] == "held" else ""))

    def _shorter(self, event: dict[str, Any]) -> None:
        self._say(event["at"], f"holdfast: the path forgets; keepalive time is {event['after']} s "
                  f"now, and was {event['before']} s")


@dataclass(frozen=True)
class Tale:
    """One of the stories."""

    introduction: str
    narrator: type[Narrator]
    arguments: tuple[str, ...]  # of the guest's program
    load: Callable[[str], Any]
    draw: Callable[[Any, str], None]


TALES = {"real": Tale(REAL, Narrator, (), record.load, chart.draw),
         "auto": Tale(AUTO, NightNarrator, ("auto",), auto_record.load, auto_chart.draw)}


def play(tale: Tale, options: argparse.Namespace, path: str) -> bool:
    """Runs the machine and writes its events to the file. Returns False where it failed."""
    print(tale.introduction, flush=True)
    start = time.monotonic()
    kernel = lists.kernels()[options.kernel]
    folders = images.prepare(options.cache, options.build, [options.kernel])
    root = folders[kernel.arch.name]
    print(f"[        ] the virtual machine's disk and kernel are there, after "
          f"{time.monotonic() - start:.0f} s; it boots", flush=True)
    narrator = tale.narrator()
    with tempfile.TemporaryDirectory(prefix="holdfast-demo-") as directory:
        extra = os.path.join(directory, "payload")
        machine.payload(extra, options.build, os.path.join(root, "busybox"),
                        os.path.join(HERE, "guest"))
        ended = machine.run(kernel, folders[options.kernel],
                            os.path.join(root, kernel.arch.root), extra,
                            max(os.sched_getaffinity(0)), narrator.hear,
                            arguments=tale.arguments)
    failed = report.read(options.kernel, ended).failed
    for name, fault in failed.items():
        print(f"demo-real: {name}: {fault}", file=sys.stderr)
    if failed:
        return False
    with open(path, "w", encoding="ascii") as file:
        file.writelines(json.dumps(event) + "\n" for event in narrator.events)
    print(f"\nThe machine's {narrator.events[-1]['at']:.0f} s took {ended.seconds:.0f} s here.")
    return True


def tell(name: str, options: argparse.Namespace) -> bool:
    """Plays one of the stories, or takes what was played, and draws it. Returns False where it
    failed."""
    tale, folder = TALES[name], os.path.join(options.build, "demo")
    files = [f"{name}.{ending}" for ending in ENDINGS]
    events, *pictures = (os.path.join(folder, file) for file in files)
    os.makedirs(folder, exist_ok=True)
    if options.redraw:
        shutil.copyfile(options.redraw, events)
    elif not play(tale, options, events):
        return False
    story = tale.load(events)
    print("\n" + textwrap.fill(story.sentence(), 100) + "\n")
    for picture in pictures:
        tale.draw(story, picture)
        print(f"drawn: {os.path.relpath(picture)}")
    if options.update:
        for file in files:
            shutil.copyfile(os.path.join(folder, file), os.path.join(HERE, file))
    return True


def main() -> int:
    """Returns 0 where everything went as it should."""
    known = [name for name, kernel in lists.kernels().items() if kernel.expect != "unsupported"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.environ.get("HF_BUILD", "build"))
    parser.add_argument("--cache", default=cache.default_directory())
    parser.add_argument("--kernel", default="6.12", choices=known)
    parser.add_argument("--redraw", metavar="FILE", help="play nothing, draw these events")
    parser.add_argument("--update", action="store_true", help="refresh what is kept beside this")
    parser.add_argument("tales", nargs="*", metavar="real|auto", default=list(TALES))
    options = parser.parse_args()
    if unknown := set(options.tales) - TALES.keys():
        parser.error(f"no such story: {', '.join(unknown)}")
    if options.redraw and len(options.tales) != 1:
        parser.error("--redraw wants to know which story it is")
    return 0 if all([tell(name, options) for name in options.tales]) else 1


if __name__ == "__main__":
    sys.exit(main())
