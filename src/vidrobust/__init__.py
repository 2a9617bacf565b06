"""vidrobust: adversarial attacks on, and adversarial training of, video classifiers.

    import vidrobust as vr

    data = vr.data.motion()
    model = vr.models.build("r3d-small", classes=len(data.classes))
    run = vr.fit(model, data, "AT(ε=8,α=8,i=3)", epochs=2)
    attack = vr.PGD(vr.Threat(vr.Linf(), eps=8 / 255), alpha=2 / 255, steps=20)
    rows = vr.evaluate(run.model, data.test, [attack])

Names are loaded on first use, so that importing the package costs nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
