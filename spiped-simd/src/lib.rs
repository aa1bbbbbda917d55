//! SHA-256 compression of several messages at once.
