from __future__ import annotations

import csv
import pickle
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import vidrobust.errors
from vidrobust.errors import NotationError
from vidrobust.notation import (
    POLICIES,
    STANDARD,
    AttackText,
    ParseError,
    Policy,
    Setting,
    parse,
    parse_attack,
    parse_policy,
)
from vidrobust.notation.schedules import (
    AlphaRamp,
    Clock,
    EqualsEps,
    Fixed,
    IterationTable,
    LogUniform,
    LogUniformTop,
    OptimalAlpha,
    Uniform,
)

PACKAGE = Path(vidrobust.errors.__file__).parent
EPS = st.just(0.0) | st.floats(0.01, 255)
ALPHA = st.floats(0.01, 255)
STEPS = st.integers(1, 1000)


def ordered(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.tuples(values, values).filter(lambda pair: pair[0] < pair[1])


eps_rules = st.one_of(EPS.map(Fixed), st.builds(Uniform, EPS, EPS), ordered(EPS).map(lambda pair: LogUniformTop(*pair)))
alpha_rules = st.one_of(
    ALPHA.map(Fixed),
    st.floats(0.001, 1000).map(EqualsEps),
    st.integers(1, 1000).map(lambda part: EqualsEps(1 / part)),
    st.sampled_from([OptimalAlpha(), AlphaRamp()]),
)
steps_rules = st.one_of(STEPS.map(Fixed), ordered(STEPS).map(lambda pair: LogUniform(*pair)), st.just(IterationTable()))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    rules = draw(eps_rules), draw(alpha_rules), draw(steps_rules)
    moves = any(rule.moves for rule in rules)
    return Policy("CAL" if moves else draw(st.sampled_from(["AT", "fAT"])), *rules)


attacks = st.one_of(
    st.builds(AttackText, st.just("PGD"), EPS, st.one_of(ALPHA, st.just("α*")), STEPS),
    EPS.map(lambda eps: AttackText("FGSM", eps, eps, 1)),
)


def never(eps: float, steps: int) -> float:
    raise AssertionError("this policy has no use for α*")


def error_of(text: str, read=parse) -> ParseError:
    with pytest.raises(ParseError) as caught:
        read(text)
    return caught.value


def outcome(text: str) -> Policy | AttackText | ParseError:
    try:
        return parse(text)
    except ParseError as error:
        return error


def published_spellings() -> list[str]:
    (table,) = PACKAGE.glob("**/defence_accuracy.csv")
    with table.open(encoding="utf-8", newline="") as lines:
        return list(dict.fromkeys(row["defence"] for row in csv.DictReader(lines)))


@given(st.one_of(policies(), attacks, st.just(STANDARD)))
def test_what_is_printed_reads_back(made: Policy | AttackText):
    assert parse(str(made)) == made
    assert str(parse(str(made))) == str(made)


@given(policies(), st.randoms())
def test_ascii_blanks_case_and_order_change_nothing(policy: Policy, random):
    name, terms = str(policy).removesuffix(")").split("(", 1)
    depth, parts = 0, [""]
    for character in terms:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    random.shuffle(parts)
    text = f"  {name.upper()} ( {' , '.join(parts)} ) "
    text = text.replace("ε", "eps").replace("α", "alpha").replace("~", " = ").replace("*", " *")
    assume(len(text) <= 200)
    assert parse(text) == policy


def test_every_published_row_has_its_canonical_name():
    assert [str(parse_policy(spelling)) for spelling in published_spellings()] == ["standard", *POLICIES]


@pytest.mark.parametrize("name", POLICIES)
def test_canonical_names_print_as_they_are(name: str):
    assert str(parse(name)) == name


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Clean", "standard"),
        ("STANDARD", "standard"),
        ("CAL(eps~U(0,12),alpha=alpha*,i=5)", "CAL(ε~U(0,12),α=α*,i=5)"),
        ("CAL(epsilon = U, alpha ~ alphaU, steps = iU)", "CAL(ε~U(0,12),α~αU,i~iU)"),
        ("CAL(𝜖∼U,𝛼＝𝛼∗,i=i＊)", "CAL(ε~U(0,12),α=α*,i=i*)"),
        ("CAL(ɛ~U,ɑ=ε,i=3)", "CAL(ε~U(0,12),α=ε,i=3)"),
        ("CAL(ε~rU,α~αU(2ε,α*),i~lU(1,15))", "CAL(ε~rU(12,0),α~αU,i~iU)"),
        ("CAL(ε~rU(0,12),α=2eps,i=iU(1,10))", "CAL(ε~rU(12,0),α=2ε,i~iU(1,10))"),
        ("CAL(ε~U(12,0),α=0.25ε,i=5)", "CAL(ε~rU(12,0),α=ε/4,i=5)"),
        ("CAL(ε~lU,α=α*,i=5.0)", "CAL(ε~lU(0,12),α=α*,i=5)"),
        ("AT(i=3,α=.5,ε=8.)", "AT(ε=8,α=0.5,i=3)"),
        ("PGD(ε=8,α=α*,i=20)", "PGD(ε=8,α=α*,i=20)"),
        ("pgd(eps=8, alpha=eps/4, steps=20)", "PGD(ε=8,α=2,i=20)"),
        ("PGD(α=2ε,ε=8,i=5)", "PGD(ε=8,α=16,i=5)"),
        ("FGSM(eps=4)", "FGSM(ε=4)"),
        ("AT(ε=8/255,α=2 / 255,i=10)", "AT(ε=8,α=2,i=10)"),
        ("AT(ε=8/255.0,α=2*ε,i=10)", "AT(ε=8,α=2ε,i=10)"),
        ("AT(ε=8,α=ε*2,i=10)", "AT(ε=8,α=2ε,i=10)"),
        ("AAT(ε_max=12/255,α=ε,i=5)", "AAT(ε_max=12,α=ε,i=5)"),
        ("PGD(eps=8/255,alpha=2/255,steps=10)", "PGD(ε=8,α=2,i=10)"),
        ("PGD(ε:=8,α=0.5ε,i=5)", "PGD(ε=8,α=4,i=5)"),
        ("CAL(ε~U(0,12/255),α=ε,i=5)", "CAL(ε~U(0,12),α=ε,i=5)"),
        ("CAL(ε~U(0,12),α~U(2ε,α*),i~lU(1,15))", "CAL(ε~U(0,12),α~αU,i~iU)"),
        ("CAL(ε:=U(0,12),α:=U(2ε,α*),i:=lU(1,15))", "CAL(ε~U(0,12),α~αU,i~iU)"),
        ("CAL(ε~U:=U(0,12),α~αU:=U(2ε,α*),i~iU:=lU(1,15))", "CAL(ε~U(0,12),α~αU,i~iU)"),
        ("CAL(ε~rU:=U(12,0),α=α*,i=5)", "CAL(ε~rU(12,0),α=α*,i=5)"),
        ("CAL(ε~lU:=lU(0,8),α=α*,i=5)", "CAL(ε~lU(0,8),α=α*,i=5)"),
        ("U:=U(0,12)", "U(0,12)"),
        ("rU := U(12, 0)", "rU(12,0)"),
        ("lU:=lU(0,12)", "lU(0,12)"),
        ("αU:=U(2ε,α*)", "αU"),
        ("alphaU:=U(2eps,alpha*)", "αU"),
        ("iU:=lU(1,15)", "iU"),
        ("CAL(ε~U,α=ε/4,i=5,BY=Step,norm=LINF)", "CAL(ε~U(0,12),α=ε/4,i=5,by=step)"),
    ],
)
def test_other_spellings(text: str, canonical: str):
    assert str(parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "pointed_at", "says"),
    [
        ("", "", "Expected one of standard, AT, fAT, CAL, AAT, TRADES"),
        ("   ", "", "Expected one of"),
        ("FREED(ε=8)", "FREED(ε=8)", "Expected one of"),
        ("AT", "", "Expected ("),
        ("AT()", ")", "Expected one of ε, α, i"),
        ("AT(ε=8)", ")", "missing: α, i"),
        ("AT(ε=8,α=8)", ")", "missing: i"),
        ("AT(ε=8,α=8,i=3", "", "Expected , or )"),
        ("AT(ε=8,α=8,i=3,)", ")", "Expected one of ε, α, i"),
        ("AT(ε=8,α=8,i=3))", ")", "end of the text"),
        ("standard training", "training", "end of the text"),
        ("AT(ε=8;α=8,i=3)", ";α=8,i=3)", "Expected , or )"),
        ("AT(ε:8,α=8,i=3)", ":8,α=8,i=3)", "Expected = or ~"),
        ("AT(ε=8,ε=8,i=3)", "ε=8,i=3)", "given twice"),
        ("AT(ε=8,β=8,i=3)", "β=8,i=3)", "Expected one of ε, α, i"),
        ("AT(ε=256,α=8,i=3)", "256,α=8,i=3)", "between 0 and 255"),
        ("AT(ε=-1,α=8,i=3)", "-1,α=8,i=3)", "between 0 and 255"),
        ("AT(ε=1e999,α=8,i=3)", "1e999,α=8,i=3)", "between 0 and 255"),
        ("AT(ε=nan,α=8,i=3)", "nan,α=8,i=3)", "Expected a number, U, rU, lU"),
        ("AT(ε=inf,α=8,i=3)", "inf,α=8,i=3)", "Expected a number"),
        ("AT(ε=８,α=8,i=3)", "８,α=8,i=3)", "Expected a number"),
        ("AT(ε=٨,α=8,i=3)", "٨,α=8,i=3)", "Expected a number"),
        ("AT(ε=8/256,α=8,i=3)", "8/256,α=8,i=3)", "units of 1/255"),
        ("AT(ε=2*4,α=8,i=3)", "2*4,α=8,i=3)", "units of 1/255"),
        ("AT(ε=8/255/2,α=8,i=3)", "8/255/2,α=8,i=3)", "units of 1/255"),
        ("AT(ε=8+1,α=8,i=3)", "8+1,α=8,i=3)", "units of 1/255"),
        ("AT(ε=8,α=2*2,i=3)", "2*2,i=3)", "units of 1/255"),
        ("AT(ε=8,α=2,i=10/2)", "10/2)", "Expected a number"),
        ("AT(ε=8,α=2,i=8/255)", "8/255)", "Expected a number"),
        ("AT(ε=0.0039,α=8,i=3)", "0.0039,α=8,i=3)", "write 0.994 for 0.0039"),
        ("AT(ε=8,α=0.0078,i=3)", "0.0078,i=3)", "units of 1/255"),
        ("AT(ε=1/255,α=0.001/255,i=3)", "0.001/255,i=3)", "a share of ε, such as ε/100"),
        ("CAL(ε~U(0,12/25),α=ε,i=3)", "12/25),α=ε,i=3)", "units of 1/255"),
        ("CAL(ε~U:U(0,12),α=ε,i=3)", ":U(0,12),α=ε,i=3)", "Expected , or )"),
        ("CAL(ε~U,α~U,i=3)", ",i=3)", "for α, U is αU"),
        ("CAL(ε~U,α~U(0,12),i=3)", "0,12),i=3)", "αU(2ε,α*)"),
        ("U:=", "", "Expected a number, U, rU, lU"),
        ("U(0,12)", "(0,12)", "Expected :="),
        ("rU:=U(12,300)", "300)", "between 0 and 255"),
        ("PGD(ε=8/25,α=2,i=5)", "8/25,α=2,i=5)", "units of 1/255"),
        ("PGD(ε=8,α=2*2,i=5)", "2*2,i=5)", "units of 1/255"),
        ("PGD(ε=0.0039,α=2,i=5)", "0.0039,α=2,i=5)", "units of 1/255"),
        ("PGD(ε=8,α=2,i=5,norm=L2)", "norm=L2)", "PGD takes no other"),
        ("PGD(ε=8,α=2)", ")", "missing: i"),
        ("AT(ε=8,α=0,i=3)", "0,i=3)", "above 0"),
        ("AT(ε=8,α=ε/0,i=3)", "0,i=3)", "other than 0"),
        ("AT(ε=8,α=0ε,i=3)", "0ε,i=3)", "between ε/1000 and 1000ε"),
        ("AT(ε=8,α=8,i=2.5)", "2.5)", "whole number from 1 to 1000, not 2.5"),
        ("AT(ε=8,α=8,i=0)", "0)", "whole number"),
        ("AT(ε=8,α=8,i=1001)", "1001)", "whole number"),
        ("AT(ε=8,α=8,i=i)", ")", "i*"),
        ("AT(ε=8,α=α,i=3)", ",i=3)", "α*"),
        ("AT(ε~U,α=8,i=3)", "U,α=8,i=3)", "it is CAL"),
        ("fAT(ε=8,α=8,i~iU)", "iU)", "it is CAL"),
        ("CAL(ε=8,α=8,i=3)", "CAL(ε=8,α=8,i=3)", "needs a value that moves"),
        ("CAL(ε~U(0,300),α=8,i=3)", "300),α=8,i=3)", "between 0 and 255"),
        ("CAL(ε~U(0),α=8,i=3)", "),α=8,i=3)", "Expected ,"),
        ("CAL(ε~U(0,12,α=8,i=3)", ",α=8,i=3)", "Expected )"),
        ("CAL(ε~lU(12,0),α=8,i=3)", "(12,0),α=8,i=3)", "low < high"),
        ("CAL(ε~U,α~αU(3ε,α*),i=3)", "3ε,α*),i=3)", "αU(2ε,α*)"),
        ("CAL(ε~U,α~αU(2ε,α),i=3)", "),i=3)", "αU(2ε,α*)"),
        ("CAL(ε~U,α=8,i~lU)", ")", "0 < low < high"),
        ("CAL(ε~U,α=8,i~iU(1,2.5))", "2.5))", "whole number"),
        ("PGD(ε~U,α=2,i=5)", "U,α=2,i=5)", "an attack has one ε"),
        ("PGD(ε=8,α~αU,i=5)", "αU,i=5)", "an attack has one α"),
        ("PGD(ε=8,α=2,i=i*)", "i*)", "an attack has one i"),
        ("PGD(ε=0,α=ε,i=5)", "ε,i=5)", "above 0"),
        ("FGSM(ε=8,α=2)", "α=2)", "FGSM takes no other"),
    ],
)
def test_errors_point_at_the_character(text: str, pointed_at: str, says: str):
    error = error_of(text)
    assert error.position == len(text) - len(pointed_at)
    first, caret, reason, example_line = str(error).split("\n")
    assert first == text
    assert caret.index("^") == error.position, "all of these texts have characters of one column"
    assert says in reason
    assert parse(example_line.removeprefix("Example: "))


