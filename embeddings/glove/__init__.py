"""GloVe: global vectors for word representation (Pennington, Socher, Manning, EMNLP 2014)."""
