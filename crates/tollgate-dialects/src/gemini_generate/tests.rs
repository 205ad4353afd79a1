//! What no recorded exchange shows.
