//! What is believed and what is not: signatures by GnuPG, the example of the standard, and made ones.

use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::testing::{BORN, NOW, Says, TestKey, armored, clear_signed, hashed_text, packet, subpacket};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/openpgp");

fn data(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(DATA).join(name)).expect(name)
}

fn ring_of(bytes: &[u8]) -> Keyring {
    let mut keys = Keyring::default();
    keys.add(bytes).expect("keys");
    keys
}

fn trust(keys: &Keyring) -> Trust<'_> {
    Trust { keys, only: &[], at: NOW }
}

/// What comes of a text, in one word.
fn verdict(keys: &Keyring, file: &[u8]) -> &'static str {
    word(&trust(keys).clear_signed(file))
}

fn word<T>(result: &Result<T, Refused>) -> &'static str {
    let doubts = match result {
        Ok(_) => return "good",
        Err(Refused::Form { .. }) => return "form",
        Err(Refused::Signature { .. }) => return "broken",
        Err(Refused::Unsigned) => return "unsigned",
        Err(Refused::Doubts(doubts)) => doubts,
    };
    match doubts.last() {
        None => "nothing",
        Some(Doubt::UnknownKey { .. }) => "unknown key",
        Some(Doubt::Wrong { .. }) => "wrong",
        Some(Doubt::Weak { .. }) => "weak",
        Some(Doubt::Unsupported { .. }) => "unsupported",
        Some(Doubt::Expired { .. }) => "expired",
        Some(Doubt::Future { .. }) => "future",
        Some(Doubt::BeforeKey { .. }) => "before key",
        Some(Doubt::KeyExpired { .. }) => "key expired",
        Some(Doubt::KeyRevoked { .. }) => "key revoked",
        Some(Doubt::KeyInvalid { .. }) => "key invalid",
        Some(Doubt::OtherKey { .. }) => "other key",
    }
}

const BY_GPG: [(&str, &str); 17] = [
    ("good", "good"),
    ("by-subkey", "good"),
    ("rsa-256", "good"),
    ("rsa-384", "good"),
    ("rsa-512", "good"),
    ("two", "good"),
    ("dashes", "good"),
    ("extended-key", "good"),
    ("weak-sha1", "weak"),
    ("unknown-key", "unknown key"),
    ("over", "expired"),
    ("expired-key", "key expired"),
    ("expired-subkey", "key expired"),
    ("revoked-key", "key revoked"),
    ("revoked-subkey", "key revoked"),
    ("short-key", "unsupported"),
    ("other-algorithm", "unsupported"),
];

#[test]
fn signatures_by_gpg() {
    let keys = ring_of(&data("trusted.gpg"));
    for (name, wanted) in BY_GPG {
        let file = data(&format!("{name}.asc"));
        assert_eq!(verdict(&keys, &file), wanted, "{name}");
        let changed = String::from_utf8(file).expect("text").replace("Suite: stable", "Suite: stable ");
        assert_eq!(verdict(&keys, changed.as_bytes()), wanted, "{name}: spaces at the end do not count");
        if wanted == "good" && name != "dashes" {
            let changed = changed.replace("Suite: stable", "Suite: Stable");
            assert!(
                ["wrong", "unknown key"].contains(&verdict(&keys, changed.as_bytes())),
                "{name}: changed"
            );
        }
    }
}

/// `gpgv` believes SHA-1, short keys and other algorithms, which later versions of apt do not; the rest is equal.
#[test]
fn gpgv_says_the_same() {
    let gpgv = |name: &str| {
        let keys = format!("{DATA}/trusted.gpg");
        let file = format!("{DATA}/{name}.asc");
        Command::new("gpgv").args(["--status-fd", "1", "--keyring", &keys, &file]).output()
    };
    for (name, wanted) in BY_GPG {
        let Ok(output) = gpgv(name) else {
            eprintln!("skipped because there is no gpgv");
            return;
        };
        let is_good = String::from_utf8_lossy(&output.stdout).contains("[GNUPG:] GOODSIG");
        let lenient = ["weak", "unsupported"].contains(&wanted);
        assert_eq!(is_good, wanted == "good" || lenient, "{name}");
    }
}

