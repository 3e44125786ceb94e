"""The process that a server runs in: its event loops, its garbage collector, and what it takes from the system."""
