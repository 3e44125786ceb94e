"""Questions to Redis, one file each."""
