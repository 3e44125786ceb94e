"""What Grafana is provisioned with."""

from __future__ import annotations

import json

import yaml

from observability.dashboards.render import Provisioning, files


def test_options_reach_the_files() -> None:
    """The uid that people choose is that of the datasource and where every board begins; the interval is theirs, too."""
    chosen = Provisioning(datasource_uid="mine", scrape_interval="5s", folder="Watch", path="/srv/boards")
    rendered = files(chosen)
    datasource = yaml.safe_load(rendered["provisioning/datasources/ha-observability.yml"])["datasources"][0]
    provider = yaml.safe_load(rendered["provisioning/dashboards/ha-observability.yml"])["providers"][0]
    board = json.loads(rendered["overview.json"])
    assert (datasource["uid"], datasource["jsonData"]["timeInterval"]) == ("mine", "5s")
    assert (provider["folder"], provider["options"]["path"]) == ("Watch", "/srv/boards")
    assert board["templating"]["list"][0]["current"] == {"selected": True, "text": "mine", "value": "mine"}


def test_generating_twice_gives_the_same() -> None:
    """What is committed changes only when a declaration does."""
    assert files() == files()
