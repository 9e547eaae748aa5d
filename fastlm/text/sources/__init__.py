"""What people have, as documents: files of many formats, folders, archives, tables, streams, lists of texts."""
