"""Health of a server, for those who must decide: the supervisor, the load balancer, and whoever is on call."""
