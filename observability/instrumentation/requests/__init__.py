"""Requests to an ASGI application: how many, how long, how they ended, and which are being answered now."""
