//! The ring: where keys lie and who holds them.
