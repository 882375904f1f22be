"""Data sets: files of users and packages, as rows of text. No tensorflow."""
