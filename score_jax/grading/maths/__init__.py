"""Reads and compares mathematical answers; math_answer.py is the way in."""