def test_the_caret_stays_below_wide_and_long_text():
    full_width_bracket = str(error_of("AT（ε=x)")).split("\n")
    assert full_width_bracket[1] == " " * 6 + "^"
    ideographic_blank = str(error_of("AT(\u3000ε=x)")).split("\n")
    assert ideographic_blank[0] == "AT(·ε=x)"
    assert ideographic_blank[1] == " " * 6 + "^"
    long = str(error_of("AT(ε=8,α=8," + " " * 120 + "j=3)")).split("\n")
    assert long[0][long[1].index("^")] == "j"
    assert len(long[0]) < 100


def test_very_long_text_is_refused_at_once():
    error = error_of("AT(" * 1_000_000)
    assert error.position == 400
    assert len(str(error)) < 400


def test_policies_and_attacks_are_told_apart():
    assert "a training policy" in str(error_of("AT(ε=8,α=8,i=3)", parse_attack))
    assert "an attack" in str(error_of("PGD(ε=8,α=8,i=3)", parse_policy))
    assert isinstance(parse_attack("PGD(ε=8,α=8,i=3)"), AttackText)
    assert isinstance(parse_policy("AT(ε=8,α=8,i=3)"), Policy)


def test_errors_survive_the_way_back_from_a_worker_process():
    error = error_of("AT(ε=8)")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - as multiprocessing does
    assert (str(again), again.position) == (str(error), error.position)


