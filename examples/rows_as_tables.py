"""Read rows with DuckDB and polars
================================

Whatever is measured is a row in ``rows.jsonl`` of the run directory: one JSON object a line, counts instead of
ratios. So every tool that reads JSON lines or Parquet reads results.
"""

# %%
# A run with rows
# ---------------
# The same as ``vidrobust evaluate zoo:motion-at --attack … --clips 24 --out runs/at``.

import tempfile
from pathlib import Path

import duckdb
import polars

import vidrobust as vr
from vidrobust.results.export import export

folder = Path(tempfile.mkdtemp())
data = vr.data.motion(contrast=(0.4, 1.0), train=10, val=10, test=24)
attacks = [
    vr.PGD(vr.Threat(vr.Linf(), eps=eps / 255), alpha=eps / 4 / 255, steps=5)
    for eps in (1, 2, 4)
]
run = vr.Run.start(folder / "zoo", "evaluate", {"clips": 24}, 0)
for name in ("motion-standard", "motion-at"):
    rows = vr.evaluate(vr.load_model(f"zoo:{name}"), data.test, attacks)
    run.append([{**row, "model": name, "seed": 0, "split": "test"} for row in rows])

# %%
# DuckDB reads the file as it is
# ------------------------------

lines = run.path / "rows.jsonl"
question = """
    SELECT model, eps, correct, clips, round(correct / clips, 2) AS accuracy
    FROM read_json($file, format = 'newline_delimited')
    WHERE kind = 'robustness' ORDER BY model, eps
"""
print(duckdb.sql(question, params={"file": str(lines)}))

# %%
# polars reads Parquet
# --------------------
# ``vidrobust export RUN rows.parquet`` writes one column a field.

export(run.path, folder / "rows.parquet")
table = polars.read_parquet(folder / "rows.parquet")
table.group_by("model").agg(polars.col("correct").min(), polars.col("clips").first()).sort(
    "model"
)
