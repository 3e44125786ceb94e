"""Alerts as values, one family per file, and what is rendered from them."""
