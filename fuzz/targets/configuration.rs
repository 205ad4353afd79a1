//! The reader and checker of configurations: whatever the text, there is something to show, and always the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::check_configuration;

fuzz_target!(|text: &str| {
    let checked = check_configuration(text);
    if let Err(mistakes) = &checked {
        assert!(mistakes.contains("error"), "refused without a word");
        assert!(
            !mistakes.contains("cannot be read:"),
            "the schema and the types differ"
        );
    }
    assert_eq!(checked, check_configuration(text));
});
