"""Instrumentation that runs inside other people's servers: it never raises, never blocks, never leaks."""
