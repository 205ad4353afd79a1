//! Errors of every dialect, with their bodies as answers and within streams, written in every shape.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_dialects::{ErrorReport, read_error, write_error};
use tollgate_domain::{Dialect, ErrorShape};
use tollgate_fuzz::{check_json, check_size, options};

/// Far more than a person reads.
const MESSAGE_CHARS_MAX: usize = 5000;

fuzz_target!(|input: &[u8]| {
    let (options, body) = options(input);
    let status = 400 + u16::from(options);
    for dialect in Dialect::ALL.iter().copied() {
        let error = read_error(dialect, status, body);
        assert_eq!(error.status, status);
        assert!(!error.message.is_empty());
        assert!(error.message.chars().count() <= MESSAGE_CHARS_MAX);
        let report = ErrorReport {
            status,
            kind: error.kind,
            code: error.code.as_deref(),
            message: &error.message,
            param: error.param.as_deref(),
            request_id: "request",
        };
        for shape in ErrorShape::ALL.iter().copied() {
            let written = write_error(shape, &report);
            assert!(check_json(&written).is_object());
            check_size(&written, body.len());
        }
    }
});
