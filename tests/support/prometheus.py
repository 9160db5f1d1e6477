"""Debian's Prometheus over one target, and what it is asked."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.netns import Namespace, Process

UNPACKED = Path(__file__).resolve().parents[2] / ".peers" / "usr" / "bin"
"""Where tools/prepare.py unpacks it."""

CONFIGURATION = """\
global:
  scrape_interval: 250ms
  scrape_timeout: 250ms
  evaluation_interval: 250ms
rule_files: [rules.yml]
scrape_configs:
  - job_name: l2tpd
    static_configs:
      - targets: ["127.0.0.1:9120"]
"""


def find(name: str) -> str | None:
    """Path of ``prometheus`` or ``promtool``, installed or unpacked in the checkout."""
    return shutil.which(name) or shutil.which(name, path=str(UNPACKED))


class Prometheus:
    """A running one, on a host that is its alone."""

    def __init__(self, host: Namespace, process: Process) -> None:
        self._host = host
        self.process = process

    def get(self, path: str, **parameters: str) -> Any:
        """``data`` of an answer of its HTTP interface; None while there is none."""
        url = f"http://127.0.0.1:9090/api/v1/{path}?{urlencode(parameters)}"
        done = self._host.run("python3", "-c", FETCH, url, check=False)
        if done.returncode or not done.stdout.startswith("{"):
            return None  # it is not there, or not ready
        answer = json.loads(done.stdout)
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has now."""
        series: list[dict[str, Any]] = (self.get("query", query=expression) or {"result": []})["result"]
        return series

    def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        alerts = (self.get("alerts") or {"alerts": []})["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


FETCH = """
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=5)
except urllib.error.HTTPError as error:
    answer = error
sys.stdout.write(answer.read().decode())
"""


@contextlib.contextmanager
def prometheus(host: Namespace, directory: Path, rules: str) -> Iterator[Prometheus]:
    """Run it on ``host`` with these rules, and go on when it answers."""
    directory.mkdir()
    (directory / "prometheus.yml").write_text(CONFIGURATION)
    (directory / "rules.yml").write_text(rules)
    program = find("prometheus")
    assert program, "prometheus is not here"
    options = [
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={directory}/data",
        "--web.listen-address=127.0.0.1:9090",
    ]
    with host.start(program, *options, log=directory / "log") as process:
        running = Prometheus(host, process)
        process.wait_until(lambda: running.get("status/buildinfo"), "Prometheus answers", timeout=15)
        yield running
