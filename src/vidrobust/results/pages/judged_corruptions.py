"""The corruptions of a judgement: a table of kind against severity for its page, lines for the terminal."""

from __future__ import annotations

from typing import Any

from vidrobust.results.pages.markup import Html, html_table, tag


def corruption_lines(record: dict[str, Any]) -> list[str]:
    """What each convention adds up to, in a line."""
    return [f"{one['convention']}: {'; '.join(_sums(one))}" for one in record.get("corruptions", ())]


def corruption_part(record: dict[str, Any]) -> Html:
    """The accuracies under each kind by severity, and what they add up to; nothing where none were measured."""
    return Html("".join(_convention(one) for one in record.get("corruptions", ())))


def _convention(one: dict[str, Any]) -> Html:
    severities = sorted({cell["severity"] for kind in one["kinds"] for cell in kind["severities"]})
    lines = [
        (
            kind["kind"].replace("_", " ") + ("" if kind["counted"] else " (beside)"),
            *(_cell(cells.get(level)) for level in severities),
        )
        for kind in one["kinds"]
        for cells in [{cell["severity"]: cell for cell in kind["severities"]}]
    ]
    caption = (
        f"Accuracy (%) under {one['convention']} on {one['clean']['clips']} clips, 95 % intervals clustered by source; "
        "a kind beside does not count in means over kinds"
    )
    head = ("kind", *(f"severity {level}" for level in severities))
    sums = tag("p", f"{'; '.join(_sums(one))}.")
    return Html(tag("h2", f"Under corruptions: {one['convention']}") + sums + html_table(head, lines, caption, "grid"))


def _cell(cell: dict[str, Any] | None) -> Html:
    if cell is None:
        return Html("–")
    value = 100 * cell["correct"] / cell["clips"]
    return Html(f"{value:.1f} <small>({100 * cell['low']:.1f}–{100 * cell['high']:.1f})</small>")


def _sums(one: dict[str, Any]) -> list[str]:
    kinds = sum(kind["counted"] for kind in one["kinds"])
    parts = [f"over {kinds} kinds mPC {mean_percent(one['mpc'])}"]
    parts += [f"rPC {mean_percent(one['rpc'])}"] if one["rpc"] else []
    parts.append(f"γᵃ {mean_share(one['gamma_absolute'])}")
    return parts + ([f"γʳ {mean_share(one['gamma_relative'])}"] if one["gamma_relative"] else [])


def mean_percent(found: dict[str, float]) -> str:
    """A mean over kinds in %, with its interval where it has one.

    >>> mean_percent({"value": 0.5, "low": 0.4, "high": 0.6}), mean_percent({"value": 0.5})
    ('50.0 % [40.0 %, 60.0 %]', '50.0 %')
    """
    bounds = f" [{100 * found['low']:.1f} %, {100 * found['high']:.1f} %]" if "low" in found else ""
    return f"{100 * found['value']:.1f} %{bounds}"


def mean_share(found: dict[str, float]) -> str:
    """A mean with its interval where it has one.

    >>> mean_share({"value": 0.25, "low": 0.2, "high": 0.3})
    '0.25 [0.20, 0.30]'
    """
    return f"{found['value']:.2f}" + (f" [{found['low']:.2f}, {found['high']:.2f}]" if "low" in found else "")
