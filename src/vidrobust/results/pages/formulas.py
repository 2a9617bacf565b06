"""The two formulas of the attack, as MathML: browsers render them without a script or a font from elsewhere."""

from __future__ import annotations

from vidrobust.results.pages.markup import Html

_LOSS = "<mi>ℒ</mi><mo>(</mo><msub><mi>f</mi><mi>θ</mi></msub><mo>(</mo>{at}<mo>)</mo><mo>,</mo><mi>y</mi><mo>)</mo>"
_STATE = "<msup><mi>x</mi><mrow><mo>(</mo>{i}<mo>)</mo></mrow></msup>"
_NOW, _NEXT = _STATE.format(i="<mi>i</mi>"), _STATE.format(i="<mi>i</mi><mo>+</mo><mn>1</mn>")
_BALL = (
    "<msub><mrow><mo>‖</mo><mi>δ</mi><mo>‖</mo></mrow><mi>∞</mi></msub><mo>≤</mo><mi>ε</mi><mo>,</mo>"
    "<mspace width='.4em'/><mi>x</mi><mo>+</mo><mi>δ</mi><mo>∈</mo><mo>[</mo><mn>0</mn><mo>,</mo><mn>1</mn><mo>]</mo>"
)


def _formula(words: str, body: str) -> Html:
    for bracket in "()[]":  # which would grow as tall as what stands under "arg max"
        body = body.replace(f"<mo>{bracket}</mo>", f'<mo stretchy="false">{bracket}</mo>')
    return Html(f'<math display="block" alttext="{words}" aria-label="{words}"><mrow>{body}</mrow></math>')


FORMULAS = {
    "adversarial-example": _formula(
        "x adversarial = x + δ star, where δ star maximises the loss among all δ of L-infinity norm at most ε "
        "that keep the pixels in [0, 1]",
        "<msub><mi>x</mi><mtext>adv</mtext></msub><mo>=</mo><mi>x</mi><mo>+</mo>"
        "<msup><mi>δ</mi><mo>⋆</mo></msup><mo>,</mo>"
        "<mspace width='1.2em'/><msup><mi>δ</mi><mo>⋆</mo></msup><mo>=</mo>"
        f"<munder><mrow><mi>arg</mi><mspace width='.15em'/><mi>max</mi></mrow><mrow>{_BALL}</mrow></munder>"
        f"<mspace width='.3em'/>{_LOSS.format(at='<mi>x</mi><mo>+</mo><mi>δ</mi>')}",
    ),
    "pgd": _formula(
        "the next x is the projection onto the ε-ball around x of the current x plus α times the sign of the gradient "
        "of the loss",
        f"{_NEXT}<mo>=</mo>"
        "<msub><mi>Π</mi><mrow><msub><mi>B</mi><mi>ε</mi></msub><mo>(</mo><mi>x</mi><mo>)</mo></mrow></msub>"
        f"<mo>(</mo>{_NOW}<mo>+</mo><mi>α</mi><mspace width='.2em'/><mi>sign</mi><mo>(</mo>"
        f"<msub><mo>∇</mo><mi>x</mi></msub><mspace width='.1em'/>{_LOSS.format(at=_NOW)}<mo>)</mo><mo>)</mo>",
    ),
}
"""What a script of slides may ask for with ``{{formula NAME}}``."""
