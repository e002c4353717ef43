"""Rows and their roles: tables, groups, queries, cells."""
