"""What processes count of their own work for Prometheus; figures of the database are in forge.console.metrics."""
