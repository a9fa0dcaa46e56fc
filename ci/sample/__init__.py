"""The sample data lake as its user sees it: load, upload, watch, query, account, redrive."""
