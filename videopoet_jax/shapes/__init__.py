"""Shapes in motion: scenes, oracle, judges and scoreboard of the benchmark."""
