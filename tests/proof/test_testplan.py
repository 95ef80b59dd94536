"""Every sentence of the README, and every section of the architecture, leads to its tests."""

from __future__ import annotations

import pytest

from tests.proof.pages import sections, sentences, squeezed
from tests.proof.plan import ROOT, Claim, Named, claims, named_in

README, ARCHITECTURE = "README.md", "docs/architecture.md"


def missing(page: str, entries: list[Claim]) -> list[str]:
    """Sentences of a page to which no entry belongs."""
    said = [entry.says for entry in entries if entry.page == README]
    return [text for text in sentences(page) if not any(words in text for words in said)]


def test_every_sentence_of_the_readme():
    assert missing((ROOT / README).read_text(), claims()) == []


def test_every_section_of_the_architecture():
    said = [claim.says for claim in claims() if claim.page == ARCHITECTURE]
    for heading, text in sections((ROOT / ARCHITECTURE).read_text()).items():
        assert any(words in squeezed(text) for words in said), heading


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: claim.says[:50])
def test_claim(claim):
    """The page says it, one of its tests is not slow, and planted bugs show that they can fail."""
    assert claim.says in squeezed((ROOT / claim.page).read_text())
    assert claim.why or (claim.tests and claim.bug)
    for named in (*claim.tests, *claim.bug):
        assert named.function in named_in(named.file), named
        assert f'"{named.bug}"' in (ROOT / named.file).read_text() or not named.bug, named
    assert not claim.tests or not all(named_in(test.file)[test.function] for test in claim.tests)


def test_new_sentence_is_missed():
    page = (ROOT / README).read_text()
    assert missing(f"{page}\nIt also makes coffee.\n", claims()) == ["It also makes coffee."]


def test_names_are_read():
    assert Named.read("a.py::test_b: c: d") == Named("a.py", "test_b", "c: d")
    assert named_in("tests/model/test_shapes.py")["test_370m"]
    assert "test_pysim" in named_in("tests/lib/test_regroup.py")
    assert "test_nothing" not in named_in("tests/lib/test_regroup.py")