@given(st.one_of(st.text(), st.text("ATfCLPGDSMUrliεα*()=~,/.0123456789e- ", max_size=60)))
@example("AT(ε=\ud800)")
@example("İ" * 10)
@example("CAL(ε~U(0,1e-400),α=ε/1e308,i=1)")
@example("AT(ε=8,α=1e308ε/1e-308,i=1)")
def test_no_text_raises_anything_but_a_notation_error(text: str):
    made = outcome(text)
    if isinstance(made, ParseError):
        assert 0 <= made.position <= len(text)
        assert "^" in str(made).encode().decode()
    else:
        assert parse(str(made)) == made


@given(st.sampled_from([*POLICIES, "standard", "PGD(ε=8,α=α*,i=20)"]), st.integers(0, 40), st.characters())
def test_one_wrong_character_is_a_notation_error_or_another_policy(text: str, at: int, character: str):
    for broken in (
        text[:at] + character + text[at:],
        text[:at] + character + text[at + 1 :],
        text[:at] + text[at + 1 :],
    ):
        made = outcome(broken)
        if isinstance(made, ParseError):
            assert "^" in str(made)
        else:
            assert parse(str(made)) == made


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Policy("AT", Fixed(300), Fixed(8), Fixed(3)), "ε must lie"),
        (lambda: Policy("AT", Fixed(8), Fixed(float("nan")), Fixed(3)), "α must lie"),
        (lambda: Policy("AT", Fixed(8), Fixed(8), Fixed(2.5)), "i must be"),
        (lambda: Policy("AT", Uniform(0, 12), Fixed(8), Fixed(3)), "it is CAL"),
        (lambda: Policy("CAL", Fixed(8), Fixed(8), Fixed(3)), "needs a value that moves"),
        (lambda: Policy("standard", Fixed(8), Fixed(8), Fixed(3)), "takes no ε"),
        (
            lambda: Policy("N-FGSM", Fixed(200), Fixed(8), options=(("k", 2.0),)),
            "k·ε must not exceed 255, and 400 does",
        ),
        (lambda: AttackText("PGD", 8, 0, 5), "α must lie"),
        (lambda: AttackText("PGD", 8, 2, 0), "i must be"),
        (lambda: AttackText("FGSM", 8, 2, 1), "one step of α = ε"),
    ],
)
def test_values_made_in_python_meet_the_same_checks(make, says: str):
    with pytest.raises(NotationError, match=says):
        make()


