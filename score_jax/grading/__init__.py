"""Graders: whether an answer or a program is right.

Whatever a model writes gets a grade. A failure of the grader itself raises
GraderError: it is never a reward of 0.
"""
