"""Instruments programs that know nothing of it: every engine they create, in every process they start."""
