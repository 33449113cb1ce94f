//! `safe_next`: what it accepts leads to this site, as browsers read it (the URL standard).
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_sliding_sessions::safe_next;
use url::Url;

fuzz_target!(|text: &str| {
    let Some(next) = safe_next(text) else { return };
    for base in ["https://here.example/login", "https://here.example/a/b?next=/"] {
        let target = Url::parse(base).expect("a base").join(next).expect("a path of this site");
        assert_eq!((target.scheme(), target.host_str()), ("https", Some("here.example")), "{text:?}");
        assert_eq!(target.port(), None);
    }
});
