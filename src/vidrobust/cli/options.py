"""The options of a verb: the fields of its dataclass, described by its docstring.

A field of a plain type is an option of that name, a ``bool`` that is false by default a flag, a nested dataclass a
group (``--fit.lr``). Two kinds of field say more: :func:`option` is declared otherwise than by its type, and the fields
of a :func:`flat` dataclass are options of the verb itself.

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True, kw_only=True)
... class Greet(Verb):
...     '''Greet somebody.
...
...     Attributes:
...         name: whom to greet.
...         loudly: so that all hear it.
...     '''
...
...     name: str = "world"
...     loudly: bool = False
...
...     def run(self, console: object) -> None:
...         print(f"hello {self.name}" + ("!" if self.loudly else ""))
>>> run(Greet, "greet", ["--name", "Ada", "--loudly"])
hello Ada!
"""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from argparse import SUPPRESS, ArgumentError
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_type_hints

from vidrobust.cli.config_files import check_config_files
from vidrobust.cli.next_steps import Step, suggestions
from vidrobust.cli.option_names import check_names, declared
from vidrobust.cli.parser_errors import in_words
from vidrobust.errors import UsageError
from vidrobust.notation.calls import read_levels
from vidrobust.notation.units import Levels, Over255

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser
    from rich.console import Console

VerbType = TypeVar("VerbType")
Chosen = TypeVar("Chosen", bound="Verb")


class Verb(ABC):
    """The base of all verbs: frozen dataclasses whose fields are options, with what they do.

    Attributes:
        LINKS: nested fields that have a shorter spelling: ``{"epochs": "fit.epochs"}``; the long one is then refused.
        PRESET: the option that names the defaults of all others, see :meth:`preset`.
        NEXT: commands to try, the last lines of its help.
    """

    LINKS: ClassVar[Mapping[str, str]] = {}
    PRESET: ClassVar[str] = ""
    NEXT: ClassVar[Sequence[Step]] = (Step("vidrobust --help", "list all verbs"),)

    @classmethod
    def preset(cls, name: str | None) -> dict[str, Any]:
        """The defaults that a value of the option ``PRESET`` stands for, by dotted names.

        Raises:
            UsageError: there is nothing of this name.
        """
        return {}

    @abstractmethod
    def run(self, console: Console) -> None:
        """Do it; what is printed is the result, what people should know on the way goes to the console."""


def option(*, default: Any = MISSING, positional: bool = False, **how: Any) -> Any:
    """A field that is declared otherwise than by its type: ``how`` is what ``add_argument`` takes."""
    return field(default=default, metadata={"positional": positional, "how": how})


def flat(default: Any = MISSING) -> Any:
    """A field that holds a dataclass whose own fields are options of the verb itself."""
    return field(default=default, metadata={"flat": True})


def run(kind: type[Verb], name: str, arguments: Sequence[str]) -> None:
    """Parse the options of a verb and do what it does."""
    from vidrobust.results.pages.console import SafeConsole

    parsed(kind, name, arguments).run(SafeConsole(stderr=True))


def parsed(kind: type[Chosen], name: str, arguments: Sequence[str]) -> Chosen:
    """A verb from its command line; ``--help`` and ``--print_config`` end the program.

    Raises:
        UsageError: the command line is wrong.
    """
    links = {long: short for short, long in kind.LINKS.items()}
    check_names(kind, arguments, links)
    parser = parser_of(kind, name)
    arguments = _spelled(arguments)
    check_config_files(kind, arguments, links)
    try:
        if kind.PRESET:
            defaults = kind.preset(_chosen(parser, kind.PRESET, arguments))
            defaults.pop(kind.PRESET, None)  # what is printed must name it, also where defaults are left out
            parser.set_defaults(defaults)
        values = parser.parse_args(arguments)
    except ArgumentError as error:
        positional = [name for name, (of, _) in declared(kind).items() if of.metadata.get("positional")]
        raise UsageError(f"{in_words(_types_by_name(' '.join(str(error).split())), positional)}.") from error
    return _instance(kind, dict(vars(parser.instantiate(values))))


def parser_of(kind: type[Verb], name: str) -> ArgumentParser:
    """What parses the options of a verb, and prints its help."""
    from jsonargparse import ArgumentParser, set_dumper
    from jsonargparse.typing import register_type

    class VerbParser(ArgumentParser):
        def format_help(self, formatter: Any = None) -> str:
            help_text = super().format_help() if formatter is None else super().format_help(formatter)
            return f"{_plain_types(help_text)}\n{suggestions(kind.NEXT)}"

    set_dumper("yaml", _as_yaml)
    register_type(Levels, _levels_as_written, read_levels, type_check=_is_levels, fail_already_registered=False)
    about = (inspect.getdoc(kind) or "").partition("\n\n")[0]
    parser = VerbParser(prog=f"vidrobust {name}", description=about, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="a YAML file of options; options after it override it")
    _declare(parser, kind, {})
    for short, long in kind.LINKS.items():
        parser.link_arguments(short, long)
    return parser


