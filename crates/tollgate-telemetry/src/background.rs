//! Threads that work behind calls: they give way to those that serve them, some of them altogether.

/// As nice as such a thread is: it gets a third of what a thread that serves calls gets where both want the same core all the time, which is enough to
/// keep up, and it does not interrupt the other.
const NICENESS: i32 = 5;

/// Lets the thread that calls this, and those that it starts, give way to those that serve calls. Where the system does not allow it,
/// nothing changes.
pub fn give_way() {
    // On Linux each thread has a niceness of its own.
    let _niceness = rustix::process::nice(NICENESS);
}

/// Lets the thread that calls this, and those that it starts, work only while nobody else wants its core.
///
/// Whoever does gets it at once. It cannot be taken back. Where the system knows no such thing, nothing changes.
pub fn stand_back() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::{
            NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
            set_thread_priority_and_policy, thread_native_id,
        };
        let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        // That niceness cannot be lowered again, which it says, does not matter with this policy.
        let _set = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs, thread};

    use super::*;

    #[test]
    fn a_thread_that_stands_back_is_idle_to_the_system() {
        let told = thread::spawn(|| {
            give_way();
            stand_back();
            fs::read_to_string("/proc/thread-self/sched")
                .or_else(|_| fs::read_to_string("/proc/thread-self/stat"))
        });
        let told = told.join().unwrap().unwrap();
        // `policy` is 5 for idle threads (sched(7)); it is the 41st field of the other file (proc(5)).
        let by_name = told.lines().find(|line| line.starts_with("policy"));
        let policy = match by_name {
            Some(line) => line.rsplit(' ').next().map(str::to_owned),
            None => told
                .rsplit(") ")
                .next()
                .and_then(|rest| rest.split(' ').nth(38).map(str::to_owned)),
        };
        assert_eq!(policy.as_deref(), Some("5"), "{told}");
    }
}
