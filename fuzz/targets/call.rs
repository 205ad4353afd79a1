//! Calls of every dialect, written for every dialect.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_dialects::{read_call, write_call};
use tollgate_domain::Dialect;
use tollgate_fuzz::{call_form, check_json, check_size, options};

fuzz_target!(|input: &[u8]| {
    let (options, body) = options(input);
    for from in Dialect::ALL.iter().copied() {
        let Ok(call) = read_call(from, body) else {
            continue;
        };
        for to in Dialect::ALL.iter().copied() {
            let form = call_form(to, options);
            let Ok(written) = write_call(&call, &form) else {
                continue;
            };
            assert!(check_json(&written.body).is_object());
            check_size(&written.body, body.len());
            assert!(form.drop_unsupported || written.dropped.len() <= body.len());
            if from == to {
                let again = read_call(to, &written.body);
                assert!(
                    again.is_ok(),
                    "{to:?} does not read what it wrote: {again:?}"
                );
            }
        }
    }
});
