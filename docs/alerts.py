"""`make docs`: writes docs/alerts.md, and the rules as a resource for Kubernetes, from monitoring/prometheus/rules.yml.

So that they can't differ: a test holds them together.
"""

from pathlib import Path
from typing import Any

import yaml

PAGE = Path(__file__).with_name("alerts.md")
ROOT = Path(__file__).parents[1]
RULES = ROOT / "monitoring" / "prometheus" / "rules.yml"
RESOURCE = ROOT / "kubernetes" / "components" / "prometheus" / "rules.yaml"
ABOUT = {
    "occupancy-objectives": "Of the requests to `POST /predict` 99.5 % do not end in 5xx, and 99 % are answered within 0.1 s, over 30 "
    "days: so much may fail, or be slow, and the alerts tell how fast that is used up. Fast: at 14.4 times the even "
    "rate over an hour, and still over the last 5 minutes, or at 6 times over six hours and 30 minutes. Slow: at the even rate "
    'over three days and six hours (the method of chapter 5 of Google\'s SRE Workbook, "Alerting on SLOs").',
    "occupancy-service": "",
    "occupancy-carrier": "From the metrics of `monitoring load --follow`.",
    "occupancy-watch": "From the metrics of `monitoring watch`: its verdicts, by their consequence, and whether it works.",
}


def page() -> str:
    """Write the whole page."""
    groups = "\n\n".join(map(_group, yaml.safe_load(RULES.read_text("utf-8"))["groups"]))
    return f"""# Alerts

Made from [monitoring/prometheus/rules.yml](../monitoring/prometheus/rules.yml) by `make docs`; don't edit it by hand.

`page`: somebody now. `ticket`: in working hours. `info`: to be seen beside other alerts. Thresholds are in the rules, and each
alert's description tells its value. With `docker compose up` they are at http://127.0.0.1:9090/alerts.

The rules expect jobs named `occupancy-inference`, `occupancy-carrier` and `occupancy-watch`
([prometheus.yml](../monitoring/prometheus/prometheus.yml)). `promtool test rules monitoring/prometheus/rules_test.yml` shows
when each of them fires.

{groups}
"""


def resource() -> str:
    """Write the rules as a PrometheusRule, which the Prometheus operator takes."""
    rules = "".join(f"  {line}".rstrip() + "\n" for line in RULES.read_text("utf-8").splitlines() if line[:1] != "#")
    return f"""# Made from monitoring/prometheus/rules.yml by `make docs`; don't edit it by hand.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: occupancy
  namespace: occupancy
  labels: {{app.kubernetes.io/part-of: occupancy}}
spec:
{rules}"""


def _group(group: dict[str, Any]) -> str:
    alerts = [_alert(rule) for rule in group["rules"] if "alert" in rule]
    return "\n\n".join([f"## {group['name']}", *filter(None, [ABOUT[group["name"]]]), *alerts])


def _alert(rule: dict[str, Any]) -> str:
    after = f", after {rule['for']}" if "for" in rule else ""
    notes = rule["annotations"]
    return f"**{rule['alert']}** ({rule['labels']['severity']}{after}): {notes['summary']}.\n\n{notes['runbook']}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    RESOURCE.write_text(resource(), "utf-8")
