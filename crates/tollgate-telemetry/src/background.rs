//! Threads that work behind calls: they give way to those that serve them.

/// As nice as such a thread is: it gets a third of what a thread that serves calls gets where both want the same core all the time, which is enough to
/// keep up, and it does not interrupt the other.
const NICENESS: i32 = 5;

/// Lets the thread that calls this, and those that it starts, give way to those that serve calls. Where the system does not allow it,
/// nothing changes.
pub fn give_way() {
    // On Linux each thread has a niceness of its own.
    let _niceness = rustix::process::nice(NICENESS);
}
