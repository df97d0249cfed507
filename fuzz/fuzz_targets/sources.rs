//! Sources of apt in both forms, its settings, and Release files: whatever they hold, nothing panics, and what is read fits
//! together.
#![no_main]

use ireko_deb::apt_conf::AptConf;
use ireko_deb::release::{Expected, Release, parse_date, show_date};
use ireko_deb::sources::{Distribution, from_deb822, from_list, serving};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for read in [from_list("sources.list", text, "amd64"), from_deb822("a.sources", text, "amd64")] {
        let found = read.unwrap_or_default();
        for source in &found {
            assert_eq!(source.is_flat(), source.components.is_empty());
            assert!(source.directory().ends_with('/'));
        }
        for suite in ["bookworm", "bookworm-backports", "sid"] {
            let _ = serving(&found, Distribution::Debian, suite, "amd64");
        }
    }
    let mut conf = AptConf::default();
    if conf.add(text).is_ok() {
        let _ = conf.proxies();
    }
    if let Ok(release) = Release::parse(text.as_bytes()) {
        let expected = Expected { suite: "stable", now: 1_735_689_600, known: None, past: false };
        let _ = release.check(&expected);
    }
    if let Some(date) = parse_date(text) {
        assert_eq!(parse_date(&show_date(date)), Some(date));
    }
});
