//! Manifests, indexes and configs of strangers: what parses is written and read again as the same.
#![no_main]

use ireko_oci::{ImageConfig, Index, Manifest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(bytes) {
        assert_eq!(Manifest::parse(&manifest.to_json()).expect("what was written parses"), manifest);
    }
    if let Ok(index) = Index::parse(bytes) {
        let _ = index.platforms();
        assert_eq!(Index::parse(&index.to_json()).expect("what was written parses"), index);
    }
    if let Ok(config) = ImageConfig::parse(bytes) {
        assert_eq!(ImageConfig::parse(&config.to_json()).expect("what was written parses"), config);
    }
});
