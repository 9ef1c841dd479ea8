"""What outlives the service: the audit trail and the policies of queues, in SQLite or PostgreSQL."""
