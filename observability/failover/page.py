"""The controller's pages: incidents with what was seen and decided. Plain HTML from the server, without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from observability.failover import words
from observability.failover.journal import Entry, Incident

_FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root{{color-scheme:light dark}}
body{{font:16px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}}
table{{border-collapse:collapse;width:100%}}
th,td{{text-align:left;vertical-align:top;padding:.4rem .8rem .4rem 0;border-bottom:1px solid #8886}}
pre{{white-space:pre-wrap;overflow-wrap:anywhere}}
</style></head>
<body><main><h1>{title}</h1>
{body}
</main></body></html>
"""


def overview(incidents: Sequence[Incident], *, mode: str, clusters: Iterable[str]) -> str:
    """All incidents, newest first."""
    about = f"<p>Mode: <strong>{escape(mode)}</strong>. Clusters: {escape(', '.join(clusters)) or 'none'}.</p>"
    if not incidents:
        return _page("Failover", f"{about}<p>No alert has asked for anything yet.</p>")
    heads = "".join(
        f'<th scope="col">{head}</th>' for head in ("Incident", "Opened", "Cluster", "Alert", "State", "Decision")
    )
    rows = "".join(map(_row, incidents))
    return _page("Failover", f"{about}<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>")


def detail(incident: Incident, entries: Iterable[Entry]) -> str:
    """One incident from its alert to its end, with the inputs of each decision."""
    lines = escape("\n".join(words.timeline(incident, entries)))
    return _page(f"Incident {incident.id}", f'<p><a href="/">All incidents</a></p><pre>{lines}</pre>')


def _row(incident: Incident) -> str:
    decision = words.decision(incident.decision) if incident.decision else "none yet"
    opened = words.moment(incident.opened_at)
    cells = (
        f'<a href="/incidents/{incident.id}">{incident.id}</a>',
        f'<time datetime="{opened}">{opened}</time>',
        escape(incident.alert.cluster),
        escape(incident.alert.name),
        incident.state,
        escape(decision),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _page(title: str, body: str) -> str:
    return _FRAME.format(title=title, body=body)
