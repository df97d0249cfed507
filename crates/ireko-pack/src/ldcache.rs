//! A loader's cache with those shared objects alone that are found by no other way (glibc's `dl-cache.h`).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ireko_slim::Machine;

/// The bytes of `/etc/ld.so.cache`; none for machines whose mark in it is not known.
pub(crate) fn write(machine: Machine, paths: &BTreeMap<String, String>) -> Option<Vec<u8>> {
    const HEADER: usize = 48;
    const ENTRY: usize = 24;
    let flags = flags(machine)?;
    let number = |value: usize| {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        if machine.is_little { value.to_le_bytes() } else { value.to_be_bytes() }
    };
    let mut rows: Vec<(&String, &String)> = paths.iter().collect();
    // The loader halves a list that falls.
    rows.sort_by(|one, other| order(other.0, one.0));
    let mut texts = Vec::new();
    let mut entries = Vec::new();
    let begin = HEADER + rows.len() * ENTRY;
    for (name, path) in &rows {
        entries.extend(number(flags as usize));
        for text in [name, path] {
            entries.extend(number(begin + texts.len()));
            texts.extend(text.as_bytes());
            texts.push(0);
        }
        entries.extend([0; 12]);
    }
    let mut out = b"glibc-ld.so.cache1.1".to_vec();
    out.extend(number(rows.len()));
    out.extend(number(texts.len()));
    // Its byte order, and no extensions.
    out.push(if machine.is_little { 2 } else { 3 });
    out.resize(HEADER, 0);
    out.extend(entries);
    out.extend(texts);
    Some(out)
}

/// `FLAG_ELF_LIBC6` and the machine's own mark.
fn flags(machine: Machine) -> Option<u32> {
    Some(match (machine.name(), machine.is_64) {
        ("x86_64", true) => 0x0303,
        ("i386", _) => 0x0003,
        ("aarch64", _) => 0x0a03,
        ("arm", _) => 0x0903,
        ("powerpc64le", _) => 0x0503,
        ("s390x", _) => 0x0403,
        ("riscv64", _) => 0x1003,
        _ => return None,
    })
}

/// `_dl_cache_libcmp`: numbers in names by their values.
fn order(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while let (Some(first), Some(second)) = (one.first(), other.first()) {
        match (first.is_ascii_digit(), second.is_ascii_digit()) {
            (true, true) => {
                let (number, rest) = digits(one);
                let (other_number, other_rest) = digits(other);
                match number.cmp(&other_number) {
                    Ordering::Equal => (one, other) = (rest, other_rest),
                    unequal => return unequal,
                }
            }
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) if first != second => return first.cmp(second),
            (false, false) => (one, other) = (&one[1..], &other[1..]),
        }
    }
    one.len().cmp(&other.len())
}

fn digits(text: &[u8]) -> (u64, &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let value = text[..end]
        .iter()
        .fold(0u64, |value, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    (value, &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_s_order() {
        for (less, more) in
            [("liba.so.9", "liba.so.10"), ("liba.so", "liba.so.1"), ("liba.so.1", "liba2.so.1"), ("a", "b")]
        {
            assert_eq!(order(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(order(more, less), Ordering::Greater, "{less} {more}");
        }
        assert_eq!(order("lib1.so.01", "lib1.so.1"), Ordering::Equal);
    }
}
