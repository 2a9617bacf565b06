"""Every kind stands in docs/corruptions.md with the severities that it has, what they are, and their source."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidrobust.evaluation.corruptions import CONVENTIONS

PAGE = (Path(__file__).parents[3] / "docs" / "corruptions.md").read_text()


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_table_of_a_convention_is_the_convention(convention: str) -> None:
    section = PAGE.split(f"### {convention}\n")[1].split("\n###")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    assert [line[:4] for line in lines] == [
        [f"`{kind.name}`", ", ".join(map(str, kind.levels)), kind.meaning, kind.draws]
        for kind in CONVENTIONS[convention].kinds
    ]
    assert all(line[4].startswith(("[", "assumed", "own")) for line in lines)
    beside = {line[0].strip("`") for line in lines if "beside" in line[4]}
    assert beside == set(CONVENTIONS[convention].beside)
