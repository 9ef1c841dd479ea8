"""What a running node, and the service's own configuration, lack for coaching: findings, each with what mends it.

`reading` asks the node, `node`, `sip` and `agents` judge what it said, `service` judges the configuration. The judges
are functions from a `Snapshot` to findings: they know no connection.
"""
