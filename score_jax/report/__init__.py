"""What people read of a run or a study: tables, curves, figures, the page."""
