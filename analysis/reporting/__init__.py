"""What every command writes and how it looks: tables, JSON, files, numbers with errors, one style of figures."""