#[test]
fn what_is_handed_out_is_what_is_signed() {
    let keys = ring_of(&data("trusted.gpg"));
    let signed = trust(&keys).clear_signed(&data("dashes.asc")).expect("good");
    let text = String::from_utf8(signed.text).expect("text");
    assert_eq!(text, "- a list\n-----BEGIN PGP SIGNATURE-----\n--\nspaces   \ttab\n\n\n-\n");
    let signed = trust(&keys).clear_signed(&data("by-subkey.asc")).expect("good");
    assert_ne!(signed.signers[0].key, signed.signers[0].primary);
    assert_eq!(signed.signers[0].signed, 1_622_505_600);
    let crlf = String::from_utf8(data("good.asc")).expect("text").replace('\n', "\r\n");
    assert_eq!(trust(&keys).clear_signed(crlf.as_bytes()).expect("good").text, data("text"));
}

#[test]
fn detached_signatures() {
    let keys = ring_of(&data("trusted.gpg"));
    let text = data("text");
    for name in ["text.sig", "text-detached.asc", "text-mode.asc"] {
        assert_eq!(word(&trust(&keys).detached(&text, &data(name))), "good", "{name}");
        assert_eq!(word(&trust(&keys).detached(b"other", &data(name))), "wrong", "{name}");
    }
    let crlf = String::from_utf8(text.clone()).expect("text").replace('\n', "\r\n").into_bytes();
    assert_eq!(word(&trust(&keys).detached(&crlf, &data("text-mode.asc"))), "good");
    assert_eq!(word(&trust(&keys).detached(&crlf, &data("text.sig"))), "wrong");
    assert_eq!(word(&trust(&keys).detached(&text, b"")), "unsigned");
    assert_eq!(word(&trust(&keys).detached(&text, b"<html>")), "unsigned");
    assert_eq!(word(&trust(&keys).detached(&text, &data("good-key.asc"))), "unsigned");
    assert_eq!(word(&trust(&keys).detached(&text, &data("trusted.gpg"))), "broken");
}

#[test]
fn key_rings() {
    let mut keys = ring_of(&data("good-key.asc"));
    assert_eq!(verdict(&keys, &data("good.asc")), "good");
    assert_eq!(verdict(&keys, &data("rsa-256.asc")), "unknown key");
    keys.join(&ring_of(&data("rsa-key.asc")));
    assert_eq!(verdict(&keys, &data("rsa-256.asc")), "good");
    let both = [data("good-key.asc"), b"\ntext between\n".to_vec(), data("rsa-key.asc")].concat();
    assert_eq!(Keyring::default().add(&both), Ok(2));
    assert_eq!(ring_of(&both), keys);
    assert_eq!(Keyring::default().add(&data("trusted.gpg")), Ok(10));
    assert_eq!(Keyring::default().add(b""), Err(KeyringError::Empty));
    assert_eq!(Keyring::default().add(b"\0\0\0\x20\x01\x01\0\x02KBXf"), Err(KeyringError::Keybox));
    let cut = data("trusted.gpg");
    assert!(matches!(Keyring::default().add(&cut[..100]), Err(KeyringError::Packets { .. })));
    let no_end = String::from_utf8(data("rsa-key.asc")).expect("text").replace("END PGP", "END PG");
    assert!(matches!(Keyring::default().add(no_end.as_bytes()), Err(KeyringError::Armor { line: 1, .. })));
}

#[test]
fn only_named_keys_count() {
    let keys = ring_of(&data("trusted.gpg"));
    let by_primary = trust(&keys).clear_signed(&data("good.asc")).expect("good").signers.remove(0);
    let by_subkey = trust(&keys).clear_signed(&data("by-subkey.asc")).expect("good").signers.remove(0);
    assert_eq!(by_primary.key, by_subkey.primary);
    let exact = format!("{}!", by_primary.key);
    let check = |only: &[String], name: &str, wanted: &str| {
        let trust = Trust { keys: &keys, only, at: NOW };
        assert_eq!(word(&trust.clear_signed(&data(name))), wanted, "{only:?} {name}");
    };
    check(std::slice::from_ref(&by_primary.key), "good.asc", "good");
    check(&[by_primary.key.to_lowercase()], "by-subkey.asc", "good");
    check(std::slice::from_ref(&by_subkey.key), "by-subkey.asc", "good");
    check(std::slice::from_ref(&by_subkey.key), "good.asc", "other key");
    check(std::slice::from_ref(&exact), "good.asc", "good");
    check(&[exact], "by-subkey.asc", "other key");
    check(&[by_primary.key], "rsa-256.asc", "other key");
}

