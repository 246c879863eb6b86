"""Screens: chat, help, connect and pickers."""
