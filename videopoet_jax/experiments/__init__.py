"""Trainables built with their data; gin is one of several front ends."""