/// RFC 9580, appendices A.3 and A.6.
const V6_KEY: &str = "xioGY4d/4xsAAAAg+U2nu0jWCmHlZ3BqZYfQMxmZu52JGggkLq2EVD34laPCsQYf
GwoAAABCBYJjh3/jAwsJBwUVCg4IDAIWAAKbAwIeCSIhBssYbE8GCaaX5NUt+mxy
KwwfHifBilZwj2Ul7Ce62azJBScJAgcCAAAAAK0oIBA+LX0ifsDm185Ecds2v8lw
gyU2kCcUmKfvBXbAf6rhRYWzuQOwEn7E/aLwIwRaLsdry0+VcallHhSu4RN6HWaE
QsiPlR4zxP/TP7mhfVEe7XWPxtnMUMtf15OyA51YBM4qBmOHf+MZAAAAIIaTJINn
+eUBXbki+PSAld2nhJh/LVmFsS+60WyvXkQ1wpsGGBsKAAAALAWCY4d/4wKbDCIh
BssYbE8GCaaX5NUt+mxyKwwfHifBilZwj2Ul7Ce62azJAAAAAAQBIKbpGG2dWTX8
j+VjFM21J0hqWlEg+bdiojWnKfA5AQpWUWtnNwDEM0g12vYxoWM8Y81W+bHBw805
I8kWVkXU6vFOi+HWvv/ira7ofJu16NnoUkhclkUrk0mXubZvyl4GBg==";
const V6_TEXT: &str = "-----BEGIN PGP SIGNED MESSAGE-----

What we need from the grocery store:

- - tofu
- - vegetables
- - noodles

-----BEGIN PGP SIGNATURE-----

wpgGARsKAAAAKQWCY5ijYyIhBssYbE8GCaaX5NUt+mxyKwwfHifBilZwj2Ul7Ce6
2azJAAAAAGk2IHZJX1AhiJD39eLuPBgiUU9wUA9VHYblySHkBONKU/usJ9BvuAqo
/FvLFuGWMbKAdA+epq7V4HOtAPlBWmU8QOd6aud+aSunHQaaEJ+iTFjP2OMW0KBr
NK2ay45cX1IVAQ==
-----END PGP SIGNATURE-----
";

#[test]
fn version_6() {
    let armor =
        format!("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{V6_KEY}\n-----END PGP PUBLIC KEY BLOCK-----\n");
    let keys = ring_of(armor.as_bytes());
    let fingerprint = "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9";
    assert_eq!(keys.fingerprints(), [fingerprint]);
    assert_eq!(verdict(&keys, V6_TEXT.as_bytes()), "good");
    assert_eq!(verdict(&keys, V6_TEXT.replace("tofu", "meat").as_bytes()), "wrong");
}

/// A key of a test and a text signed by it.
#[track_caller]
fn check(certificate: &[u8], text: &str, wanted: &str) {
    let mut keys = Keyring::default();
    keys.add(certificate).expect("a key");
    assert_eq!(verdict(&keys, text.as_bytes()), wanted);
}

const TEXT: &str = "Suite: stable\nCodename: x\n";

#[test]
fn times() {
    let key = TestKey::new(1);
    let signed = |says: Says| key.clear_sign(TEXT, &says);
    let now = Says::new(1).at(NOW);
    check(&key.usual(), &signed(now.clone()), "good");
    check(&key.usual(), &signed(Says::new(1).at(NOW + 500)), "good");
    check(&key.usual(), &signed(Says::new(1).at(NOW + 700)), "future");
    check(&key.usual(), &signed(Says::new(1).at(u64::from(BORN) - 1)), "before key");
    check(&key.usual(), &signed(now.clone().with(3, &[0, 0, 0, 0])), "good");
    check(&key.usual(), &signed(Says::new(1).at(NOW - 100).with(3, &[0, 0, 0, 100])), "expired");
    check(&key.usual(), &signed(Says::new(1).at(NOW - 100).with(3, &[0, 0, 0, 101])), "good");
    // Without a date, and with one that nobody signed.
    let mut undated = Says { created: 0, ..now };
    check(&key.usual(), &signed(undated.clone()), "unsupported");
    undated.unhashed = subpacket(2, &BORN.to_be_bytes());
    check(&key.usual(), &signed(undated), "unsupported");
}

