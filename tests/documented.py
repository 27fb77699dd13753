"""The commands and programs that the documentation shows, found in its fenced blocks."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import REPOSITORY

_FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Pages whose commands a reader types from the first to the last; elsewhere each block stands for itself.
_IN_ORDER = ("docs/start-", "docs/howto/")
_LAUNCHERS = ("srun", "torchrun")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: its file, from the repository.
        line: of the page, on which its text begins.
        language: as the fence says.
        title: of the fence, the file's name where the block is a file.
        text: what is in it.
    """

    page: str
    line: int
    language: str
    title: str
    text: str

    @property
    def name(self) -> str:
        """Return page and line, for people."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Return the README and all pages of the documentation."""
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def blocks() -> list[Block]:
    """Return all fenced blocks, in the order of their pages."""
    found = []
    for path in pages():
        text = path.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            title = re.search(r'title="([^"]+)"', match[2])
            line = text.count("\n", 0, match.start()) + 2
            page = path.relative_to(REPOSITORY).as_posix()
            found.append(Block(page, line, match[1], title[1] if title else "", match[3]))
    return found


def sequences() -> list[list[Block]]:
    """Return the blocks of commands and programs that are run one after the other in one folder."""
    result: list[list[Block]] = []
    for block in blocks():
        if block.language not in ("sh", "python"):
            continue
        together = block.page.startswith(_IN_ORDER) and result and result[-1][0].page == block.page
        if together:
            result[-1].append(block)
        else:
            result.append([block])
    return result


def commands(block: Block) -> list[str]:
    """Return the lines of a block of commands without their comments, continued ones joined."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [command for line in lines if (command := _without_comment(line))]


def calls(command: str, program: str) -> list[list[str]]:
    """Return the arguments of each call of a program in a line of a shell."""
    reader = shlex.shlex(command, posix=True, punctuation_chars=";|&")
    reader.whitespace_split = True
    found, words = [], []
    for word in [*reader, ";"]:
        if set(word) <= set(";|&"):
            # By itself, or started by another program.
            if program in words and words[0] in (program, *_LAUNCHERS):
                found.append(words[words.index(program) + 1 :])
            words = []
        else:
            words.append(word)
    return found


def inline() -> list[tuple[str, str]]:
    """Return page and text of what is set as code within sentences and begins like a command."""
    found = []
    for path in pages():
        text = _FENCE.sub("", path.read_text(encoding="utf-8"))
        for match in re.finditer(r"`((?:smoothnet|python|make) [^`]+)`", text):
            found.append((path.relative_to(REPOSITORY).as_posix(), " ".join(match[1].split())))
    return found


def _without_comment(line: str) -> str:
    """Cut a comment off: a number sign after a blank or at the start that no quote holds."""
    quote = ""
    for place, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (place == 0 or line[place - 1].isspace()):
            return line[:place].strip()
    return line.strip()
