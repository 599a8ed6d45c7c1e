"""Pictures, tables and pages for people."""
