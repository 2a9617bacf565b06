"""Judge a Hugging Face model and read the verdict
===============================================

``vidrobust judge hf:ORG/NAME --data DATA`` and :func:`vidrobust.judge <vidrobust.study.judgement.judge>` answer
two questions: how robust is the model, and can the number be trusted?
"""

# %%
# The model
# ---------
# With transformers installed this is a ViViT with random weights, saved and loaded as any model of the Hub is
# (``hf:ORG/NAME``, ``hf:./folder``). These pages are built without transformers: they judge the zoo's
# adversarially trained model instead, in the same way.

import tempfile
from importlib.util import find_spec
from pathlib import Path

import vidrobust as vr
from vidrobust.evaluation.ensemble import Ensemble

folder = Path(tempfile.mkdtemp())
if find_spec("transformers"):
    import transformers

    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    config = transformers.VivitConfig(
        **sizes, image_size=24, tubelet_size=[2, 8, 8], num_frames=8, num_labels=10
    )
    transformers.VivitForVideoClassification(config).save_pretrained(folder / "vivit")
    pixels = {"size": {"shortest_edge": 24}, "crop_size": {"height": 24, "width": 24}}
    transformers.VivitImageProcessor(**pixels).save_pretrained(folder / "vivit")
    model = f"hf:{folder / 'vivit'}"
else:
    model = "zoo:motion-at"
print(model)

# %%
# The judgement
# -------------
# Every attack of the ensemble is made on every clip that still stands. Here are six clips, and attacks of a
# few steps, so that the page is built in seconds; leave out ``ensemble`` to have them at full strength.

data = vr.data.motion(contrast=(0.4, 1.0), train=10, val=10, test=10)
quick = Ensemble(steps=5, targets=1, queries=20, noise=5, diagnostic=2)
judgement = vr.judge(
    model,
    data,
    threats=["Linf(4)"],
    clips=6,
    ensemble=quick,
    out=folder / "judged",
    name="my model",
)

# %%
# The verdict
# -----------
# First whether to trust the numbers, and why not. So few clips and steps would deserve no trust, even if no rule
# spoke.

record = judgement.record
print(record["verdict"])
print(*record["reasons"], sep="\n")

# %%
# Then the numbers: clean accuracy, and the worst case over all attacks, with its 95 % interval. The interval
# counts sources (here photographs), not clips: clips of one source are alike. These six are all over one
# photograph, so that the interval is as wide as it can be.

clean, threat = record["clean"], record["threats"][0]
worst = threat["worst_case"]
print(f"clean: {clean['correct']} of {clean['clips']}")
print(f"worst case under Linf(4): {worst['correct']} of {worst['clips']}")
print(f"interval {worst['low']:.0%} to {worst['high']:.0%}, sources: {worst['sources']}")

# %%
# And how many clips each attack broke first:

for attack, broken in threat["fell"].items():
    print(f"{attack} broke {broken}")
