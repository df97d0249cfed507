//! Numbers and names in a tar's fields, as all its dialects write them.

/// An octal number, or a big-endian one where the first bit is set (GNU).
pub(super) fn number(field: &[u8]) -> Option<i128> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // The second bit is the sign; the rest is two's complement.
        let negative = first & 0x40 != 0;
        let mut value: i128 = if negative { -1 } else { 0 };
        for (at, &byte) in field.iter().enumerate() {
            let byte = match (at, negative) {
                (0, false) => byte & 0x7f,
                _ => byte,
            };
            value = (value << 8) | i128::from(byte);
        }
        // Twelve bytes at most, so the bits beyond an i64 are real and checked by the caller.
        return Some(value);
    }
    let text = field.split(|&byte| byte == 0).next()?.trim_ascii();
    let mut value: i128 = 0;
    for &byte in text {
        if !(b'0'..=b'7').contains(&byte) {
            return None;
        }
        value = value * 8 + i128::from(byte - b'0');
    }
    Some(value)
}

/// A name that ends at the first zero byte or with the field.
pub(super) fn name(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Whether the header's checksum is right, by unsigned or, as some old programs computed it, signed bytes.
pub(super) fn checksum_holds(block: &[u8; super::BLOCK]) -> bool {
    let Some(expected) = number(&block[148..156]) else { return false };
    let (mut unsigned, mut signed) = (0i128, 0i128);
    for (at, &byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&at) { b' ' } else { byte };
        unsigned += i128::from(byte);
        signed += i128::from(byte as i8);
    }
    expected == unsigned || expected == signed
}