def _levels_as_written(levels: float) -> float | str:
    """As a configuration holds it, so that it is read back as the same."""
    return f"{float(levels)!r}/255" if isinstance(levels, Over255) else float(levels)


def _is_levels(value: object, _: type) -> bool:
    return isinstance(value, float)


def _types_by_name(text: str) -> str:
    """What the parser says, with ``Path`` instead of ``<class 'Path'>``."""
    return re.sub(r"<class\s+'(?:[\w.]+\.)?(\w+)'>", r"\1", text).replace(f"{Levels.__module__}.Levels", "Levels")


def _plain_types(text: str) -> str:
    """Help in which types are alternatives, as they are typed; lines may break within a type.

    >>> _plain_types("Optional[Literal['pdf', 'svg']], <class 'pathlib.Path'>, Union[int, Literal['sliding']]")
    'pdf | svg | null, Path, int | sliding'
    """
    text = re.sub(r"\bLevels\b", "float", _types_by_name(text))
    text = re.sub(r"Literal\[([^\]]*)\]", lambda found: _any_of(found[1].replace("'", "")), text)
    text = re.sub(r"Optional\[([^\[\]]*(?:\[[^\]]*\][^\[\]]*)*)\]", r"\1 | null", text)
    return re.sub(r"Union\[([^\[\]]*)\]", lambda found: _any_of(found[1]), text)


def _any_of(listed: str) -> str:
    return re.sub(r",(\s)", r" |\1", listed)


def flattened(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields by their dotted names.

    >>> flattened({"lr": 0.1, "clips": {"size": 24}})
    {'lr': 0.1, 'clips.size': 24}
    """
    found: dict[str, Any] = {}
    for name, value in nested.items():
        found |= flattened(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found


def _declare(parser: ArgumentParser, kind: type, defaults: Mapping[str, Any]) -> None:
    """The fields of a dataclass as options."""
    hints, about = get_type_hints(kind), _about(kind)
    for of in fields(kind):
        default = defaults.get(of.name, _default(of))
        if of.metadata.get("flat"):
            _declare(parser, hints[of.name], {} if default is MISSING else vars(default))
            continue
        how: dict[str, Any] = {"help": about.get(of.name, ""), **of.metadata.get("how", {})}
        if default is not MISSING:  # of a positional argument it would override what a configuration file says
            how["default"] = SUPPRESS if of.metadata.get("positional") else default
        elif not of.metadata.get("positional"):
            how["required"] = True
        if hints[of.name] is bool and default is False:
            how["action"] = "store_true"
        elif how.get("action") is None:
            how.setdefault("type", hints[of.name])
        parser.add_argument(of.name if of.metadata.get("positional") else f"--{of.name}", **how)


def _default(of: Field[Any]) -> Any:
    return of.default if of.default_factory is MISSING else of.default_factory()


def _about(kind: type) -> dict[str, str]:
    """What the docstrings of a dataclass and its bases say of its fields."""
    from docstring_parser import parse

    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        for said in parse(base.__doc__ or "").params:
            names = (name.strip() for name in said.arg_name.split(","))
            found |= dict.fromkeys(names, " ".join((said.description or "").split()).rstrip("."))
    return found


def _spelled(arguments: Sequence[str]) -> list[str]:
    """Options may be spelled with dashes (``--skip-bad``) or as the fields are (``--skip_bad``)."""
    spelled = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name.startswith("--"):
            name = "--" + name[2:].replace("-", "_")
        spelled.append(name + equals + value)
    return spelled


def _chosen(parser: ArgumentParser, name: str, arguments: Sequence[str]) -> str | None:
    """The preset that options or a configuration file name; help and printing wait until its values are known."""
    ends = ("--help", "--print_config")
    asked = [argument for argument in arguments if argument != "-h" and argument.partition("=")[0] not in ends]
    return parser.parse_args(asked, env=False)[name]


def _as_yaml(values: Mapping[str, Any]) -> str:
    """A configuration as it is printed: text that would be read back as a number is quoted (PyYAML leaves 1e3 bare)."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        style = "'" if value[:1] in set("+-.0123456789") else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)

    Dumper.add_representer(str, text)
    return yaml.dump(values, Dumper=Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)


def _instance(kind: type[VerbType], values: dict[str, Any]) -> VerbType:
    """A dataclass of parsed values, the flat ones within it made of theirs."""
    hints = get_type_hints(kind)
    return kind(
        **{
            of.name: _instance(hints[of.name], values) if of.metadata.get("flat") else values.get(of.name, _default(of))
            for of in fields(kind)  # type: ignore[arg-type]
        }
    )
