//! The whole program from the outside: real sockets, a scripted provider, raw bytes.

mod stage;

mod basics;
