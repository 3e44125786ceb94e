"""Pieces of Go template that put what Prometheus knows at this moment into an alert's text."""

from __future__ import annotations

from observability.scrape import STATE, UP


def number(query: str, *labels: str) -> str:
    """The value of a query with one result; each `%q` in it becomes the value of the next of the alert's labels."""
    return f"{{{{ with {_asked(query, labels)} }}}}{{{{ . | first | value }}}}{{{{ else }}}}?{{{{ end }}}}"


def server_states(system: str) -> str:
    """What each server of the alert's cluster and of that system is now: `pg-1 is refused, pg-2 is ok`."""
    query = (
        f"max by (server, state) ({STATE.prometheus_name}{{cluster=%q}} == 1 "
        f'and on (cluster, server) {UP.prometheus_name}{{cluster=%q, system="{system}"}})'
    )
    each = "{{ if $i }}, {{ end }}{{ $s.Labels.server }} is {{ $s.Labels.state }}"
    asked = _asked(query, ("cluster", "cluster"))
    return f'{{{{ range $i, $s := {asked} | sortByLabel "server" }}}}{each}{{{{ end }}}}'


def state_of_server() -> str:
    """Why the alert's server is not up: `refused`, `hung` and so on."""
    query = f"{STATE.prometheus_name}{{cluster=%q, server=%q}} == 1"
    asked = _asked(query, ("cluster", "server"))
    return f'{{{{ with {asked} }}}}{{{{ . | first | label "state" }}}}{{{{ else }}}}unknown{{{{ end }}}}'


def _asked(query: str, labels: tuple[str, ...]) -> str:
    # A raw string of Go needs no escapes, and %q quotes a label's value as PromQL wants it.
    return f"printf `{query}` {' '.join(f'$labels.{label}' for label in labels)} | query"
