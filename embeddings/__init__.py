"""Text: corpora, word vectors and encoders."""
