"""Truthful metrics, proven alerts and safe failover for highly available stacks."""
