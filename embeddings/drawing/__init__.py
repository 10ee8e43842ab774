"""Words on a plane: maps that say how much of the truth they keep, as pictures and as a page with search."""
