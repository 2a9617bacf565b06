"""An engine that starts early is ended by whatever interrupts it, also while its first worker starts."""

from __future__ import annotations

import pytest

from vidrobust.study.engines import Where, early_engine
from vidrobust.study.engines.local import Local


@pytest.mark.parametrize("moment", ["while it starts", "inside"])
def test_it_is_ended_at_once(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[bool] = []

    def start_one(engine: Local) -> None:
        if moment == "while it starts":
            raise KeyboardInterrupt

    monkeypatch.setattr(Local, "start_one", start_one)
    monkeypatch.setattr(Local, "close", lambda engine, at_once: ends.append(at_once))
    with pytest.raises(KeyboardInterrupt), early_engine(Where(workers=1)):
        raise KeyboardInterrupt
    assert ends == [True]
