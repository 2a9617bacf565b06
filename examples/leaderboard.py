"""Serve a leaderboard folder
==========================

A judgement is a folder with a record that is data alone. A leaderboard is a folder of such folders, and one
page made from it: any web server can serve it, and nothing runs there.
"""

# %%
# Two judgements
# --------------
# As by ``vidrobust judge zoo:motion-standard --out board/standard``; here in miniature.

import tempfile
import threading
import urllib.request
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import vidrobust as vr
from vidrobust.evaluation.ensemble import Ensemble
from vidrobust.results.pages.leaderboard import leaderboard

board = Path(tempfile.mkdtemp()) / "board"
data = vr.data.motion(contrast=(0.4, 1.0), train=10, val=10, test=10)
quick = Ensemble(steps=3, targets=1, queries=10, noise=2, diagnostic=1)
for name in ("motion-standard", "motion-at"):
    found = vr.judge(
        f"zoo:{name}",
        data,
        threats=["Linf(2)"],
        clips=4,
        ensemble=quick,
        out=board / name,
        name=name,
    )
    worst = found.record["threats"][0]["worst_case"]
    print(
        f"{name}: {worst['correct']} of {worst['clips']} under Linf(2), {found.record['verdict']}"
    )

# %%
# The page
# --------
# ``vidrobust leaderboard board``. Records that are damaged or contradict themselves are left out and named. Of
# records of the same model on the same clips the smallest perturbation of each clip counts, whoever found it.

page, refused = leaderboard(board)
print(page.name, f"{page.stat().st_size / 1000:.0f} kB,", len(refused), "records refused")

# %%
# Served
# ------
# ``python -m http.server --directory board`` does the same as these lines.


class Quiet(SimpleHTTPRequestHandler):
    """Serves the folder, without a line for each request."""

    def __init__(self, *request):
        super().__init__(*request, directory=str(board))

    def log_message(self, format, *words):
        """Nothing."""


with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/leaderboard.html"
    with urllib.request.urlopen(address) as answer:
        print(answer.status, answer.headers["Content-Type"], len(answer.read()) > 1000)
    server.shutdown()

# %%
# Others add their folders: by a pull request, a shared disk or a bucket. ``vidrobust verify board/motion-at``
# scores the stored adversarial clips of a record anew, by forward passes alone.
