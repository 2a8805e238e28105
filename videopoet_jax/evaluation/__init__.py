"""Oracle scores of generated clips, the scoreboard and the report."""
