"""Trainables built with their data; gin is one front end of them."""