def test_a_fixed_policy_is_the_same_in_every_epoch():
    policy = parse_policy("AT(ε=8,α=2,i=10)")
    assert {policy.at(Clock(epoch, 5), never) for epoch in range(5)} == {Setting(8, 2, 10)}


def test_standard_training_attacks_nothing():
    assert STANDARD.at(Clock(0, 1), never) == Setting(0, 0, 1)


def test_settings_over_training():
    def alpha_star(eps: float, steps: int) -> float:
        assert eps > 0, "there is no best step where there is no ball"
        return eps / steps

    def settings(text: str) -> list[Setting]:
        return [parse_policy(text).at(Clock(epoch, 4), alpha_star) for epoch in range(4)]

    assert settings("CAL(ε~U(0,12),α=α*,i=5)") == [(0, 0, 5), (4, 0.8, 5), (8, 1.6, 5), (12, 2.4, 5)]
    assert settings("CAL(ε~rU(12,0),α=ε,i=i*)") == [(12, 12, 2), (8, 8, 3), (4, 4, 6), (0, 0, 8)]
    ramp = settings("CAL(ε~U(0,12),α~αU,i~iU)")
    assert [setting.steps for setting in ramp] == [1, 2, 6, 15]
    assert [setting.alpha for setting in ramp] == pytest.approx(
        [0, 2 / 3 * 8 + 1 / 3 * 2, 16 / 3 + 2 / 3 * 8 / 6, 12 / 15]
    )