#[test]
fn what_must_be_understood() {
    let key = TestKey::new(1);
    let signed = |says: Says| key.clear_sign(TEXT, &says);
    check(&key.usual(), &signed(Says::new(0)), "good");
    check(&key.usual(), &signed(Says::new(1).with(101, b"x")), "good");
    check(&key.usual(), &signed(Says::new(1).with(0x80 | 101, b"x")), "unsupported");
    check(&key.usual(), &signed(Says::new(1).with(0x80 | 20, b"x")), "unsupported");
    check(&key.usual(), &signed(Says::new(1).with(0x80 | 28, b"x")), "good");
    for kind in [2, 0x10, 0x13, 0x18, 0x1f, 0x20, 0x40, 0x50] {
        check(&key.usual(), &signed(Says::new(kind)), "unsupported");
    }
    let other_version = clear_signed(TEXT, &packet(2, &[3, 5, 1, 0, 0, 0, 0]));
    check(&key.usual(), &other_version, "unsigned");
    check(&key.usual(), &clear_signed(TEXT, &packet(2, &[4, 1, 22, 8, 0, 9])), "broken");
    check(&key.usual(), &clear_signed(TEXT, b"\x11"), "broken");
    check(&key.usual(), &clear_signed(TEXT, b""), "unsigned");
    let good = packet(2, &key.sign(&Says::new(1), hashed_text(TEXT).as_bytes()));
    let unknown = packet(2, &[5, 1, 22, 8, 0, 9]);
    check(&key.usual(), &clear_signed(TEXT, &[unknown, good.clone()].concat()), "good");
    check(&key.usual(), &clear_signed(TEXT, &good.repeat(17)), "broken");
    // One wrong signature by a known key spoils a good one, as in apt.
    let wrong = packet(2, &key.sign(&Says::new(1), b"other"));
    check(&key.usual(), &clear_signed(TEXT, &[good.clone(), wrong].concat()), "wrong");
    let weak = packet(2, &TestKey::new(2).sign(&Says::new(1), b"other"));
    check(&key.usual(), &clear_signed(TEXT, &[weak, good].concat()), "good");
}

#[test]
fn what_a_key_says_of_itself() {
    let key = TestKey::new(1);
    let text = key.clear_sign(TEXT, &Says::new(1).at(NOW - 50));
    let bare = packet(6, &key.body());
    check(&bare, &text, "key invalid");
    check(&key.certificate(&Says::new(0x10)), &text, "good");
    check(&key.certificate(&Says::new(0x13).with(27, &[0x01])), &text, "key invalid");
    check(&key.certificate(&Says::new(0x13).with(27, &[])), &text, "key invalid");
    check(&key.certificate(&Says::new(0x13).with(3, &[0, 0, 0, 1])), &text, "key invalid");
    let lifetime = |until: u64| u32::try_from(until - u64::from(BORN)).unwrap().to_be_bytes();
    check(&key.certificate(&Says::new(0x13).with(9, &lifetime(NOW))), &text, "key expired");
    check(&key.certificate(&Says::new(0x13).with(9, &lifetime(NOW + 1))), &text, "good");
    // Another's certification is no own one.
    let name = [&key.hashed()[..], &[0xb4, 0, 0, 0, 4], b"test"].concat();
    let foreign = packet(2, &TestKey::new(2).sign(&Says::new(0x13), &name));
    let names = |signatures: &[u8]| [&bare, &packet(13, b"test")[..], signatures].concat();
    check(&names(&foreign), &text, "key invalid");
    let own = packet(2, &key.sign(&Says::new(0x13), &name));
    check(&names(&[foreign, own.clone()].concat()), &text, "good");
    // A name that was taken back, and given again.
    let back = packet(2, &key.sign(&Says::new(0x30).at(NOW - 500), &name));
    check(&names(&[own.clone(), back.clone()].concat()), &text, "key invalid");
    let again = packet(2, &key.sign(&Says::new(0x13).at(NOW - 400), &name));
    check(&names(&[own, back, again].concat()), &text, "good");
    // The later of two dates counts; that of the key itself before those of names.
    let dated = |kind: u8, made: u64, until: u64| {
        let content = if kind == 0x1f { key.hashed() } else { name.clone() };
        packet(2, &key.sign(&Says::new(kind).at(made).with(9, &lifetime(until)), &content))
    };
    let (short, long) = (dated(0x13, NOW - 900, NOW - 1), dated(0x13, NOW - 800, NOW + 9));
    check(&names(&[long.clone(), short.clone()].concat()), &text, "good");
    let short_later = dated(0x13, NOW - 700, NOW - 1);
    check(&names(&[long.clone(), short_later].concat()), &text, "key expired");
    let direct = |signature: Vec<u8>| [bare.clone(), signature].concat();
    check(&direct(dated(0x1f, NOW - 900, NOW + 9)), &text, "good");
    check(
        &[direct(dated(0x1f, NOW - 900, NOW - 1)), packet(13, b"test"), long].concat(),
        &text,
        "key expired",
    );
}

