//! What no recorded exchange shows: the odd, the impossible, and what must survive between dialects.
