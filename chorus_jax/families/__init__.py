"""Model families: a folder each; nothing else in the library knows one."""