#[test]
fn revocations() {
    let (key, other) = (TestKey::new(1), TestKey::new(2));
    let text = key.clear_sign(TEXT, &Says::new(1).at(NOW - 50));
    let rest = key.usual().split_off(packet(6, &key.body()).len());
    let with = |signature: &[u8]| [&packet(6, &key.body())[..], &packet(2, signature), &rest].concat();
    check(&with(&key.sign(&Says::new(0x20), &key.hashed())), &text, "key revoked");
    // One that is not about this key, and one by a stranger.
    check(&with(&key.sign(&Says::new(0x20), &other.hashed())), &text, "good");
    check(&with(&other.sign(&Says::new(0x20), &key.hashed())), &text, "good");
    // One that nobody can check counts: it takes trust, and gives none.
    check(&with(&key.sign(&Says::new(0x20).with(0x80 | 101, b"x"), &key.hashed())), &text, "key revoked");
    // A stranger who was appointed.
    let mut by = Says::new(0x20);
    by.unhashed = subpacket(16, other.fingerprint().last_chunk::<8>().unwrap());
    let appointed = [&[0x80, 22][..], &other.fingerprint()].concat();
    let revocation = packet(2, &other.sign(&by, &key.hashed()));
    let certificate = key.certificate(&Says::new(0x13).with(12, &appointed));
    let (first, rest) = certificate.split_at(packet(6, &key.body()).len());
    check(&[first, &revocation, rest].concat(), &text, "key revoked");
}

#[test]
fn subkeys_agree() {
    let (key, subkey, thief) = (TestKey::new(1), TestKey::new(2), TestKey::new(3));
    let text = subkey.clear_sign(TEXT, &Says::new(1).at(NOW - 50));
    let about = [key.hashed(), subkey.hashed()].concat();
    let back = subkey.sign(&Says::new(0x19), &about);
    let bound =
        |says: &Says| [key.usual(), packet(14, &subkey.body()), packet(2, &key.sign(says, &about))].concat();
    let binding = Says::new(0x18).with(27, &[0x02]);
    check(&bound(&binding.clone().with(32, &back)), &text, "good");
    let mut unhashed = binding.clone();
    unhashed.unhashed = subpacket(32, &back);
    check(&bound(&unhashed), &text, "good");
    check(&bound(&binding), &text, "key invalid");
    check(&bound(&Says::new(0x18).with(27, &[0x0c]).with(32, &back)), &text, "key invalid");
    check(&bound(&binding.clone().with(32, &key.sign(&Says::new(0x19), &about))), &text, "key invalid");
    check(&bound(&binding.clone().with(32, &subkey.sign(&Says::new(0x18), &about))), &text, "key invalid");
    check(&bound(&binding.clone().with(32, &back).with(9, &[0, 0, 0, 1])), &text, "key expired");
    // A thief who takes another's subkey into his certificate.
    let stolen = [thief.hashed(), subkey.hashed()].concat();
    let theft = thief.sign(&binding.clone().with(32, &back), &stolen);
    let certificate = [thief.usual(), packet(14, &subkey.body()), packet(2, &theft)].concat();
    check(&certificate, &text, "key invalid");
    // A subkey of a key that is no more.
    let good = bound(&binding.with(32, &back));
    let first = packet(6, &key.body());
    let revocation = packet(2, &key.sign(&Says::new(0x20), &key.hashed()));
    check(&[&first, &revocation, &good[first.len()..]].concat(), &text, "key revoked");
    let mut revoked = good.clone();
    revoked.extend(packet(2, &key.sign(&Says::new(0x28), &about)));
    check(&revoked, &text, "key revoked");
    // Keys of other versions are passed over, with what belongs to them.
    let strange = [packet(6, &[5, 0, 0]), packet(13, b"x"), packet(14, &[9]), packet(2, &[4])].concat();
    check(&[strange, good].concat(), &text, "good");
}

