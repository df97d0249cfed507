//! A layer of a stranger: nothing may appear outside its root, and indexing it must agree with unpacking it.
#![no_main]

use std::fs;

use ireko_layer::{OverlayAttrs, UnpackOptions, index_of, unpack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let scratch = tempfile::tempdir().expect("a scratch folder can be made");
    let root = scratch.path().join("root");
    fs::create_dir(&root).expect("a folder can be made in the scratch folder");
    let options = UnpackOptions { attrs: OverlayAttrs::User, below: None, lower: None };
    let unpacked = unpack(bytes, &root, &options);
    let beside = fs::read_dir(scratch.path()).expect("the scratch folder can be listed").count();
    assert_eq!(beside, 1, "something appeared outside the root");
    // Devices and foreign owners need privileges that indexing does not need.
    if let (Ok(unpacked), Ok(indexed)) = (unpacked, index_of(bytes)) {
        assert_eq!(unpacked.index.content_id(), indexed.index.content_id());
    }
});
