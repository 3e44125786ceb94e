"""Where samples go: Prometheus and OpenTelemetry, which do not know each other."""
