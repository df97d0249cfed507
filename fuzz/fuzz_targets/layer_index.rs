//! A layer index read from disk: damaged bytes are an error, whole ones are written as they were read.
#![no_main]

use ireko_layer::Index;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(index) = Index::decode(bytes) {
        let written = index.encode();
        let again = Index::decode(&written).expect("what was written decodes");
        assert_eq!(again.content_id(), index.content_id());
    }
});
