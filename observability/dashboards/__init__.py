"""Dashboards, one per file, generated with grafanalib."""
