"""The report page, built without torch."""
