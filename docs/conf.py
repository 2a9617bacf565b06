"""Sphinx configuration; `scripts/check` builds with warnings as errors."""

import re
import shlex
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from sphinx_gallery.sorting import ExplicitOrder

from vidrobust.models.zoo import zoo_models
from vidrobust.notation.families import FAMILIES, Family
from vidrobust.results.judgements.record import read_judgement
from vidrobust.results.numbers.rules import RULES

project = "vidrobust"
author = "vidrobust contributors"
copyright = "2026, vidrobust contributors"
version = release = version_of("vidrobust")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build", "zoo/*", "gallery/*.ipynb", "gallery/*.py"]
html_theme = "furo"
html_title = f"vidrobust {version}"
html_static_path = ["_styles"]
html_css_files = ["gallery.css"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_use_rtype = False

HERE = Path(__file__).parent
EXAMPLES = (
    "attack_torchvision",
    "judge_hugging_face",
    "harden",
    "own_search",
    "own_threat",
    "ucf101_to_page",
    "curricula",
    "rows_as_tables",
    "leaderboard",
)
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",  # all of them run
    "within_subsection_order": ExplicitOrder([f"{name}.py" for name in EXAMPLES]),
    "abort_on_example_error": True,
    "capture_repr": (),  # only what is printed: a legend's address tells nobody anything
    "backreferences_dir": "gallery/names",
    "doc_module": ("vidrobust",),
    "reset_modules": ("matplotlib",),
    "remove_config_comments": True,
    "default_thumb_file": str(HERE / "_static" / "page-accuracy.png"),
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1,
    "write_computation_times": False,
}


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


def zoo() -> str:
    """The table of the zoo, from the committed records of its judgements."""
    lines = ["| model | trained | clean | worst case under Linf(8) | verdict |", "| " + "--- | " * 5]
    for name, model in zoo_models().items():
        if not (HERE / "zoo" / name).exists():
            lines.append(f"| `zoo:{name}` | {model.about} | not judged yet | | |")
            continue
        judged = read_judgement(HERE / "zoo" / name)
        clean = judged.record["clean"]
        worst = told(judged.threat(("Linf", 8.0, "WholeClip"))["worst_case"])
        cells = (
            f"`zoo:{name}`",
            model.about,
            f"{clean['correct']} of {clean['clips']}",
            worst,
            judged.record["verdict"],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def zoo_commands() -> str:
    """How the models of the zoo were trained."""
    models = zoo_models().items()
    return "".join(f"    vidrobust {shlex.join(model.command)} --out runs/{name}\n" for name, model in models)


def told(found: dict[str, Any]) -> str:
    """Clips that stand, with the interval of their share."""
    return f"{found['correct']} of {found['clips']} [{found['low']:.0%}, {found['high']:.0%}]"


def shortest(name: str, documented: Any) -> str:
    """The shortest path under which users find something: ``vidrobust.PGD`` of ``vidrobust.attacks.pgd.PGD``."""
    *folders, own = name.split(".")
    paths = (".".join(folders[:end]) for end in range(1, len(folders) + 1))
    return next((f"{path}.{own}" for path in paths if getattr(sys.modules.get(path), own, None) is documented), name)


def list_examples(app: Any, what: str, name: str, documented: Any, options: Any, lines: list[str]) -> None:
    """Below what is said of a class or a function, the examples that use it."""
    found = HERE / "gallery" / "names" / f"{shortest(name, documented)}.examples"
    if what in ("class", "function") and found.exists():
        examples = dict.fromkeys(re.findall(r"sphx_glr_(\w+)_thumb", found.read_text(encoding="utf8")))
        if examples:
            lines += ["", "Examples: " + ", ".join(f":doc:`/gallery/{example}`" for example in examples), ""]


def setup(app: Any) -> None:
    """Have ``{{methods}}``, ``{{rules}}`` and ``{{zoo}}`` replaced in their pages, and examples listed below names."""

    def replace(app: Any, page: str, source: list[str]) -> None:
        if page == "training":
            source[0] = source[0].replace("{{methods}}", methods())
        if page == "judge":
            source[0] = source[0].replace("{{rules}}", rules())
        if page == "zoo":
            source[0] = source[0].replace("{{zoo}}", zoo()).replace("{{commands}}", zoo_commands())

    app.connect("source-read", replace)
    app.connect("autodoc-process-docstring", list_examples)
    app.connect("build-finished", accessible)


SCROLLING = {"<pre>": '<pre tabindex="0">', '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper'}
"""What scrolls on a narrow screen, and as what it can be reached by keyboard."""


def accessible(app: Any, error: Exception | None) -> None:
    """Give headings of the table of contents their level, and make code and tables that scroll focusable."""
    if error is None and app.builder.format == "html":
        for file in Path(app.outdir).rglob("*.html"):
            html = file.read_text(encoding="utf-8").replace('role="heading">', 'role="heading" aria-level="2">')
            for scrolling, reached in SCROLLING.items():
                html = html.replace(scrolling, reached)
            file.write_text(html, encoding="utf-8")
