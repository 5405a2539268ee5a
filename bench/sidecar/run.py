"""The sidecar's latency on this machine, with the store's default durability.

usage: run.py ONCEGATE SIDECAR_LATENCY [SECONDS [RATE]]
"""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "support"))
from served import Served

with Served(sys.argv[1], "--log-level", "warn") as served:
    subprocess.run([sys.argv[2], str(served.ports["control"]), *sys.argv[3:]], check=True)
