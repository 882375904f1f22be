"""Graders: whether an answer or a program is right.

Whatever a model writes gets a grade. What goes wrong on our side raises
GraderError: it is never a reward of 0.
"""
