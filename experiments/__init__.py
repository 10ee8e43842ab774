"""Studies: cells, knowledge, judge, store, statistics and reports."""
