"""The tags of a machine in AWS: which Forge wants there, and keeping them so."""
