"""From UCF-101 files to a page
============================

UCF-101 is read as it is distributed: a folder a class, and ``ucfTrainTestlist``. So is any data set in that
layout, such as the embedded one written as files.
"""

# %%
# Files
# -----
# Here are 200 small videos in UCF-101's layout. With UCF-101 itself, leave this step out.

import tempfile
from pathlib import Path

import vidrobust as vr
from vidrobust.data.check import check_data, summary
from vidrobust.data.motion import motion
from vidrobust.training.config import FitConfig

folder = Path(tempfile.mkdtemp())
root = folder / "UCF-101"
motion(
    root,
    vr.data.Motion(
        clips_per_group=1, rendered=(2, 1, 1), frames=10, size=32, contrast=(0.6, 1.0)
    ),
)
print(*sorted(path.name for path in root.iterdir())[:4], "…")

# %%
# Check
# -----
# ``vidrobust data check UCF-101``: every video is decoded, and no source may stand in two splits.

for line in summary(check_data(root)):
    print(line.replace(str(folder), "…"))

# %%
# Train and attack
# ----------------
# ``vidrobust train --data UCF-101 …``, ``vidrobust evaluate runs/at …``. Videos are decoded once, into the cache.

data = vr.data.videos(str(root), frames=8, size=16, max_frames=10)
model = vr.models.build("r3d-small", classes=len(data.classes))
run = vr.fit(
    model,
    data,
    "AT(ε=2,α=1,i=2)",
    settings=FitConfig(epochs=3, batch=16),
    out=folder / "at",
)
attacks = [
    vr.PGD(vr.Threat(vr.Linf(), eps=eps / 255), alpha=0.5 / 255, steps=5) for eps in (1, 2)
]
for row in vr.evaluate(run.model, data.test, attacks):
    print(f"ε={row['eps']:g}: {row['correct']} of {row['clips']}")

# %%
# The page
# --------
# ``vidrobust report runs/at``: one file that works offline, with figures, intervals and where everything came
# from.

page = vr.report(folder / "at")
print(page.name, f"{page.stat().st_size / 1e6:.1f} MB")
