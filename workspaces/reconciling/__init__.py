"""What one run of `workspaces.reconcile` does: to a machine, to what stands beside its state, and its figures."""
