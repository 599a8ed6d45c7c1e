"""What people look at: previews and reports."""
