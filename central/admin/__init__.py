"""The admin pages: plain, server-rendered, behind a door of their own."""
