"""Attacks of other libraries, run inside our judge, meter and budgets."""
