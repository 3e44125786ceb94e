"""Questions to PostgreSQL, one file each."""
