"""What happens to machines by itself: the idle stop, the end of a lifetime, and machines that nobody uses."""
