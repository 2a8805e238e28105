"""Pages, reports and blind ratings of what was evaluated."""
