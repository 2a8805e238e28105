"""From media sets to token sets, on any number of hosts."""
