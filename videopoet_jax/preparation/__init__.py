"""Makes token sets from media sets, on any number of hosts."""
