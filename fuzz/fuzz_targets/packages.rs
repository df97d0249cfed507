//! A list, a status file and a request, split at zero bytes: whatever they say, they are read and answered or refused.
#![no_main]

use ireko_deb::index::{Index, Input, List, Origin};
use ireko_deb::relation::relations;
use ireko_deb::resolve::{Options, Request, resolve};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = relations(text).count();
    let mut parts = text.splitn(3, '\0');
    let (list, status, request) = (parts.next(), parts.next(), parts.next());
    let (list, status) = (list.unwrap_or_default(), status.unwrap_or_default());
    let lists = vec![List { text: list, origin: Origin::default() }];
    let input = Input { native: "amd64", foreign: &["i386"], lists, status };
    let Ok(index) = Index::build(&input) else { return };
    let request = request.unwrap_or("a");
    let requests: Vec<Request> =
        request.split_ascii_whitespace().map(|word| Request::Text(word.to_owned())).collect();
    let _ = resolve(&index, &requests, &Options { recommends: true, ..Options::default() });
});
