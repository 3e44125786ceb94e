"""Connection pools of SQLAlchemy: what they hold, who waits for them, and what went wrong with their connections."""
