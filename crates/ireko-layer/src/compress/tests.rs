//! The same bytes for any number of threads, and back again.

use expect_test::{Expect, expect};
use ireko_oci::Digest;
use proptest::prelude::*;

use super::*;

fn packed(bytes: &[u8], how: Compression, threads: usize) -> Vec<u8> {
    let mut compressor = Compressor::new(how, threads, Vec::new()).unwrap();
    compressor.write_all(bytes).unwrap();
    compressor.finish().unwrap()
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    decompress(bytes).unwrap().read_to_end(&mut plain).unwrap();
    plain
}

/// Something that compresses a little, longer than some blocks.
fn sample() -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + (state >> 24) as u8 % 20
    };
    (0..(5 << 20) + 77).map(|_| next()).collect()
}

const ALL: [Compression; 5] = [
    Compression::Gzip { level: 6 },
    Compression::Gzip { level: 1 },
    Compression::GzipSingle { level: 6 },
    Compression::Zstd { level: 3 },
    Compression::None,
];

#[test]
fn the_same_for_any_number_of_threads() {
    let bytes = sample();
    for how in ALL {
        let one = packed(&bytes, how, 1);
        assert!(unpacked(&one) == bytes);
        for threads in [0, 2, 5] {
            assert!(packed(&bytes, how, threads) == one, "{how:?} {threads}");
        }
    }
}

#[test]
fn the_same_for_any_pieces() {
    let bytes = sample();
    for how in ALL {
        let mut compressor = Compressor::new(how, 2, Vec::new()).unwrap();
        for piece in bytes.chunks(77_777) {
            compressor.write_all(piece).unwrap();
            compressor.flush().unwrap();
        }
        assert!(compressor.finish().unwrap() == packed(&bytes, how, 2), "{how:?}");
    }
}

/// These digests may only change with an entry in the change log: images would get other digests.
#[test]
fn digests_are_stable() {
    #[track_caller]
    fn check(how: Compression, expect: Expect) {
        let of = |bytes: &[u8]| Digest::of(&packed(bytes, how, 2));
        expect.assert_eq(&format!("{}\n{}", of(&sample()), of(b"")));
    }
    check(
        Compression::Gzip { level: 6 },
        expect![[r#"
        sha256:897818c9e3cc41aed8bf08e5b1077817db887ea80af9a758f1ba67333953b3d6
        sha256:30e6fa98fb48c2b132824d1ac5e2243c0be9e9082ff32598d34d7687ca7f6c7f"#]],
    );
    check(
        Compression::GzipSingle { level: 6 },
        expect![[r#"
        sha256:c3f8ac40b6ac157f3212d56649d8f6b0734728af4c9975f7d36e20770af89272
        sha256:ac73670af3abed54ac6fb4695131f4099be9fbe39d6076c5d0264a6bbdae9d83"#]],
    );
    check(
        Compression::Zstd { level: 3 },
        expect![[r#"
        sha256:99d109fd512311946546278905cdcb979739388734dfb38ddce41ebe45407a3f
        sha256:f96deff1816083fdff8bc3e46c3fe6ca46a6bb49f4d5a00627616c13237a512c"#]],
    );
}

#[test]
fn truncated_streams_are_errors() {
    let bytes = sample();
    for how in &ALL[..4] {
        let whole = packed(&bytes, *how, 2);
        let mut plain = Vec::new();
        assert!(decompress(&whole[..whole.len() / 2]).unwrap().read_to_end(&mut plain).is_err(), "{how:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes: Vec<u8>, kind in 0..5usize) {
        let magic: [&[u8]; 5] = [&[0x1f, 0x8b, 8], &[0x28, 0xb5, 0x2f, 0xfd], b"BZh9", b"\xfd7zXZ\0", b""];
        let bytes = [magic[kind], &bytes].concat();
        if let Ok(reader) = decompress(bytes.as_slice()) {
            let _ = std::io::copy(&mut reader.take(1 << 20), &mut std::io::sink());
        }
    }
}
