"""The failover controller: an alert is a reason to look; observe, plan, and only then act."""
