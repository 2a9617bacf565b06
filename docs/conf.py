"""Sphinx configuration; `scripts/check` builds with warnings as errors."""

from importlib.metadata import version as version_of
from typing import Any

from vidrobust.notation.families import FAMILIES, Family
from vidrobust.results.numbers.verdict import RULES

project = "vidrobust"
author = "vidrobust contributors"
copyright = "2026, vidrobust contributors"
version = release = version_of("vidrobust")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"vidrobust {version}"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_use_rtype = False


def written(family: Family) -> str:
    """A method with its terms, such as ``Free(ε,m)``."""
    terms = (
        ["…", "…"] if family.mixes else ["ε_max" if family.eps_max and term == "ε" else term for term in family.terms]
    )
    return f"`{family.name}({','.join(terms)})`" if terms else f"`{family.name}`"


def methods() -> str:
    """The table of the methods, from what is declared of them."""
    rows = ["| method | what it does | takes besides (by default) |", "| --- | --- | --- |"]
    for family in FAMILIES.values():
        own = ", ".join(f"`{option.symbol}` ({option.default:g}): {option.about}" for option in family.own)
        rows.append(f"| {written(family)} | {family.about} | {own or '–'} |")
    return "\n".join(rows)


SCOPES = {
    "model": "The model and its data",
    "search": "The search, of a threat under which clips still stand",
    "note": "To know, without consequence",
}


def rules() -> str:
    """The tables of the rules of a judgement, from the rules themselves."""
    lines = []
    for scope, title in SCOPES.items():
        lines += [f"### {title}", "", "| rule | speaks from | because | what helps |", "| --- | --- | --- | --- |"]
        for rule in (rule for rule in RULES.values() if rule.scope == scope):
            limit = f"over {100 * rule.limit:g} %" if rule.limit else "any"
            least = f", at least {rule.least}" if rule.least > 1 else ""
            because = rule.because.format(count="*n*", of="*N*")
            lines.append(f"| {rule.name} | {limit}{least} | {because} | {rule.remedy} |")
        lines.append("")
    return "\n".join(lines)


def setup(app: Any) -> None:
    """Have ``{{methods}}`` in the page on training and ``{{rules}}`` in that on judgements replaced."""

    def replace(app: Any, page: str, source: list[str]) -> None:
        if page == "training":
            source[0] = source[0].replace("{{methods}}", methods())
        if page == "judge":
            source[0] = source[0].replace("{{rules}}", rules())

    app.connect("source-read", replace)
