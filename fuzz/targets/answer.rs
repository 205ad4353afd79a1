//! Whole answers of every dialect to a task, written for every dialect, at once and as a stream; and what is seen of
//! them at a glance.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_dialects::{glance, read_answer, stream_of, write_answer};
use tollgate_domain::{Dialect, Task};
use tollgate_fuzz::{answer_form, check_json, check_size, check_written_stream, options};

fuzz_target!(|input: &[u8]| {
    let (options, body) = options(input);
    let task = Task::ALL[usize::from(options >> 2) % Task::ALL.len()];
    for from in Dialect::ALL.iter().copied() {
        let seen = glance(from, task, body);
        let Ok(answer) = read_answer(from, task, body) else {
            continue;
        };
        assert!(seen.is_ok(), "{from:?}: read, but not seen");
        for to in Dialect::ALL.iter().copied() {
            let written = write_answer(&answer, &answer_form(to, options));
            check_json(&written);
            check_size(&written, body.len());
        }
        check_written_stream(&stream_of(answer), body.len(), options);
    }
});
