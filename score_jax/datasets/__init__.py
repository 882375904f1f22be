"""Data sets as rows of text, from files of the user or of a package.

Importing this package does not import tensorflow.
"""
