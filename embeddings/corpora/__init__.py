"""Corpora: paragraphs of text out of plain files, Wikipedia dumps and PubMed, streamed in constant memory."""
