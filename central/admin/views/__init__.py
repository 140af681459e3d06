"""What each admin page shows, as values: read from the database, ready to render. A module per page.

Owns the queries of the admin pages. Never changes anything and never writes HTML.
"""
