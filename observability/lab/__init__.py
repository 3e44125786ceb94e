"""A real highly available stack as ordinary processes on loopback, for the demo, the tests and the drills."""
