"""`make demo`: everything Forge needs, started on one machine and stopped together."""
