"""Device meshes, logical-axis rules and start-up on several hosts."""
