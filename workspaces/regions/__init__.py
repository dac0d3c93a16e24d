"""In which region a machine is launched: places, latencies, what a team may use, and the choice."""