@pytest.mark.parametrize(("eps", "steps"), [("2.4", 8), ("2.5", 8), ("2.6", 7), ("4.4", 6), ("4.6", 5)])
def test_iterations_are_rounded_and_a_half_goes_up(eps: str, steps: int):
    assert parse_policy(f"AT(ε={eps},α=ε,i=i*)").at(Clock(0, 1), never).steps == steps


@given(policies(), st.integers(1, 30).flatmap(lambda n: st.builds(Clock, st.integers(0, n - 1), st.just(n))))
def test_settings_stay_in_range(policy: Policy, clock: Clock):
    setting = policy.at(clock, lambda eps, steps: eps / 5)
    assert 0 <= setting.eps <= 255
    assert setting.alpha >= 0
    assert isinstance(setting.steps, int)
    assert 1 <= setting.steps <= 1000


def test_the_documentation_lists_every_policy():
    page = Path(__file__).parents[2] / "docs" / "notation.md"
    table = [line.split("|") for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    rows = [(cells[1].strip(" `"), cells[2].strip(" `")) for cells in table if cells[2].strip().startswith("`")]
    assert rows == list(zip(published_spellings(), ["standard", *POLICIES], strict=True))


@pytest.mark.parametrize("line", ["ε~U(0,12)", "eps ~ rU(12,0)", "α~U(2ε,α*)", "alpha~U(2eps,alpha*)", "i~lU(1,15)"])
def test_what_the_legend_says_to_be_drawn_is_a_schedule(line: str) -> None:
    name, schedule = line.split("~")
    terms = {"ε": "ε~U(0,12)", "α": "α=α*", "i": "i=5"}
    symbol = {"eps": "ε", "alpha": "α"}.get(name.strip(), name.strip())
    policy = parse_policy(f"CAL({','.join({**terms, symbol: f'{symbol}~{schedule}'}.values())})")
    assert parse(line) == {"ε": policy.eps, "α": policy.alpha, "i": policy.steps}[symbol]


@pytest.mark.parametrize("text", ["PGD(ε=8,α=ε/255,i=5)", "PGD(ε=8,α=2ε/255,i=5)", "CAL(ε~U(0,12),α=2ε/255,i=5)"])
def test_a_multiple_of_eps_is_not_divided_by_255(text: str) -> None:
    with pytest.raises(ParseError, match="units of 1/255") as error:
        parse(text)
    assert error.value.position == text.index("255")
