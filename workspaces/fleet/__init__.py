"""The fleet as AWS shows it: machines that no row of ours describes, and how they are taken over."""
