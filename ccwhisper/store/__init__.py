"""What outlives the service: the audit trail, in SQLite or PostgreSQL."""
