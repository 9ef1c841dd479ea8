"""How the schema came to be, step by step; alembic runs them. A step that was released is never changed."""
