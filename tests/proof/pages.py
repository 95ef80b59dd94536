"""The sentences of a page in Markdown, without tables, code and headings."""

from __future__ import annotations

import re

__all__ = ["sections", "sentences", "squeezed"]


def squeezed(text: str) -> str:
    """Join a text's lines."""
    return " ".join(text.split())


def sentences(page: str) -> list[str]:
    """Split prose at the ends of its sentences; an item of a list is one sentence or more."""
    found = []
    for block in re.split(r"\n\s*\n", page):
        lines = block.splitlines()
        if not lines or lines[0].startswith(("    ", "#", "|", "```")):
            continue
        for item in re.split(r"\n(?=[*-] )", block):
            text = squeezed(item.removeprefix("* ").removeprefix("- "))
            found += re.split(r"(?<=[.?!]) (?=[A-Z`*\"])", text)
    return found


def sections(page: str) -> dict[str, str]:
    """Return what stands below each heading of the second level."""
    parts = re.split(r"^## (.*)$", page, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
