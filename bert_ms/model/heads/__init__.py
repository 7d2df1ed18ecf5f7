"""Task heads; each takes an encoder, none builds one."""