#[test]
fn one_signed_part_and_nothing_else() {
    let key = TestKey::new(1);
    let text = key.clear_sign(TEXT, &Says::new(1));
    let check = |text: &str, wanted: &str| check(&key.usual(), text, wanted);
    check(&format!("\n \n{text}\n\t\n"), "good");
    for wrong in [
        String::new(),
        "<html>".to_owned(),
        TEXT.to_owned(),
        format!("Suite: evil\n{text}"),
        format!("{text}Suite: evil\n"),
        format!("{text}{text}"),
        text.replace("Hash: SHA256\n", "Hash: SHA256\nSuite: evil\n"),
        text.replace("Hash: SHA256\n", "Comment: evil\n"),
        text.replace("Suite: stable", "-evil"),
        text.replace("\n\nSuite: stable\nCodename: x", ""),
        text.replace("BEGIN PGP SIGNATURE", "BEGIN PGP MESSAGE"),
        text.split("-----BEGIN PGP SIGNATURE").next().unwrap_or_default().to_owned(),
        text.replace("-----END PGP SIGNATURE-----\n", ""),
        text.replace("BEGIN PGP SIGNATURE-----\n", "BEGIN PGP SIGNATURE-----\nComment: x\n\n!"),
    ] {
        check(&wrong, "form");
    }
    check(&text.replace("BEGIN PGP SIGNATURE-----\n", "BEGIN PGP SIGNATURE-----\nVersion: x\n"), "good");
    check(&text.replace("\n\nSuite", "\n\n\nSuite"), "wrong");
    check(&text.replace("Hash: SHA256\n", "Hash: MD5\n"), "good");
    let parts = clearsign::split(text.as_bytes()).expect("well formed");
    assert_eq!(parts.text, TEXT.as_bytes());
    assert_eq!(parts.hashed, hashed_text(TEXT).as_bytes());
}

proptest! {
    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..4000) {
        let keys = ring_of(&data("trusted.gpg"));
        let _ = trust(&keys).clear_signed(&bytes);
        let _ = trust(&keys).detached(b"x", &bytes);
        let _ = Keyring::default().add(&bytes);
        // Damage in a key ring may take keys away, and must not panic.
        let mut damaged = data("trusted.gpg");
        let place = at % damaged.len();
        damaged.splice(place..(place + bytes.len()).min(damaged.len()), bytes.iter().copied());
        let mut keys = Keyring::default();
        if keys.add(&damaged).is_ok() {
            let _ = trust(&keys).clear_signed(&data("by-subkey.asc"));
        }
    }

    #[test]
    fn any_text_is_signed_and_read(text in "[-a \t\r\u{e9}]{0,9}(\n[- a:\t]{0,9}){0,5}") {
        let key = TestKey::new(1);
        let file = key.clear_sign(&text, &Says::new(1));
        let signed = trust(&ring_of(&key.usual())).clear_signed(file.as_bytes());
        let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(&text).split('\n').map(str::trim_end).collect();
        let wanted = format!("{}\n", lines.join("\n"));
        prop_assert_eq!(signed.expect("good").text, wanted.into_bytes());
    }

    #[test]
    fn no_changed_bit_is_believed(at in 0_usize..1000, bit in 0_u8..8) {
        let mut file = data("rsa-256.asc");
        let place = at % file.len();
        file[place] ^= 1 << bit;
        let keys = ring_of(&data("rsa-key.asc"));
        if let Ok(signed) = trust(&keys).clear_signed(&file) {
            prop_assert_eq!(signed.text, data("text"));
        }
    }

    #[test]
    fn armour_is_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let text = armored("PGP SIGNATURE", &bytes);
        let lines = armor::lines(text.as_bytes());
        prop_assert_eq!(armor::block(&lines, "PGP SIGNATURE"), Ok((bytes, lines.len())));
    }
}
