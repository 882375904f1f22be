"""The report of a run or of a study as one HTML file that needs no network."""
