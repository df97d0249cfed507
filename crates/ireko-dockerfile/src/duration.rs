//! Durations as Go writes them: `1h30m`, `1.5s`, `300ms`.

/// The duration in nanoseconds.
pub fn parse(text: &str) -> Result<i64, String> {
    with_units(text, "ns, us, ms, s, m, h", &scale_of)
}

fn with_units(text: &str, units: &str, scale_of: &dyn Fn(&str) -> Option<i128>) -> Result<i64, String> {
    let wrong = |why: &str| format!("invalid duration `{text}`: {why}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(wrong("it is empty"));
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number_len = rest.find(|ch: char| !(ch.is_ascii_digit() || ch == '.')).unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_len);
        let unit_len = after.find(|ch: char| ch.is_ascii_digit() || ch == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_len);
        let scale = scale_of(unit).ok_or_else(|| match unit {
            "" => wrong(&format!("a unit is missing ({units})")),
            _ => wrong(&format!("unknown unit `{unit}` ({units})")),
        })?;
        let part = scaled(number, scale).ok_or_else(|| wrong("it is no number with a unit"))?;
        total += part;
        if total > i128::from(i64::MAX) {
            return Err(wrong("it is too long"));
        }
        rest = next;
    }
    let signed = if negative { -total } else { total };
    i64::try_from(signed).map_err(|_| wrong("it is too long"))
}

/// A lifetime in whole seconds: a duration that may also be given in days and weeks (`1d12h`, `2w`).
pub fn lifetime(text: &str) -> Result<u64, String> {
    let nanoseconds = with_units(text, "s, m, h, d, w", &|unit| match unit {
        "d" => Some(24 * 3_600_000_000_000),
        "w" => Some(7 * 24 * 3_600_000_000_000),
        unit => scale_of(unit),
    })?;
    u64::try_from(nanoseconds / 1_000_000_000)
        .map_err(|_| format!("invalid lifetime `{text}`: it is negative"))
}

fn scale_of(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn scaled(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) || whole.len() > 19 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Beyond eighteen digits nothing changes by a nanosecond.
    let fraction = &fraction[..fraction.len().min(18)];
    let places = u32::try_from(fraction.len()).ok()?;
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some(whole * scale + part * scale / 10_i128.pow(places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let good = [
            ("0", 0),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            ("-3ms", -3_000_000),
            ("+.5us", 500),
            ("2µs1ns", 2001),
        ];
        for (text, nanoseconds) in good {
            assert_eq!(parse(text), Ok(nanoseconds), "{text}");
        }
        for text in ["", "-", "5", "s", "1x", "1.2.3s", ".s", "999999999h", "1s ", "1 s"] {
            assert!(parse(text).is_err(), "{text}");
        }
        for (text, seconds) in [("1d12h", 129_600), ("2w", 1_209_600), ("0", 0), ("1.5s", 1)] {
            assert_eq!(lifetime(text), Ok(seconds), "{text}");
        }
        for text in ["", "-1h", "1y", "d", "1"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
        assert_eq!(parse("5").unwrap_err(), "invalid duration `5`: a unit is missing (ns, us, ms, s, m, h)");
    }
}
