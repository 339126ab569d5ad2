"""Interactive shells on a pseudo-terminal, asked for all completions of a line."""

import os
import pty
import select
import shlex
import signal
import subprocess
import tempfile
import time
from typing import Callable

import source

DIRECTORY = os.path.join(source.TREE, "packaging", "completions")
START, END = "all-of-it-begins", "all-of-it-ends"
PROMPT = "ready-for-more "
ALL_MATCHES, LINE_START, LINE_END = "\x14", "\x01", "\x05"  # ^T is free for a meaning of ours


class Terminal:
    """A pseudo-terminal with a program on it."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            try:
                os.execvpe(argv[0], argv, {**environment, "TERM": "dumb", "LC_ALL": "C.UTF-8"})
            finally:
                os._exit(127)
        self._said = ""

    def type(self, keys: str) -> None:
        """Sends keys as if they were typed."""
        os.write(self._fd, keys.encode())

    def expect(self, condition: Callable[[str], object], what: str, timeout: float = 30) -> None:
        """Reads until all output so far fulfils a condition."""
        deadline = time.monotonic() + timeout
        while not condition(self._said):
            assert time.monotonic() < deadline, f"waited for {what}, came:\n{self._said}"
            if select.select([self._fd], [], [], 0.05)[0]:
                self._said += os.read(self._fd, 65536).decode(errors="replace")

    def close(self) -> None:
        """Kills the program."""
        os.close(self._fd)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _by_keys(argv: list[str], environment: dict[str, str], line: str) -> set[str]:
    """Types a line and the key that inserts all its completions, then has the shell write the words
    of the resulting line to a file. Returns the inserted words."""
    with tempfile.TemporaryDirectory() as directory:
        written = os.path.join(directory, "written")
        terminal = Terminal(argv, environment)
        try:
            terminal.expect(lambda said: PROMPT in said, "the prompt")
            terminal.type(f"{line}{ALL_MATCHES}{LINE_END} {END} > {written}.new && "
                          f"mv {written}.new {written}{LINE_START}printf '%s\\n' {START} \r")
            terminal.expect(lambda said: os.path.exists(written), "the words")
        finally:
            terminal.close()
        with open(written, encoding="utf-8") as file:
            words = file.read().splitlines()
    assert words[0] == START and words[-1] == END, words
    given = shlex.split(line)
    if not line.endswith(" "):
        given.pop()  # the last word was completed
    assert words[1:1 + len(given)] == given, words
    return set(words[1 + len(given):-1])


def bash(line: str, environment: dict[str, str]) -> set[str]:
    """Returns bash's completions of a line, by readline's insert-completions."""
    with tempfile.NamedTemporaryFile("w", suffix=".bashrc") as file:
        file.write(f"source {DIRECTORY}/holdfast.bash\n"
                   "bind '\"\\C-t\": insert-completions'\n"
                   f"PS1='{PROMPT}'\n")
        file.flush()
        return _by_keys(["bash", "--noprofile", "--rcfile", file.name, "-i"], environment, line)


def zsh(line: str, environment: dict[str, str]) -> set[str]:
    """Returns zsh's completions of a line, by its completer _all_matches."""
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, ".zshrc"), "w", encoding="ascii") as file:
            file.write(f"fpath=({DIRECTORY} $fpath)\n"
                       "autoload -Uz compinit; compinit -u -D\n"
                       "zstyle ':completion:*' completer _all_matches _complete\n"
                       "zstyle ':completion:*:all-matches:*' insert true\n"
                       "bindkey -e; bindkey '^T' complete-word\n"
                       f"PS1='{PROMPT}'\n")
        return _by_keys(["zsh", "--no-global-rcs", "-i"],
                        {**environment, "ZDOTDIR": directory}, line)


def fish(line: str, environment: dict[str, str]) -> set[str]:
    """Returns fish's completions of a line, by `complete -C`."""
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {DIRECTORY}/holdfast.fish; complete -C $argv[1]",
         line], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
        env={**environment, "LC_ALL": "C.UTF-8"})
    return {row.split("\t")[0] for row in done.stdout.splitlines()}
