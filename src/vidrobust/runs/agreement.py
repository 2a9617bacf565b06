"""What must fit together in a row whose fields are right one by one: counts and their digits, lists and their lengths.

Each check is of the rows of one kind and says what does not fit, or nothing.
"""

from __future__ import annotations

from typing import Any

from vidrobust.runs.keys import content_key


def survivors_agree(row: dict[str, Any]) -> str | None:
    """A digit for each clip, and a 1 for each correct one."""
    digits = row.get("survived")
    if "queries" in row and len(row["queries"]) != row["clips"]:
        return "queries has not one count for each clip"
    if digits is None or (len(digits) == row["clips"] and digits.count("1") == row["correct"]):
        return None
    return "survived has not one digit for each clip, and a 1 for each correct one"


def top_counts_agree(row: dict[str, Any]) -> str | None:
    """As many clips right, and within the first k, as are counted."""
    for name, count in {"right": "top1", "within": "top5"}.items():
        digits = row.get(name)
        if digits is not None and (len(digits) != row["clips"] or digits.count("1") != row[count]):
            return f"{name} has not one digit for each clip, and a 1 for each of {count}"
    return None


def manifest_agrees(row: dict[str, Any]) -> str | None:
    """As many clips as it says, of this hash."""
    if len(row["list"]) != row["clips"]:
        return "list has not as many clips as it says"
    return None if content_key(row["list"]) == row["clips_of"] else "clips_of is not the hash of the list"


def corruption_agrees(row: dict[str, Any]) -> str | None:
    """Severity 0 of clean clips alone."""
    if (row["severity"] == 0) != (row["corruption"] == "none") or row["severity"] > 5:
        return "severity is 0 of clean clips, whose corruption is none, and 1 to 5 of others"
    return survivors_agree(row)


def answers_agree(row: dict[str, Any]) -> str | None:
    """An answer for each severity."""
    if len(row["answers"]) == len(row["severities"]):
        return None
    return "answers has not one answer for each severity"


def watched_counts_agree(row: dict[str, Any]) -> str | None:
    """Digits of what an epoch counts."""
    return _survivors_of(row, {name: row[name] for name in ("clean", "single", "robust")})


def _survivors_of(row: dict[str, Any], counts: dict[str, int]) -> str | None:
    for name, digits in row.get("survived", {}).items():
        if name not in counts or len(digits) != row["clips"] or digits.count("1") != counts[name]:
            return f"survived has not one digit for each clip, and a 1 for each correct one, at {name[:20]!r}"
    return None


def steps_agree(row: dict[str, Any]) -> str | None:
    """An entry for each step, and for each clip in it."""
    if not row["loss"] or len(row["loss"]) != len(row["correct"]):
        return "loss and correct are not equally long lists, one entry for each step from 0"
    wrong = _survivors_of(row, {str(step): count for step, count in enumerate(row["correct"])})
    if wrong is not None:
        return wrong
    for step, losses in row.get("clip_loss", {}).items():
        if not step.isdecimal() or len(losses) != row["clips"]:
            return "clip_loss has not a list of one loss for each clip, by the step"
    return None


def radii_agree(row: dict[str, Any]) -> str | None:
    """A radius for each clip, above 0 of correct ones alone."""
    if len(row["radius"]) != row["clips"] or sum(map(bool, row["radius"])) > row["correct"]:
        return "radius has not one number for each clip, 0 for each that is not certified to be right"
    right = row.get("right")
    if right is not None and (len(right) != row["clips"] or right.count("1") != row["correct"]):
        return "right has not one digit for each clip, and a 1 for each of correct"
    return None
